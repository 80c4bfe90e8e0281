/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk whose record or layers cannot be read stays in the table and has failed, so that its image
 * stays protected.
 */
#include "load_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "entries.h"
#include "file.h"
#include "image_stamp.h"
#include "io.h"
#include "layer.h"
#include "load_scratch.h"
#include "lock.h"
#include "log.h"
#include "reach.h"
#include "session.h"
#include "table.h"

static void fail_disk(struct disk *disk, int error, const char *what)
{
	struct sentence why;

	report(&why, error, "disk '%s' cannot be served: %s: %s", disk->name, what, error_text(error));
	disk_fail(disk, &why);
}

/* --- what belongs to a disk ------------------------------------------------------------------- */

/*
 * A session of another boot is over: it is what *ret_crashed becomes. So is a torn one: its record
 * was not synced in this boot.
 */
static void load_session(struct disk *disk, struct session_record *ret_crashed)
{
	struct session_record record = { 0 };

	if (record_load_session(disk->directory, SESSION_RECORD, &record) < 0)
		return;
	if (strcmp(record.boot, disk->disks->boot) == 0)
		disk->session = malloc(sizeof(*disk->session));
	else
		*ret_crashed = record;
	if (disk->session)
		*disk->session = record;
	else if (!ret_crashed->uuid[0])
		record_clear_session(&record);
}

static void take_layers_locked(struct disk *disk, struct layer *head, struct layer *hold)
{
	struct layer *root = head;

	while (root->parent)
		root = root->parent;
	disk->root = layer_get_locked(root);
	disk->head = layer_get_locked(head);
	disk->hold = hold ? layer_get_locked(hold) : NULL;
}

static int find_layers(struct disk *disk)
{
	struct disks *disks = disk->disks;
	const char *hold_id = disk->record.hold;

	LOCKED (&disks->lock) {
		struct layer *head = layer_find_locked(disks, disk->record.head);
		struct layer *hold = hold_id[0] ? layer_find_locked(disks, hold_id) : NULL;

		if (head && (hold || !hold_id[0]))
			take_layers_locked(disk, head, hold);
	}
	return disk->head ? 0 : -ENOENT;
}

/*
 * A record of a build that knew no identities gets its own once: where the file is by all other
 * signs what was last seen. Where the filesystem has none, the file may have another number.
 */
static void take_identity(struct layer *root)
{
	struct layer_record record = root->record;

	if (record.stamp.identity[0] || image_compare(root, false, &record.stamp) != IMAGE_SAME)
		return;
	root->record.stamp = record.stamp;
	if (record.stamp.identity[0] && layer_update(root, &record) < 0)
		log_warning("image '%s': which file it is cannot be recorded; the next start tries again",
			    record.image);
}

/*
 * A filesystem's device number may change from boot to boot. The tree compares the number when it
 * looks for protected files, so the first daemon of a boot waits for it. Those behind serve guests
 * that wait for them: -ETIMEDOUT from a filesystem that hangs.
 */
static int refresh_device(struct layer *root)
{
	struct disks *disks = root->disks;
	struct image_stamp *stamp = &root->record.stamp;
	CLEANUP(close_fdp)
	int fd = disks->first_of_boot
			 ? layer_open_file(root, O_PATH)
			 : reach_beneath(disks->reach, (dev_t)stamp->device, disks->images_fd, root->record.image);
	struct stat st;

	if (fd >= 0 && file_look(fd, "", &st) == 0 && st.st_ino == stamp->inode)
		stamp->device = st.st_dev;
	/* The images' own filesystem is waited for in any case. */
	if (fd >= 0 &&
	    (disks->first_of_boot || (file_look(disks->images_fd, "", &st) == 0 && st.st_dev == stamp->device)))
		take_identity(root);
	return fd < 0 ? fd : 0;
}

/* Of an image whose filesystem does not answer yet, it is not known whether it is there. */
static void serve_disk(struct disk *disk)
{
	CLEANUP(record_clear_session) struct session_record crashed = { 0 };
	bool answers = refresh_device(disk->root) != -ETIMEDOUT;
	struct sentence why;
	int r;

	load_session(disk, &crashed);
	load_scratch(disk, &crashed);
	if (disk->state == DISK_FAILED || !answers)
		return;
	r = layer_check_files(disk_base(disk), &why);
	if (r < 0) {
		report_context(&why, r, "disk '%s' cannot be served: ", disk->name);
		disk_fail(disk, &why);
	}
}

/* --- directories ------------------------------------------------------------------------------ */

/* A directory without a record was being protected or unprotected: what it holds means nothing. */
static void remove_unrecorded(struct disks *disks, const char *directory_name)
{
	CLEANUP(close_fdp)
	int directory = openat(disks->disks_fd, directory_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	static const char *const names[] = { "disk.json.new", SESSION_RECORD, "session.json.new", "scratch.qcow2",
					     "scratch.qcow2.new" };

	for (size_t i = 0; i < ARRAY_SIZE(names) && directory >= 0; i++)
		io_unlink(directory, names[i]);
	if (io_remove_directory(disks->disks_fd, directory_name) < 0)
		log_warning("state directory: disks/%s has no record and is not empty; it is left alone",
			    directory_name);
	else
		log_debug("disk", "start: disks/%s, which has no record, is removed", directory_name);
}

/* A later write of the same file would replace these, but that may be long. */
static void remove_half_written(const struct disk *disk)
{
	CLEANUP(freep) char *scratch = format_text("%s.new", disk->scratch_name);

	io_unlink(disk->directory, "disk.json.new");
	io_unlink(disk->directory, "session.json.new");
	if (scratch)
		io_unlink(disk->scratch_directory, scratch);
}

/* Into the table; `record_error` is what reading its record ended with. */
static void add_disk(struct disk *disk, int record_error)
{
	struct disks *disks = disk->disks;

	disk_insert(disk);
	remove_half_written(disk);
	if (record_error < 0) {
		entry_is_unreadable(disks, "record of disk", disk->name, record_error);
		fail_disk(disk, record_error, "its record cannot be read");
	} else if (find_layers(disk) < 0) {
		entry_is_unreadable(disks, "head or hold of disk", disk->name, -ENOENT);
		fail_disk(disk, -ENOENT, "its head or hold is not there");
	} else {
		serve_disk(disk);
	}
}

static void load_disk(struct disks *disks, const char *directory_name)
{
	struct disk_record record = { 0 };
	CLEANUP(freep) char *name = NULL;
	struct sentence error;
	struct disk *disk;
	int r;

	if (disk_name_of_directory(directory_name, &name) < 0) {
		log_warning("state directory: disks/%s is no disk's; it is left alone", directory_name);
		return;
	}
	disk = disk_new(disks, name, &r, &error);
	if (!disk) {
		entry_is_unreadable(disks, "disk", name, r);
		return;
	}
	r = record_load_disk(disk->directory, "disk.json", &record);
	disk->record = record;
	if (r != -ENOENT)
		add_disk(disk, r);
	disk_release_claim(disk);
	if (r == -ENOENT)
		remove_unrecorded(disks, directory_name);
}

int load_disks(struct disks *disks)
{
	struct stat st;
	int r = file_look(disks->images_fd, "", &st);

	if (r < 0)
		return r;
	disks->reach = reach_new(st.st_dev);
	r = entries_visit(disks, disks->disks_fd, load_disk);
	reach_free(steal_pointer(&disks->reach));
	return r;
}
