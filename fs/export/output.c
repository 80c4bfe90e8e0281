/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file is made in this order; a crash after any step leaves the name as it was or with the whole new file.
 *
 *   1. write makings/ID.json                      from here on the next start removes the temporary names
 *   2. create DIRECTORY/.revertfs-ID              and let somebody fill it
 *   3. its owner and mode, sync it; write and sync DIRECTORY/.revertfs-ID.json, the sidecar
 *   4. the inode into makings/ID.json             so that step 5 can be told from somebody else's file of that name
 *   5. rename the file                            the commit point
 *   6. rename the sidecar, sync the directory     start-up does it if we did not
 *   7. remove makings/ID.json
 *
 * Until step 3 the file is root's alone: qemu-img reads back what it writes, and must not be led elsewhere by whoever gets it.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "io.h"
#include "log.h"

#define TEMPORARY_PREFIX ".revertfs-"
#define SIDECAR_SUFFIX ".json"
#define RECORD_SUFFIX ".json"

const char *making_name(const struct making *making)
{
	const char *slash = strrchr(making->record.name, '/');

	return slash ? slash + 1 : making->record.name;
}

static int make_names(struct making *making)
{
	const char *id = making->record.id;

	making->record_file = format_text("%s" RECORD_SUFFIX, id);
	making->temporary = format_text(TEMPORARY_PREFIX "%s", id);
	making->sidecar_temporary = format_text(TEMPORARY_PREFIX "%s" SIDECAR_SUFFIX, id);
	making->sidecar = format_text("%s" SIDECAR_SUFFIX, making_name(making));
	return making->record_file && making->temporary && making->sidecar_temporary && making->sidecar ? 0 : -ENOMEM;
}

/* What never got its name, and the record last: as long as it is there, the next start looks after the rest. */
static void end(struct making *making)
{
	int r = making->finished ? 0 : io_unlink(making->directory, making->temporary);

	if (r == 0)
		r = io_unlink(making->directory, making->sidecar_temporary);
	if (r < 0)
		log_warning("'%s' beside '%s' cannot be removed: %s; the next start tries again", making->temporary,
			    making->record.name, error_text(r));
	else
		io_unlink(making->disks->makings_fd, making->record_file);
}

void making_clear(struct making *making)
{
	if (making->begun)
		end(making);
	close_fdp(&making->fd);
	close_fdp(&making->directory);
	free(making->record_file);
	free(making->temporary);
	free(making->sidecar_temporary);
	free(making->sidecar);
	record_clear_making(&making->record);
}

