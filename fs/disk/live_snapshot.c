/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot of a disk that is being used: a copy of its scratch becomes a layer beside the head,
 * and the session goes on undisturbed.
 *
 * The caller has paused the guest: QEMU has then written the qcow2 tables that it caches, and
 * writes nothing more. After step 1 the guest may be resumed, and the status says so: checking and
 * syncing take longer than copying. The disk is claimed all along, so that opens and verbs wait;
 * descriptors that are open are not touched. In this order, so that a crash leaves the whole layer
 * or nothing:
 *
 *   1. copy the scratch to layers/ID.qcow2.new,    start-up removes the copy
 *      see that the scratch was not written
 *      meanwhile                                   the guest may go on
 *   2. check the copy's header, have qemu-img check the copy
 *   3. sync the copy, and the directory
 *      mark the image (image_mark.h)               a mark without a layer: start-up takes it away
 *   4. write layers/ID.json, with the name         the commit point
 *   5. rename the copy to layers/ID.qcow2          start-up does it if the daemon did not
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "image.h"
#include "image_mark.h"
#include "io.h"
#include "layer.h"
#include "layer_header.h"
#include "log.h"
#include "qcow2_clusters.h"
#include "qemu_img.h"
#include "reserve.h"
#include "scratch.h"
#include "table.h"
#include "claim.h"

struct copy {
	struct disk *disk;
	bool marked; /* its image (image_mark.h) */
	struct layer *layer;
	char *name, *new_name;
	int fd;
	bool reflink;
	bool inserted;
	bool is_recorded; /* layers/ID.json may be on the medium, although a step failed */
	double copy_ms;
	uint64_t bytes;
	uint64_t size; /* virtual, as the guest has it */
};

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

/*
 * Where blocks cannot be shared, the space is looked at first: a copy that fills the filesystem
 * would leave the running guest without space too.
 */
static int copy_data(struct copy *copy, const struct stat *scratch, struct sentence *error)
{
	int from = copy->disk->scratch->fd, r = io_reflink(from, copy->fd);
	uint64_t needed = (uint64_t)scratch->st_blocks * 512;

	copy->reflink = r == 0;
	if (r != -EOPNOTSUPP)
		return r < 0 ? report(error, r, "%s", error_text(r)) : 0;
	r = reserve_check(copy->disk->disks->options, copy->fd, needed, error);
	if (r < 0)
		return r;
	r = io_copy_sparse(from, copy->fd);
	return r < 0 ? report(error, r, "%s", error_text(r)) : 0;
}

static bool was_written(const struct stat *before, const struct stat *after)
{
	return before->st_size != after->st_size || before->st_mtim.tv_sec != after->st_mtim.tv_sec ||
	       before->st_mtim.tv_nsec != after->st_mtim.tv_nsec;
}

static void say_copied(struct disk *disk, const char *snapshot)
{
	pthread_mutex_lock(&disk->disks->lock);
	disk->copied = snapshot;
	pthread_mutex_unlock(&disk->disks->lock);
}

