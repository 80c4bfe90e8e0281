/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loading, in this order:
 *
 *   1. intents       a release of several disks that was promised is completed, so that the records
 *                    below are whole
 *   2. layers        records, then the tree; a layer whose parent is not there is not used, and
 *                    nothing is removed
 *   3. disks         records, sessions, scratches. A scratch that is the same file as a layer was
 *                    sealed: it is replaced. At the first
 *                    start of a boot, scratches that may be thrown away are replaced too, for they
 *                    were never synced
 *   4. headers       of layers whose parent's path is another than the header says: the mount has
 *                    moved, or a fold was cut short
 *   5. leftovers     names of disks that are gone, layers that nothing reaches, files without a
 *                    record
 *
 * When any record cannot be read, disks->incomplete is set and nothing is removed from then on:
 * what looks unreached may be what the unreadable record needs. A disk whose record cannot be read
 * stays protected and has failed.
 */
#include "load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "layer.h"
#include "log.h"
#include "qcow2.h"
#include "output.h"
#include "rebase.h"
#include "scratch.h"
#include "seal.h"
#include "session.h"
#include "table.h"
#include "claim.h"

#define BOOT_RECORD "boot"

static bool has_suffix(const char *name, const char *suffix)
{
	size_t length = strlen(name), tail = strlen(suffix);

	return length > tail && strcmp(name + length - tail, suffix) == 0;
}

/* Call `visit` for each entry of a directory but "." and "..". */
static int visit_directory(int directory, void (*visit)(struct disks *disks, const char *name), struct disks *disks)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int r = 0;

	if (!stream) {
		r = -errno;
		close_fdp(&fd);
		return r;
	}
	errno = 0;
	while ((entry = readdir(stream))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			visit(disks, entry->d_name);
		errno = 0;
	}
	r = -errno;
	closedir(stream);
	return r;
}

static void set_incomplete(struct disks *disks, const char *what, const char *name, int error)
{
	log_error("state directory: %s '%s' cannot be read (%s); nothing that it may need is removed until it can",
		  what, name, error_text(error));
	disks->incomplete = true;
}

/* --- 1. intents ------------------------------------------------------------------------------- */

static void complete_intent(struct disks *disks, const char *name)
{
	struct sentence why;

	if (!has_suffix(name, ".json")) {
		io_unlink(disks->intents_fd, name);
		return;
	}
	if (seal_complete_intent(disks, name, &why) < 0) {
		log_error("the promised release '%s' cannot be completed: %s; it is kept for the next start", name,
			  why.text);
		disks->incomplete = true;
	}
}

/* --- 2. layers -------------------------------------------------------------------------------- */

