/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fold of a layer into its parent destroys what the parent was, in this order:
 *
 *   0. check the headers of the scratches that 6   what a QEMU has rewritten is never shown to
 *      gives another backing file                  qemu-img; it is kept in lost/, and its disk gets
 *                                                  a fresh scratch
 *      ... and whether the parent can take it      else nothing begins (writable.h)
 *   1. the span in which an image may be written is recorded (beat.c); the layer's record says
 *      `folding`                                   from here on the parent alone means nothing, and
 *                                                  nothing may choose it
 *   2. mend a parent that a QEMU died with;        through the layer everything reads the same at
 *      qemu-img commit, with the chain given       every moment; the span is renewed
 *   3. sync the parent; record what an image looks like now
 *   4. the layer's children get the parent named in their headers (rebase.c) and records
 *   5. the layer's names move to the parent
 *   6. each disk that uses the layer: the header of a scratch with data names the parent; disk.json
 *      has the parent as head or hold; a scratch without data is replaced by one on the parent
 *   7. remove the layer's record, then its file
 *
 * After a crash before 6 is done for all disks, the fold begins again at 1, where nobody else has
 * written the image: steps that were done change nothing. After 6 nothing reaches the layer, and
 * start-up removes it: a layer that is folding and that nothing stands on has been folded.
 *
 * Exclusion: the disk's job is RUNNING meanwhile, so every open and claim over the two layers
 * waits, and asks the fold to stop; it stops only within step 2.
 */
#include "fold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beat.h"
#include "chain.h"
#include "foldable.h"
#include "gc.h"
#include "image.h"
#include "io.h"
#include "layer.h"
#include "layer_header.h"
#include "lock.h"
#include "log.h"
#include "rebase.h"
#include "reserve.h"
#include "scratch.h"
#include "session.h"
#include "state_directory.h"
#include "table.h"
#include "writable.h"

/* --- step 0 ----------------------------------------------------------------------------------- */

/*
 * A scratch may use the layer although neither head nor hold does: an earlier run moved the disk's
 * record, and could not make the fresh scratch.
 */
static bool uses_locked(const struct disk *disk, const struct layer *layer)
{
	return disk->head == layer || disk->hold == layer || (disk->scratch && disk->scratch->layer == layer);
}

/*
 * A disk whose head, hold or scratch uses the layer, of those behind `previous` (NULL: of all): a
 * reference, or NULL. No user leaves the table meanwhile: whoever removes a disk claims it first.
 */
static struct disk *next_user(struct layer *layer, const struct disk *previous)
{
	struct disk *disk;

	pthread_mutex_lock(&layer->disks->lock);
	disk = previous ? previous->next_disk : layer->disks->first;
	while (disk && !uses_locked(disk, layer))
		disk = disk->next_disk;
	if (disk)
		disk->refs++;
	pthread_mutex_unlock(&layer->disks->lock);
	return disk;
}

/* As its next start would: nobody but that QEMU knows what to do with such a scratch. */
static int put_away(struct disk *disk, const struct sentence *found, struct sentence *error)
{
	struct sentence why;
	int r = scratch_to_lost(disk, "a header that revertfs did not write", error);

	if (r == 0)
		r = scratch_replace(disk, disk->scratch->layer, error);
	if (r < 0)
		return r;
	report(&why, -EBADMSG,
	       "disk '%s': the scratch is not what revertfs made: %s; before its layer was folded it was moved to lost/",
	       disk->name, found->text);
	disk_set_last_error(disk, &why);
	return 0;
}

static int check_scratch(struct disk *disk, const struct layer *layer, struct sentence *error)
{
	struct sentence found;
	int r;

	if (!disk->scratch || disk->scratch->layer != layer || !scratch_is_dirty(disk->scratch))
		return 0;
	r = scratch_check(disk->scratch, &found);
	if (r == -EBADMSG)
		return put_away(disk, &found, error);
	return r < 0 ? report(error, r, "the scratch of disk '%s' cannot be looked at: %s", disk->name, found.text) : 0;
}

/* Nobody opens one of these scratches before the fold has ended, so they stay as they are now. */
static int check_scratches(struct layer *layer, struct sentence *error)
{
	struct disk *disk = NULL, *next;
	int r = 0;

	while (r == 0 && (next = next_user(layer, disk))) {
		disk_put(disk);
		disk = next;
		r = check_scratch(disk, layer, error);
	}
	disk_put(disk);
	return r;
}

/* --- step 1 and 2 ----------------------------------------------------------------------------- */