/* Step 1. */
static int copy_scratch(struct copy *copy, struct sentence *error)
{
	int from = copy->disk->scratch->fd, r;
	double started = milliseconds();
	struct stat before, after;

	copy->fd = openat(copy->disk->disks->layers_fd, copy->new_name,
			  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (copy->fd < 0 || fstat(from, &before) < 0)
		return report(error, -errno, "a copy cannot be made: %s", error_text(-errno));
	r = copy_data(copy, &before, error);
	copy->copy_ms = milliseconds() - started;
	if (r < 0)
		return report_context(error, r, "its scratch cannot be copied: ");
	if (fstat(from, &after) < 0 || was_written(&before, &after))
		return report(error, -EBUSY, "it was written while it was copied; the guest must be paused");
	copy->bytes = (uint64_t)after.st_blocks * 512;
	return 0;
}

/* Step 2: the header names no other file than it should, and the tables are whole. */
static int check_copy(struct copy *copy, struct sentence *error)
{
	const struct disk *disk = copy->disk;
	struct qcow2_header found = { 0 };
	int r = layer_check_scratch(disk->scratch->layer, copy->fd, &found, error);

	if (r < 0)
		return r;
	copy->size = found.virtual_size;
	r = qcow2_check_clusters(copy->fd, &found, false, error);
	if (r == 0)
		r = qemu_img_check(disk->disks->options, copy->fd, error);
	return r;
}

static int sync_copy(const struct copy *copy)
{
	int r = scratch_set_attributes(copy->disk, copy->fd);

	if (r == 0)
		r = io_sync(copy->fd);
	return r == 0 ? io_sync_directory(copy->disk->disks->layers_fd) : r;
}

static int fill_record(struct copy *copy, const struct live_request *request)
{
	const struct disk *disk = copy->disk;
	struct layer_record *record = &copy->layer->record;

	record->virtual_size = copy->size;
	record->created = time(NULL);
	strcpy(record->parent, disk->scratch->layer->record.id);
	snprintf(record->note, sizeof(record->note), "%s", request->note ? request->note : "");
	snprintf(record->consistency, sizeof(record->consistency), "%s", request->consistency);
	if (disk->session)
		strcpy(record->domain, disk->session->domain);
	record->names = calloc(2, sizeof(*record->names));
	return record->names ? record_append_name(record, disk->name, request->snapshot) : -ENOMEM;
}

/* Steps 3 to 5. */
static int seal_copy(struct copy *copy, const struct live_request *request)
{
	CLEANUP(freep) char *file = layer_file_name(copy->layer->record.id, LAYER_RECORD_SUFFIX);
	int directory = copy->disk->disks->layers_fd, r = file ? sync_copy(copy) : -ENOMEM;

	if (r == 0)
		r = fill_record(copy, request);
	if (r == 0)
		r = image_mark_need(copy->disk->root, NULL);
	if (r < 0)
		return r;
	copy->marked = true;
	r = record_save_layer(&copy->disk->disks->state_guard, directory, file, &copy->layer->record);
	if (r == 0)
		r = io_rename(directory, copy->new_name, directory, copy->name);
	/*
	 * Whatever the error was, the record may be on the medium. As long as it cannot be removed,
	 * the copy must stay, for start-up takes it as the layer's file.
	 */
	if (r < 0 && io_unlink(directory, file) == 0)
		io_sync_directory(directory);
	else if (r < 0)
		copy->is_recorded = true;
	return r;
}

static int make_layer(struct copy *copy, const struct live_request *request, struct sentence *error)
{
	struct disks *disks = copy->disk->disks;
	int r = copy_scratch(copy, error);

	if (r == 0) {
		say_copied(copy->disk, request->snapshot);
		r = check_copy(copy, error);
	}
	if (r == 0) {
		r = seal_copy(copy, request);
		if (r < 0)
			report(error, r, "the copy cannot be sealed: %s", error_text(r));
	}
	say_copied(copy->disk, NULL);
	if (r < 0 && !copy->is_recorded)
		io_unlink(disks->layers_fd, copy->new_name);
	if (r < 0)
		return r;
	r = layer_insert(copy->layer);
	copy->inserted = r == 0;
	return r < 0 ? report(error, r, "what it stands on is gone") : 0;
}

static void describe_copy(const struct copy *copy, struct live_result *ret_result)
{
	*ret_result = (struct live_result){
		.was_copied = true, .reflink = copy->reflink, .copy_ms = copy->copy_ms, .bytes = copy->bytes
	};
	strcpy(ret_result->layer, copy->layer->record.id);
	strcpy(ret_result->consistency, copy->layer->record.consistency);
}

static void clear_copy(struct copy *copy)
{
	if (copy->marked && (copy->inserted || !copy->is_recorded))
		image_mark_done(copy->disk->root);
	close_fdp(&copy->fd);
	free(copy->name);
	free(copy->new_name);
	layer_put(copy->layer);
}

/* Nothing was written since the last reset: what the scratch stands on gets the name. */
static int name_base(struct disk *disk, const struct live_request *request, struct live_result *ret_result,
		     struct sentence *error)
{
	struct layer *base = disk->scratch->layer;
	bool torn;
	int r;

	pthread_mutex_lock(&disk->disks->lock);
	torn = layer_is_torn_locked(base);
	pthread_mutex_unlock(&disk->disks->lock);
	if (torn)
		return report(error, -EBUSY, "a commit is being folded into its head");
	r = layer_add_name(base, disk->name, request->snapshot);
	if (r < 0)
		return report(error, r, "its head cannot be named: %s", error_text(r));
	*ret_result = (struct live_result){ 0 };
	strcpy(ret_result->layer, base->record.id);
	/* What the layer is, not what was asked for: nothing was copied. */
	strcpy(ret_result->consistency, base->record.consistency[0] ? base->record.consistency : "clean");
	return 0;
}

static int snapshot_claimed(struct disk *disk, const struct live_request *request, struct live_result *ret_result,
			    struct sentence *error)
{
	CLEANUP(clear_copy) struct copy copy = { .disk = disk, .fd = -1 };
	struct sentence why;
	int r;

	if (disk_has_failed(disk, &why) || !disk->scratch)
		return report(error, -EIO, "it has failed: %s", why.text);
	if (!scratch_is_dirty(disk->scratch))
		return name_base(disk, request, ret_result, error);
	copy.layer = layer_new(disk->disks);
	copy.name = copy.layer ? layer_file_name(copy.layer->record.id, LAYER_FILE_SUFFIX) : NULL;
	copy.new_name = copy.name ? format_text("%s.new", copy.name) : NULL;
	if (!copy.new_name)
		return report(error, -ENOMEM, "out of memory");
	r = make_layer(&copy, request, error);
	if (r == 0)
		describe_copy(&copy, ret_result);
	return r;
}

int disk_snapshot_live(struct disks *disks, const char *name, const struct live_request *request,
		       struct live_result *ret_result, struct sentence *error)
{
	struct disk *disk;
	int r = disk_claim_name(disks, name, &disk, error);

	if (r < 0)
		return r;
	r = disk_check_new_snapshot(disk, request->snapshot, error);
	if (r == 0)
		r = image_check(disk, true, error);
	if (r == 0) {
		r = snapshot_claimed(disk, request, ret_result, error);
		if (r < 0)
			report_context(error, r, "disk '%s': no snapshot was made: ", name);
		else
			log_info("disk '%s': snapshot '%s' was made of the running disk", name, request->snapshot);
	}
	disk_release_claim(disk);
	return r;
}