/* A live snapshot that was cut off between its record and its name (live_snapshot.c, step 5). */
static void complete_copy(struct disks *disks, const struct layer_record *record)
{
	CLEANUP(freep) char *name = layer_file_name(record->id, LAYER_FILE_SUFFIX);
	CLEANUP(freep) char *new_name = name ? format_text("%s.new", name) : NULL;

	if (new_name && !record->image && faccessat(disks->layers_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno == ENOENT)
		io_rename(disks->layers_fd, new_name, disks->layers_fd, name);
}

/* Loaded layers go on a list of their own until their parents are found. */
static void load_layer(struct disks *disks, const char *name)
{
	struct layer_record record = { 0 };
	struct layer *layer;
	int r;

	if (!has_suffix(name, LAYER_RECORD_SUFFIX))
		return;
	r = record_load_layer(disks->layers_fd, name, &record);
	if (r == 0 && strncmp(record.id, name, LAYER_ID_SIZE - 1) != 0)
		r = -EBADMSG;
	layer = r == 0 ? layer_new(disks) : NULL;
	if (!layer) {
		record_clear_layer(&record);
		set_incomplete(disks, "layer record", name, r ? r : -ENOMEM);
		return;
	}
	complete_copy(disks, &record);
	layer->record = record;
	layer->next = disks->loading;
	disks->loading = layer;
}

/*
 * Insert all whose parent is there; turn after turn, since a parent may come later in the
 * directory. What is left has none.
 */
static void build_tree(struct disks *disks)
{
	bool progress = true;

	pthread_mutex_lock(&disks->lock);
	while (progress) {
		struct layer **place = &disks->loading;

		progress = false;
		while (*place) {
			struct layer *layer = *place, *rest = layer->next;

			if (layer->record.parent[0] && !layer_find_locked(disks, layer->record.parent)) {
				place = &layer->next;
				continue;
			}
			*place = rest;
			layer_insert_locked(layer);
			layer_put_locked(layer);
			progress = true;
		}
	}
	while (disks->loading) {
		struct layer *layer = disks->loading;

		disks->loading = layer->next;
		log_error(
			"state directory: layer %s stands on layer %s, which is not there; it is kept, but cannot be used",
			layer->record.id, layer->record.parent);
		disks->incomplete = true;
		layer_put_locked(layer);
	}
	pthread_mutex_unlock(&disks->lock);
}

/* --- 3. disks --------------------------------------------------------------------------------- */

static void fail_disk(struct disk *disk, int error, const char *what)
{
	struct sentence why;

	report(&why, error, "disk '%s' cannot be served: %s: %s", disk->name, what, error_text(error));
	disk_fail(disk, &why);
}

static void load_session(struct disk *disk)
{
	struct session_record record = { 0 };

	/*
	 * Another boot's session is over, and a torn record was never synced: both mean that nobody
	 * writes.
	 */
	if (record_load_session(disk->directory, "session.json", &record) < 0)
		return;
	if (strcmp(record.boot, disk->disks->boot) != 0) {
		record_clear_session(&record);
		return;
	}
	disk->session = malloc(sizeof(*disk->session));
	if (disk->session)
		*disk->session = record;
	else
		record_clear_session(&record);
}

static bool may_be_thrown_away(const struct disk *disk)
{
	return disk->record.fate == FATE_DISCARD;
}

static bool is_disk(const struct disks *disks, const char *name)
{
	for (const struct disk *disk = disks->first; disk; disk = disk->next_disk)
		if (strcmp(disk->name, name) == 0)
			return true;
	return false;
}

static bool has_name(const struct layer *layer, const struct layer_name *name)
{
	bool has;

	pthread_mutex_lock(&layer->disks->lock);
	has = layer_has_name_locked(layer, name->disk, name->snapshot);
	pthread_mutex_unlock(&layer->disks->lock);
	return has;
}

static bool is_reached(const struct layer *layer)
{
	if (layer->children)
		return true;
	for (size_t i = 0; i < layer->record.name_count; i++) {
		const struct layer_name *name = &layer->record.names[i];

		/* An unprotect by force was cut off: the disk that knows the name is gone. */
		if (!is_disk(layer->disks, name->disk))
			continue;
		/* A fold was cut off at its very end: the parent has the names already. */
		if (layer->record.state != LAYER_FOLDING || !has_name(layer->parent, name))
			return true;
	}
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (disk->head == layer || disk->hold == layer || disk->root == layer)
			return true;
	return false;
}

/*
 * Step 5 of a seal that a crash cut off: the scratch's file has become a layer's. The layer, or
 * NULL.
 */
static struct layer *sealed_as(struct disk *disk)
{
	struct stat scratch, stat;

	if (fstat(disk->scratch->fd, &scratch) < 0 || scratch.st_nlink < 2)
		return NULL;
	for (struct layer *layer = disk->disks->layers; layer; layer = layer->next) {
		CLEANUP(close_fdp) int fd = layer->record.image ? -1 : layer_open_file(layer, O_PATH);

		if (fd >= 0 && fstat(fd, &stat) == 0 && stat.st_ino == scratch.st_ino &&
		    stat.st_dev == scratch.st_dev && is_reached(layer))
			return layer;
	}
	return NULL;
}

/*
 * A seal under a name that was cut off before step 4: what the scratch has become is to be the
 * head.
 */
static int complete_head(struct disk *disk, struct layer *layer)
{
	struct disk_record record = disk->record;
	int r;

	if (!layer->record.becomes_head || layer->parent != disk->head ||
	    strcmp(layer->record.names[0].disk, disk->name) != 0)
		return 0;
	strcpy(record.head, layer->record.id);
	record.fate = FATE_DISCARD;
	record.follow = false;
	r = disk_save(disk, &record);
	if (r < 0)
		return r;
	disk_set_head(disk, layer);
	if (disk->session)
		session_end(disk);
	return 0;
}

/*
 * Whether nothing but whom it names tells the header from the one we wrote, and it names a view, as
 * we do. Anything else a QEMU may have written: that is neither mended, for then it would pass for
 * ours, nor shown to qemu-img, which would open a data file.
 */
static bool stands_on_a_view(const struct scratch *scratch)
{
	struct qcow2_header found;
	struct blank *blank;

	if (layer_blank(scratch->layer, &blank, NULL) < 0 || qcow2_read_header(scratch->fd, &found, NULL) < 0 ||
	    !strstr(found.backing, "/.revertfs/"))
		return false;
	strcpy(found.backing, blank_header(blank)->backing);
	strcpy(found.backing_format, blank_header(blank)->backing_format);
	return qcow2_check_scratch(&found, blank_header(blank), NULL) == 0;
}

/*
 * The mount has moved, or a fold was cut short after it had given the scratch its new backing file.
 */
static void rebase_scratch(struct disk *disk)
{
	struct sentence why;
	int r;

	if (!stands_on_a_view(disk->scratch)) {
		log_warning(
			"disk '%s': its scratch has a header that revertfs did not write; it is kept, and the next prepare moves it to lost/",
			disk->name);
		return;
	}
	r = rebase_header(disk->disks, disk->scratch->fd, disk->directory, SCRATCH_HEADER, disk->scratch->layer, &why);
	if (r < 0)
		log_warning(
			"disk '%s': its scratch stands on another layer than its record says: %s; it is kept for the next prepare",
			disk->name, why.text);
}

/*
 * A running guest may have it open, which nobody has counted yet, and have changed its header
 * (virsh blockresize): it is looked at when sealed.
 */
static bool is_open(const struct disk *disk)
{
	struct stat stat;

	return fstat(disk->scratch->fd, &stat) == 0 &&
	       handover_has_open(disk->disks->handover, stat.st_dev, stat.st_ino);
}

static void load_scratch(struct disk *disk, bool first_of_boot)
{
	struct layer *base = disk_base(disk), *sealed;
	struct sentence why;
	int r = scratch_adopt(disk, base);

	if (r == -ENOENT && !may_be_thrown_away(disk))
		log_error("disk '%s': its scratch, which was to be kept (%s), is gone", disk->name,
			  fate_name(disk->record.fate));
	if (r == 0)
		rebase_recover(disk->scratch->fd, disk->directory, SCRATCH_HEADER);
	sealed = r == 0 ? sealed_as(disk) : NULL;
	if (sealed)
		complete_head(disk, sealed);
	base = disk_base(disk);
	if (r == 0 && (sealed || (first_of_boot && may_be_thrown_away(disk))))
		r = -ENOENT;
	if (r == 0 && scratch_check(disk->scratch, &why) < 0 && !is_open(disk)) {
		if (!scratch_is_dirty(disk->scratch) || may_be_thrown_away(disk))
			r = -ENOENT;
		else
			rebase_scratch(disk);
	}
	if (r == -ENOENT)
		r = scratch_replace(disk, base, &why);
	else if (r < 0)
		report(&why, r, "its scratch cannot be opened: %s", error_text(r));
	if (r < 0) {
		report_context(&why, r, "disk '%s' cannot be served until a reset succeeds: ", disk->name);
		disk_fail(disk, &why);
	}
}

/*
 * A filesystem's device number may change from boot to boot; the tree compares it when it looks for
 * protected files.
 */
static void refresh_device(struct layer *root)
{
	struct image_stamp stamp;

	if (layer_check_image(root, true, &stamp) == 0)
		root->record.stamp.device = stamp.device;
}

static int find_layers(struct disk *disk)
{
	struct disks *disks = disk->disks;
	struct layer *head, *hold = NULL, *root;

	pthread_mutex_lock(&disks->lock);
	head = layer_find_locked(disks, disk->record.head);
	if (disk->record.hold[0])
		hold = layer_find_locked(disks, disk->record.hold);
	if (head && (hold || !disk->record.hold[0])) {
		for (root = head; root->parent; root = root->parent)
			;
		disk->root = layer_get_locked(root);
		disk->head = layer_get_locked(head);
		disk->hold = hold ? layer_get_locked(hold) : NULL;
	}
	pthread_mutex_unlock(&disks->lock);
	return disk->head ? 0 : -ENOENT;
}

static void serve_disk(struct disk *disk, bool first_of_boot)
{
	CLEANUP(close_fdp) int image = -1;

	refresh_device(disk->root);
	load_session(disk);
	load_scratch(disk, first_of_boot);
	image = layer_open_file(disk->root, O_PATH);
	if (image < 0)
		fail_disk(disk, image, "its image is gone");
}

/* A directory without a record was being protected or unprotected: what it holds means nothing. */
static void remove_unrecorded(struct disks *disks, const char *directory_name)
{
	CLEANUP(close_fdp)
	int directory = openat(disks->disks_fd, directory_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	static const char *const names[] = { "disk.json.new", "session.json", "session.json.new", "scratch.qcow2",
					     "scratch.qcow2.new" };

	for (size_t i = 0; i < ARRAY_SIZE(names) && directory >= 0; i++)
		io_unlink(directory, names[i]);
	if (io_remove_directory(disks->disks_fd, directory_name) < 0)
		log_warning("state directory: disks/%s has no record and is not empty; it is left alone",
			    directory_name);
}

/* What a crash left half-written; whoever writes next would overwrite it, but that may be long. */
static void remove_half_written(const struct disk *disk)
{
	CLEANUP(freep) char *scratch = format_text("%s.new", disk->scratch_name);

	io_unlink(disk->directory, "disk.json.new");
	io_unlink(disk->directory, "session.json.new");
	if (scratch)
		io_unlink(disk->scratch_directory, scratch);
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
		set_incomplete(disks, "disk", name, r);
		return;
	}
	r = record_load_disk(disk->directory, "disk.json", &record);
	if (r == -ENOENT) {
		disk_unclaim(disk);
		disk_put(disk);
		remove_unrecorded(disks, directory_name);
		return;
	}
	disk->record = record;
	disk_insert(disk);
	remove_half_written(disk);
	if (r < 0) {
		set_incomplete(disks, "record of disk", name, r);
		fail_disk(disk, r, "its record cannot be read");
	} else if (find_layers(disk) < 0) {
		set_incomplete(disks, "head or hold of disk", name, -ENOENT);
		fail_disk(disk, -ENOENT, "its head or hold is not there");
	} else {
		serve_disk(disk, disks->first_of_boot);
	}
	disk_unclaim(disk);
	disk_put(disk);
}

/* --- 4. headers ------------------------------------------------------------------------------- */

static void mend_header(struct layer *layer)
{
	CLEANUP(freep) char *saved = layer_file_name(layer->record.id, LAYER_HEADER_SUFFIX);
	CLEANUP(close_fdp) int fd = layer_open_file(layer, O_RDWR);
	struct disks *disks = layer->disks;
	struct sentence why;
	int r = fd < 0 ? fd : !saved ? -ENOMEM : rebase_recover(fd, disks->layers_fd, saved);

	if (r == 0)
		r = rebase_header(disks, fd, disks->layers_fd, saved, layer->parent, &why);
	else
		report(&why, r, "its file cannot be opened: %s", error_text(r));
	if (r < 0) {
		log_error("layer %s cannot be used: %s", layer->record.id, why.text);
		disks->incomplete = true;
	}
}

static void mend_headers(struct disks *disks)
{
	for (struct layer *layer = disks->layers; layer; layer = layer->next)
		if (layer->parent)
			mend_header(layer);
}

/* --- 5. leftovers ----------------------------------------------------------------------------- */

static struct layer *first_unreached(struct disks *disks)
{
	struct layer *layer = disks->layers;

	while (layer && is_reached(layer))
		layer = layer->next;
	return layer;
}

/* Whether the file is also a disk's scratch: then its data is where it belongs. */
static bool is_a_scratch(struct disks *disks, const struct stat *file)
{
	struct stat stat;

	for (const struct disk *disk = disks->first; disk; disk = disk->next_disk)
		if (disk->scratch && fstat(disk->scratch->fd, &stat) == 0 && stat.st_ino == file->st_ino &&
		    stat.st_dev == file->st_dev)
			return true;
	return false;
}

/* A file that no record stands for: removed when its data is elsewhere, else moved to lost/. */
static void put_away(struct disks *disks, const char *name)
{
	struct stat stat;

	if (fstatat(disks->layers_fd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (is_a_scratch(disks, &stat)) {
		io_unlink(disks->layers_fd, name);
		return;
	}
	if (io_rename(disks->layers_fd, name, disks->lost_fd, name) == 0)
		log_warning("state directory: nothing needs layers/%s any more; it was moved to lost/", name);
}

/*
 * The removal of a clone, or an unprotect by force, was cut off: the disk that knows the name is
 * gone. The next one that is called so must not find it.
 */
static void drop_orphaned_names(struct disks *disks)
{
	for (struct layer *layer = disks->layers; layer; layer = layer->next) {
		size_t i = 0;

		while (i < layer->record.name_count) {
			const struct layer_name *name = &layer->record.names[i];

			if (is_disk(disks, name->disk)) {
				i++;
			} else if (layer_drop_name(layer, name->disk, name->snapshot) < 0) {
				log_warning("a snapshot of a disk that is gone stays behind at layer %s",
					    layer->record.id);
				return;
			}
		}
	}
}

static void remove_unreached(struct disks *disks)
{
	struct layer *layer;

	while ((layer = first_unreached(disks))) {
		CLEANUP(freep) char *file = layer_file_name(layer->record.id, LAYER_FILE_SUFFIX);

		/*
		 * One that was folding, and that nothing stands on, has been folded: its data is in
		 * its parent.
		 */
		if (file && !layer->record.image && layer->record.state == LAYER_SEALED)
			put_away(disks, file);
		if (layer_remove(layer) < 0) {
			log_warning("layer %s is not needed and cannot be removed", layer->record.id);
			return;
		}
	}
}

static void remove_unrecorded_file(struct disks *disks, const char *name)
{
	char id[LAYER_ID_SIZE];
	struct layer *layer;

	snprintf(id, sizeof(id), "%s", name);
	pthread_mutex_lock(&disks->lock);
	layer = layer_id_is_valid(id) ? layer_find_locked(disks, id) : NULL;
	pthread_mutex_unlock(&disks->lock);
	if (has_suffix(name, ".new"))
		io_unlink(disks->layers_fd, name);
	else if (layer)
		return;
	else if (layer_id_is_valid(id) &&
		 (has_suffix(name, LAYER_BLANK_SUFFIX) || has_suffix(name, LAYER_HEADER_SUFFIX)))
		io_unlink(disks->layers_fd, name);
	else
		put_away(disks, name);
}

/* --- the whole -------------------------------------------------------------------------------- */

/*
 * Scratches of the last boot may be torn. The record is not synced: after a crash it is at worst
 * the boot before last.
 */
static void find_boot(struct disks *disks)
{
	CLEANUP(close_fdp) int fd = openat(disks->state_fd, BOOT_RECORD, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	CLEANUP(freep) char *text = NULL;

	/* A mount that is taken over is of this boot. */
	if (handover_mount(disks->handover)->restarts)
		return;
	disks->first_of_boot = fd < 0 || read_all(fd, BOOT_ID_SIZE, &text, NULL) < 0 || strcmp(text, disks->boot) != 0;
}

static void note_unfinished(struct disks *disks, const char *name)
{
	if (has_suffix(name, ".json"))
		output_note_unfinished(disks, name);
	else
		io_unlink(disks->outputs_fd, name);
}

int load_state(struct disks *disks, struct sentence *error)
{
	int r;

	find_boot(disks);
	r = visit_directory(disks->intents_fd, complete_intent, disks);
	if (r == 0)
		r = visit_directory(disks->layers_fd, load_layer, disks);
	if (r == 0) {
		build_tree(disks);
		mend_headers(disks);
		r = visit_directory(disks->disks_fd, load_disk, disks);
	}
	if (r < 0)
		return report(error, r, "the state directory '%s' cannot be read: %s", disks->options->state,
			      error_text(r));
	if (r == 0)
		r = visit_directory(disks->outputs_fd, note_unfinished, disks);
	if (!disks->incomplete) {
		drop_orphaned_names(disks);
		remove_unreached(disks);
		visit_directory(disks->layers_fd, remove_unrecorded_file, disks);
	}
	io_replace(disks->state_fd, BOOT_RECORD, disks->boot, strlen(disks->boot), false);
	return 0;
}