/* For the status: how many bytes there are to fold. */
static void note_bytes(struct disk *disk, int fd)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return;
	pthread_mutex_lock(&disk->disks->lock);
	disk->job.bytes = (uint64_t)stat.st_blocks * 512;
	pthread_mutex_unlock(&disk->disks->lock);
}

struct run {
	struct disk *disk;
	struct beat *beat; /* NULL where the parent is no image: nobody else writes that */
};

static void note_progress(void *context, double percent)
{
	struct disk *disk = ((struct run *)context)->disk;

	pthread_mutex_lock(&disk->disks->lock);
	disk->job.percent = percent;
	pthread_mutex_unlock(&disk->disks->lock);
}

/*
 * Not where a fold goes on that was begun: it had the space then, and what it has copied since
 * would be counted again.
 */
static int check_space(const struct disk *disk, const struct layer *layer, const struct chain *chain,
		       struct sentence *error)
{
	const struct options *options = disk->disks->options;
	uint64_t bytes;
	int r;

	if (options->reserve == 0 || layer->record.state == LAYER_FOLDING)
		return 0;
	bytes = reserve_for_fold(&chain->nodes[0], &chain->nodes[1], layer->record.virtual_size);
	r = reserve_check(options, chain->nodes[1].fd, bytes, error);
	return r < 0 ? report_context(error, r, "there is no room where the %s lies: ",
				      layer->parent->record.image ? "image" : "parent layer")
		     : 0;
}

static int mark_folding(struct layer *layer)
{
	struct layer_record record = layer->record;

	if (record.state == LAYER_FOLDING)
		return 0;
	record.state = LAYER_FOLDING;
	return layer_update(layer, &record);
}

/*
 * A process outside the mount may have the file open for writing. This is asked before the fold
 * opens it for writing itself, which the question could not tell from another writer.
 */
static int check_parent_is_idle(const struct layer *parent, struct sentence *error)
{
	CLEANUP(close_fdp) int fd = layer_open_file(parent, O_RDONLY);

	if (fd >= 0 && io_check_no_writer(fd) == -EBUSY)
		return report(error, -EBUSY, "another process has the %s open for writing",
			      parent->record.image ? "image" : "parent layer");
	return 0;
}

/*
 * A qemu-img that was killed may have left clusters that are allocated although nothing refers to
 * them: harmless, but lost space.
 */
static int drop_leaks(const struct disk *disk, const struct layer *parent, const struct chain *chain,
		      const struct program_watch *watch)
{
	struct sentence why;
	int r = qemu_img_repair(disk->disks->options, chain->nodes + 1, chain->length - 1, "leaks", watch, &why);

	if (r == -ECANCELED)
		return r;
	if (r < 0)
		log_warning("disk '%s': what interrupted folds left in the %s is not freed: %s", disk->name,
			    parent->record.image ? "image" : "parent layer", why.text);
	return 0;
}

static int may_write(void *context)
{
	const struct run *run = context;

	return run->beat ? beat_check(run->beat) : 0;
}

static int begin(struct layer *layer, const struct chain *chain, struct run *run, struct sentence *error)
{
	int r = layer->parent->record.image ? beat_new(layer, chain->nodes[1].fd, &run->beat) : 0;

	if (r == 0)
		r = mark_folding(layer);
	if (r == 0 && run->beat)
		r = beat_start(run->beat);
	if (r < 0)
		return report(error, r, "that it begins cannot be recorded: %s", error_text(r));
	log_debug("job", "fold '%s': 1 layer %s recorded as folding", run->disk->name, layer->record.id);
	return 0;
}

/* With the beat running, where there is one. */
static int write_parent(struct run *run, const struct layer *layer, const struct chain *chain, bool again,
			struct sentence *error)
{
	const struct disk *disk = run->disk;
	struct program_watch watch = {
		.stop_fd = disk->job.stop_fd, .progress = note_progress, .check = may_write, .context = run
	};
	int r = writable_mend(disk, layer, chain, &watch, error), beat;

	if (r == 0)
		r = qemu_img_commit(disk->disks->options, chain->nodes, chain->length, &watch, error);
	if (r == 0 && again && layer->parent->record.format == FORMAT_QCOW2)
		r = drop_leaks(disk, layer->parent, chain, &watch);
	beat = r < 0 ? may_write(run) : 0;
	if (beat == -ESTALE)
		return report(error, beat, "its lock was lost while it ran, and another host may be using the image");
	return beat < 0 ? report(error, beat, "that it goes on cannot be recorded: %s", error_text(beat)) : r;
}

