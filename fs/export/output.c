/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file is made in this order; a crash after any step leaves the name as it was, or with the
 * complete new file.
 *
 *   1. write makings/ID.json                      from here on the next start removes the temporary
 *                                                 names
 *   2. create DIRECTORY/.revertfs-ID              empty; the caller fills it
 *   3. set its owner and mode, sync it; write and sync DIRECTORY/.revertfs-ID.json, the sidecar
 *   4. write the inode into makings/ID.json       by which the next start knows whether step 5 was
 *                                                 done, or the name is another file's
 *   5. rename the file                            the commit point
 *   6. rename the sidecar, sync the directory     the next start does it if we did not
 *   7. remove makings/ID.json
 *
 * Until step 3 the file is root's alone: qemu-img reads back what it writes, and a new owner could
 * write a header that leads it elsewhere.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "disk.h"
#include "io.h"
#include "lock.h"
#include "log.h"

#define CLEAN_UP_S 20 /* a directory may lie on a server that does not answer */
#define TEMPORARY_PREFIX ".revertfs-"
#define SIDECAR_SUFFIX ".json"
#define RECORD_SUFFIX ".json"

const char *output_name(const struct output *output)
{
	const char *slash = strrchr(output->record.name, '/');

	return slash ? slash + 1 : output->record.name;
}

static int make_names(struct output *output)
{
	const char *id = output->record.id;

	output->record_file = format_text("%s" RECORD_SUFFIX, id);
	output->temporary = format_text(TEMPORARY_PREFIX "%s", id);
	output->sidecar_temporary = format_text(TEMPORARY_PREFIX "%s" SIDECAR_SUFFIX, id);
	output->sidecar = format_text("%s" SIDECAR_SUFFIX, output_name(output));
	return output->record_file && output->temporary && output->sidecar_temporary && output->sidecar ? 0 : -ENOMEM;
}

/*
 * Remove the temporary names, and the record last: as long as that is there, the next start removes
 * what is left.
 */
static void end(struct output *output)
{
	int r = output->finished ? 0 : io_unlink(output->directory, output->temporary);

	if (r == 0)
		r = io_unlink(output->directory, output->sidecar_temporary);
	if (r < 0)
		log_warning("'%s' beside '%s' cannot be removed: %s; the next start tries again", output->temporary,
			    output->record.name, error_text(r));
	else
		io_unlink(output->disks->outputs_fd, output->record_file);
}

void output_clear(struct output *output)
{
	if (output->begun)
		end(output);
	close_fdp(&output->fd);
	close_fdp(&output->directory);
	free(output->record_file);
	free(output->temporary);
	free(output->sidecar_temporary);
	free(output->sidecar);
	record_clear_output(&output->record);
}