int making_begin(struct making *making, struct sentence *error)
{
	int r;

	record_new_id(making->record.id);
	r = make_names(making);
	if (r == 0)
		r = record_save_making(making->disks->makings_fd, making->record_file, &making->record);
	if (r < 0)
		return report(error, r, "that it begins cannot be recorded: %s", error_text(r));
	making->begun = true;
	making->fd =
		openat(making->directory, making->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return making->fd < 0 ? report(error, -errno, "a file cannot be created there: %s", error_text(-errno)) : 0;
}

static int own_and_sync(const struct making *making, int fd)
{
	if (fchown(fd, making->uid, making->gid) < 0 || fchmod(fd, making->mode) < 0)
		return -errno;
	return io_sync(fd);
}

static int write_sidecar(struct making *making, const char *text)
{
	CLEANUP(close_fdp)
	int fd = openat(making->directory, making->sidecar_temporary,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : write_all(fd, text, strlen(text));

	return r < 0 ? r : own_and_sync(making, fd);
}

static int note_inode(struct making *making)
{
	struct stat stat;

	if (fstat(making->fd, &stat) < 0)
		return -errno;
	making->record.inode = stat.st_ino;
	return record_save_making(making->disks->makings_fd, making->record_file, &making->record);
}

static int give_name(const struct making *making, const char *temporary, const char *name)
{
	return making->replace ? io_rename(making->directory, temporary, making->directory, name)
			       : io_rename_new(making->directory, temporary, making->directory, name);
}

/*
 * A file without its sidecar is half of what was asked for: it goes again, but where it has replaced another, which would then be gone too.
 */
static int give_sidecar_name(struct making *making, struct sentence *error)
{
	const char *name = making_name(making);
	int r = give_name(making, making->sidecar_temporary, making->sidecar);

	if (r == 0)
		return 0;
	if (!making->replace && io_unlink(making->directory, name) == 0)
		return report(error, r, "its sidecar cannot be given its name: %s", error_text(r));
	return report(error, r, "'%s' is complete, but its sidecar cannot be given its name: %s", name, error_text(r));
}

int making_finish(struct making *making, const char *sidecar, struct sentence *error)
{
	const char *name = making_name(making);
	int r = own_and_sync(making, making->fd);

	if (r == 0 && sidecar)
		r = write_sidecar(making, sidecar);
	if (r == 0)
		r = note_inode(making);
	if (r < 0)
		return report(error, r, "it cannot be completed: %s", error_text(r));
	r = give_name(making, making->temporary, name);
	if (r < 0)
		return report(error, r, "it cannot be given its name: %s", error_text(r));
	making->finished = true;
	if (sidecar)
		r = give_sidecar_name(making, error);
	if (r == 0) {
		r = io_sync_directory(making->directory);
		if (r < 0)
			report(error, r, "'%s' is complete, but its directory cannot be synced: %s", name,
			       error_text(r));
	}
	close_fdp(&making->fd); /* whoever protects it finds no writer */
	return r;
}

/* --- after a crash ------------------------------------------------------------------------------- */

void making_note_unfinished(struct disks *disks, const char *file)
{
	struct unfinished *unfinished = calloc(1, sizeof(*unfinished));

	if (!unfinished || !(unfinished->file = strdup(file))) {
		free(unfinished);
		return;
	}
	unfinished->next = disks->unfinished;
	disks->unfinished = unfinished;
}

static int open_directory(struct disks *disks, const struct making_record *record)
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

/* Step 5 was done: the name leads to the file that was made. */
static bool has_its_name(const struct making *making)
{
	struct stat stat;

	return making->record.inode &&
	       fstatat(making->directory, making_name(making), &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
	       stat.st_ino == making->record.inode && S_ISREG(stat.st_mode);
}

/* An image that was to be a disk's. */
static void protect_made(struct making *making)
{
	struct disk *disk = disks_find(making->disks, making->record.name);
	struct sentence why;

	if (!disk && disk_protect(making->disks, making->record.name, format_name(making->record.format), &why) < 0)
		log_warning("the full clone '%s' is complete, but: %s", making->record.name, why.text);
	disk_put(disk);
}

static void clean_up(struct disks *disks, const char *file)
{
	CLEANUP(making_clear) struct making making = { .disks = disks, .directory = -1, .fd = -1, .replace = true };
	int r = record_load_making(disks->makings_fd, file, &making.record);

	if (r == 0)
		r = make_names(&making);
	if (r == 0)
		r = making.directory = open_directory(disks, &making.record);
	if (r < 0) {
		log_warning("what was being made when the last daemon ended cannot be looked for (makings/%s): %s",
			    file, error_text(r));
		if (r == -EBADMSG || r == -ENOENT)
			io_unlink(disks->makings_fd, file);
		return;
	}
	making.begun = true;
	making.finished = has_its_name(&making);
	if (making.finished) {
		io_rename(making.directory, making.sidecar_temporary, making.directory, making.sidecar);
		io_sync_directory(making.directory);
		if (!making.record.directory)
			protect_made(&making);
	} else {
		log_info("'%s' was being made when the last daemon ended; nothing is left of it", making.record.name);
	}
}

void making_clean_up(struct disks *disks)
{
	while (disks->unfinished) {
		struct unfinished *first = disks->unfinished;

		disks->unfinished = first->next;
		clean_up(disks, first->file);
		free(first->file);
		free(first);
	}
}