static int copy_into_parent(struct disk *disk, struct layer *layer, struct sentence *error)
{
	CLEANUP(chain_close) struct chain chain = { 0 };
	struct run run = { .disk = disk };
	bool again = layer->record.state == LAYER_FOLDING;
	int r = check_parent_is_idle(layer->parent, error);

	if (r == 0)
		r = chain_open(layer, 2, &chain, error);
	if (r < 0)
		return r;
	r = layer_check_header(layer, chain.nodes[0].fd, layer->parent, error);
	if (r < 0)
		return r;
	r = writable_check(layer, &chain, again, error);
	if (r < 0)
		return r;
	r = check_space(disk, layer, &chain, error);
	if (r < 0)
		return r;
	note_bytes(disk, chain.nodes[0].fd);
	r = begin(layer, &chain, &run, error);
	if (r == 0)
		r = write_parent(&run, layer, &chain, again, error);
	beat_endp(&run.beat);
	if (r < 0)
		return r;
	log_debug("job", "fold '%s': 2 copied into %s", disk->name, layer->parent->record.id);
	r = io_sync(chain.nodes[1].fd);
	return r < 0 ? report(error, r, "the %s cannot be synced: %s",
			      layer->parent->record.image ? "image" : "parent layer", error_text(r))
		     : 0;
}

/* --- steps 3 to 7 ----------------------------------------------------------------------------- */

/* Another disk of the image may change its names, or what it looks like, at the same time. */
static int tell_parent(struct layer *layer, bool *ret_grows)
{
	struct layer *parent = layer->parent;
	struct layer_record record;
	int r = 0;

	LOCKED (&parent->disks->records) {
		record = parent->record;
		*ret_grows = record.virtual_size < layer->record.virtual_size;
		strcpy(record.domain, layer->record.domain);
		strcpy(record.note, layer->record.note);
		strcpy(record.consistency, layer->record.consistency);
		record.created = layer->record.created;
		if (*ret_grows)
			record.virtual_size = layer->record.virtual_size;
		r = layer_update(parent, &record);
	}
	return r;
}

/* The parent reads as the layer did now, so it takes over what is told of the layer. */
static int accept_parent(struct layer *layer, struct sentence *error)
{
	struct layer *parent = layer->parent;
	bool grows = false;
	int r = tell_parent(layer, &grows);

	if (r == 0 && grows)
		layer_forget_blank(parent);
	if (r == 0 && parent->record.image)
		r = image_accept(parent);
	return r < 0 ? report(error, r, "what the parent looks like now cannot be recorded: %s", error_text(r)) : 0;
}

static struct layer *first_child(struct layer *layer)
{
	struct layer *child;

	pthread_mutex_lock(&layer->disks->lock);
	for (child = layer->disks->layers; child && child->parent != layer; child = child->next)
		;
	pthread_mutex_unlock(&layer->disks->lock);
	return child;
}

static int move_child(struct layer *child, struct layer *parent, struct sentence *error)
{
	CLEANUP(freep) char *saved = layer_file_name(child->record.id, LAYER_HEADER_SUFFIX);
	struct layer_record record = child->record;
	struct disks *disks = child->disks;
	struct layer *old = child->parent;
	CLEANUP(close_fdp) int fd = layer_open_file(child, O_RDWR);
	int r;

	if (fd < 0 || !saved)
		return report(error, fd < 0 ? fd : -ENOMEM, "layer %s cannot be opened", child->record.id);
	r = rebase_header(disks, fd, disks->layers_fd, saved, parent, error);
	if (r < 0)
		return r;
	strcpy(record.parent, parent->record.id);
	r = layer_update(child, &record);
	if (r < 0)
		return report(error, r, "the new parent of layer %s cannot be recorded: %s", child->record.id,
			      error_text(r));
	pthread_mutex_lock(&disks->lock);
	child->parent = layer_get_locked(parent);
	parent->children++;
	old->children--;
	layer_put_locked(old);
	pthread_mutex_unlock(&disks->lock);
	return 0;
}

static int move_children(struct layer *layer, struct sentence *error)
{
	struct layer *child;
	int r = 0;

	while (r == 0 && (child = first_child(layer)))
		r = move_child(child, layer->parent, error);
	return r;
}

/*
 * The layer keeps its names until it is removed. Until then a name may find either of the two,
 * which does no harm: both read the same.
 */
static int move_names(struct layer *layer, struct sentence *error)
{
	int r = layer_take_names(layer->parent, layer);

	return r < 0 ? report(error, r, "its names cannot be moved: %s", error_text(r)) : 0;
}