int output_begin(struct output *output, struct sentence *error)
{
	int r;

	record_new_id(output->record.id);
	r = make_names(output);
	if (r == 0)
		r = record_save_output(&output->disks->state_guard, output->disks->outputs_fd, output->record_file,
				       &output->record);
	if (r < 0)
		return report(error, r, "its record in the state directory cannot be written: %s", error_text(r));
	output->begun = true;
	output->fd =
		openat(output->directory, output->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return output->fd < 0 ? report(error, -errno, "a file cannot be created there: %s", error_text(-errno)) : 0;
}

static int own_and_sync(const struct output *output, int fd)
{
	if (fchown(fd, output->uid, output->gid) < 0 || fchmod(fd, output->mode) < 0)
		return -errno;
	return io_sync(fd);
}

static int write_sidecar(struct output *output, const char *text)
{
	CLEANUP(close_fdp)
	int fd = openat(output->directory, output->sidecar_temporary,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : write_all(fd, text, strlen(text));

	return r < 0 ? r : own_and_sync(output, fd);
}

static int note_inode(struct output *output)
{
	struct stat stat;

	if (fstat(output->fd, &stat) < 0)
		return -errno;
	output->record.inode = stat.st_ino;
	return record_save_output(&output->disks->state_guard, output->disks->outputs_fd, output->record_file,
				  &output->record);
}

static int give_name(const struct output *output, const char *temporary, const char *name)
{
	return output->replace ? io_rename(output->directory, temporary, output->directory, name)
			       : io_rename_new(output->directory, temporary, output->directory, name);
}

/*
 * A file without its sidecar is half of what was asked for, so it is removed again. Where it has
 * replaced another file it stays, for the other is gone already.
 */
static int give_sidecar_name(struct output *output, struct sentence *error)
{
	const char *name = output_name(output);
	int r = give_name(output, output->sidecar_temporary, output->sidecar);

	if (r == 0)
		return 0;
	if (!output->replace && io_unlink(output->directory, name) == 0)
		return report(error, r, "its sidecar cannot be given its name: %s", error_text(r));
	return report(error, r, "'%s' is complete, but its sidecar cannot be given its name: %s", name, error_text(r));
}

int output_finish(struct output *output, const char *sidecar, struct sentence *error)
{
	const char *name = output_name(output);
	int r = own_and_sync(output, output->fd);

	if (r == 0 && sidecar)
		r = write_sidecar(output, sidecar);
	if (r == 0)
		r = note_inode(output);
	if (r < 0)
		return report(error, r, "it cannot be completed: %s", error_text(r));
	r = give_name(output, output->temporary, name);
	if (r < 0)
		return report(error, r, "it cannot be given its name: %s", error_text(r));
	output->finished = true;
	if (sidecar)
		r = give_sidecar_name(output, error);
	if (r == 0) {
		r = io_sync_directory(output->directory);
		if (r < 0)
			report(error, r, "'%s' is complete, but its directory cannot be synced: %s", name,
			       error_text(r));
	}
	close_fdp(&output->fd); /* the caller may protect the file, which is refused while it has a writer */
	return r;
}

/* --- after a crash ---------------------------------------------------------------------------- */

void output_note_unfinished(struct disks *disks, const char *file)
{
	struct unfinished *unfinished = calloc(1, sizeof(*unfinished));

	if (!unfinished || !(unfinished->file = strdup(file))) {
		free(unfinished);
		return;
	}
	unfinished->next = disks->unfinished;
	disks->unfinished = unfinished;
}

static int open_directory(struct disks *disks, const struct output_record *record)
{
	CLEANUP(close_fdp) int root = -1;
	CLEANUP(freep) char *parent = NULL;
	char *slash;

	if (record->directory) {
		root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		return root < 0 ? -errno
				: io_open_beneath(root, record->directory[1] ? record->directory + 1 : ".",
						  O_RDONLY | O_DIRECTORY);
	}
	parent = strdup(record->name);
	if (!parent)
		return -ENOMEM;
	slash = strrchr(parent, '/');
	if (slash)
		*slash = '\0';
	return io_open_beneath(disks->images_fd, slash ? parent : ".", O_RDONLY | O_DIRECTORY);
}

/* Whether step 5 was done: the name leads to the file that was made. */
static bool has_its_name(const struct output *output)
{
	struct stat stat;

	return output->record.inode &&
	       fstatat(output->directory, output_name(output), &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
	       stat.st_ino == output->record.inode && S_ISREG(stat.st_mode);
}

/* The image of a full clone: the crash came before it was a disk. */
static void protect_made(struct output *output)
{
	struct disk *disk = disks_find(output->disks, output->record.name);
	struct sentence why;

	if (!disk && disk_protect(output->disks, output->record.name, format_name(output->record.format), &why) < 0)
		log_warning("the full clone '%s' is complete, but: %s", output->record.name, why.text);
	disk_put(disk);
}

static void clean_up(struct disks *disks, const char *file)
{
	CLEANUP(output_clear) struct output output = { .disks = disks, .directory = -1, .fd = -1, .replace = true };
	int r = record_load_output(disks->outputs_fd, file, &output.record);

	if (r == 0)
		r = make_names(&output);
	if (r == 0)
		r = output.directory = open_directory(disks, &output.record);
	if (r < 0) {
		log_warning(
			"an export or full clone was being made when the last daemon ended, but what is left of it cannot be found (makings/%s): %s",
			file, error_text(r));
		if (r == -EBADMSG || r == -ENOENT)
			io_unlink(disks->outputs_fd, file);
		return;
	}
	output.begun = true;
	output.finished = has_its_name(&output);
	if (output.finished) {
		io_rename(output.directory, output.sidecar_temporary, output.directory, output.sidecar);
		io_sync_directory(output.directory);
		if (!output.record.directory)
			protect_made(&output);
	} else {
		log_info("'%s' was being made when the last daemon ended; nothing is left of it", output.record.name);
	}
}

void output_clean_up(struct disks *disks)
{
	while (disks->unfinished) {
		struct unfinished *first = disks->unfinished;

		disks->unfinished = first->next;
		clean_up(disks, first->file);
		free(first->file);
		free(first);
	}
	LOCKED (&disks->lock) {
		disks->outputs_are_clean = true;
		pthread_cond_broadcast(&disks->changed);
	}
}

void output_await_clean_up(struct disks *disks)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CLEAN_UP_S;
	LOCKED (&disks->lock)
		while (!disks->outputs_are_clean && !disks->stopping)
			if (pthread_cond_timedwait(&disks->changed, &disks->lock, &until) == ETIMEDOUT)
				break;
}