/* A scratch with data gets another backing file in its header. */
static int move_scratch(struct disk *disk, struct layer *parent, struct sentence *error)
{
	struct disks *disks = disk->disks;
	struct scratch *scratch = disk->scratch;
	struct layer *old;
	int r = rebase_header(disks, scratch->fd, disk->directory, SCRATCH_HEADER, parent, error);

	if (r < 0)
		return r;
	pthread_mutex_lock(&disks->lock);
	old = scratch->layer;
	scratch->layer = layer_get_locked(parent);
	layer_put_locked(old);
	pthread_mutex_unlock(&disks->lock);
	return 0;
}

static int move_user(struct disk *disk, struct layer *layer, struct sentence *error)
{
	struct layer *parent = layer->parent;
	struct disk_record record = disk->record;
	bool is_base = disk_base(disk) == layer || (disk->scratch && disk->scratch->layer == layer);
	bool has_data = is_base && disk->scratch && scratch_is_dirty(disk->scratch);
	struct blank *blank;
	int r = layer_blank(parent, &blank, error);

	/*
	 * The scratch is moved before the record: over either of the two layers it reads the same.
	 */
	if (r == 0 && has_data)
		r = move_scratch(disk, parent, error);
	if (r < 0)
		return r;
	if (strcmp(record.head, layer->record.id) == 0)
		strcpy(record.head, parent->record.id);
	if (strcmp(record.hold, layer->record.id) == 0)
		strcpy(record.hold, parent->record.id);
	r = disk_save(disk, &record);
	if (r < 0)
		return report(error, r, "the record of disk '%s' cannot be written: %s", disk->name, error_text(r));
	if (disk->hold == layer)
		disk_set_hold(disk, parent);
	if (disk->head == layer)
		disk_set_head(disk, parent);
	return is_base && !has_data ? scratch_replace(disk, parent, error) : 0;
}

static int move_users(struct layer *layer, struct sentence *error)
{
	struct disk *disk;
	int r = 0;

	while (r == 0 && (disk = next_user(layer, NULL))) {
		r = move_user(disk, layer, error);
		disk_put(disk);
	}
	return r;
}

static int remove_folded(struct layer *layer, struct sentence *error)
{
	int r = layer_remove(layer);

	return r < 0 ? report(error, r, "the folded layer cannot be removed: %s", error_text(r)) : 0;
}

/* Steps 3 to 7, in their order. */
static const struct step {
	int (*run)(struct layer *layer, struct sentence *error);
	const char *done;
} steps[] = {
	{ accept_parent, "3 parent synced and recorded" }, { move_children, "4 children stand on the parent" },
	{ move_names, "5 names moved to the parent" },     { move_users, "6 heads, holds and scratches moved" },
	{ remove_folded, "7 record and file removed" },
};

static int finish(const struct disk *disk, struct layer *layer, struct sentence *error)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steps) && r == 0; i++) {
		r = steps[i].run(layer, error);
		if (r == 0)
			log_debug("job", "fold '%s': %s", disk->name, steps[i].done);
	}
	return r;
}

/* Where the image was looked at for the first time now, nobody has asked this before. */
static int check_image_may_be_written(const struct disk *disk, const struct layer *layer, struct sentence *error)
{
	bool shared = false;
	int r;

	LOCKED (&disk->disks->lock)
		shared = fold_shuns_image_locked(disk, layer, error);
	if (shared)
		return -EPERM;
	r = layer->parent->record.image ? guard_check(&disk->disks->images_guard) : 0;
	return r < 0 ? report(error, r, "disk '%s': another host may be serving its image: %s", disk->name,
			      r == -ESTALE ? "the lock on the images directory is lost" : error_text(r))
		     : 0;
}

int fold_run(struct disk *disk, struct layer *layer, struct sentence *error)
{
	struct sentence why;
	int r = state_check(disk->disks, error);

	if (r == 0)
		r = image_check(disk, true, error);
	if (r == 0)
		r = check_image_may_be_written(disk, layer, error);
	if (r < 0)
		return r;
	r = check_scratches(layer, &why);
	if (r == 0)
		r = copy_into_parent(disk, layer, &why);
	if (r == 0)
		r = finish(disk, layer, &why);
	if (r == -ECANCELED)
		return r;
	if (r < 0)
		return report(
			error, r,
			"disk '%s': layer %s is not folded yet: %s; its content is safe, and the fold is tried again",
			disk->name, layer->record.id, why.text);
	log_info("disk '%s': layer %s was folded into %s", disk->name, layer->record.id,
		 layer->parent->record.image ? "the image" : "its parent");
	/*
	 * What stood on the layer may have been removed meanwhile, so that nothing needs the
	 * parent.
	 */
	gc_layer(layer->parent);
	return 0;
}
