/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sealing becomes durable in this order; a crash after any step leaves the disk as before or as
 * after.
 *
 *   1. check header and tables, sync         what the guest wrote is on the medium, leads nowhere
 *                                            and reads as no more than it takes
 *   2. link it as layers/ID.qcow2            an unreached file that is the scratch itself: start-up
 *                                            removes the link
 *      mark the image (image_mark.h)         a mark without a layer: start-up takes it away
 *   3. write layers/ID.json                  nothing leads to the layer yet; one that is sealed
 *                                            aside has its name in this record: for it this is the
 *                                            commit point
 *   4. write disk.json, head or hold = ID    the commit point
 *   5. rename a fresh scratch over the old   start-up does it if the daemon did not: it sees that
 *                                            the scratch is the layer's file
 *
 * Several disks go through each step together, and before step 4 an intent is written that names
 * all new heads: from then on the release is promised, and start-up goes through step 4 for those
 * that are missing.
 *
 * A layer's id and the blank for scratches on it are made ahead where possible (housekeeper.c), so
 * that no process is started here. Between 2 and 5 scratch and layer are one file; nobody can write
 * it, for the disk is claimed.
 */
#include "seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "image_mark.h"
#include "io.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "scratch.h"
#include "table.h"

#define INTENT_SUFFIX ".json"

/*
 * Where the header is ours, qemu-img may be shown the scratch: then its tables are to blame. Not
 * over another image than it was made on: the copy would be a mixture.
 */
static int refuse_scratch(struct disk *disk, int r, const struct sentence *why, struct sentence *error)
{
	struct sentence way = { "" }, path, quoted_path, quoted;

	report(&path, 0, "%s/%s", disk->disks->options->mount, disk->name);
	if (scratch_check_image(disk->scratch, NULL) < 0)
		report(&way, 0, " ('reset %s' gives it up)", quote_name(disk->name, &quoted));
	else if (scratch_check(disk->scratch, NULL) == 0)
		report(&way, 0,
		       " ('qemu-img convert -f qcow2 -O qcow2 %s COPY' keeps what it reads as, 'reset %s' gives it up)",
		       quote_name(path.text, &quoted_path), quote_name(disk->name, &quoted));
	return report(
		error, r,
		"disk '%s': the scratch is not what revertfs made: %s%s; it was not sealed and the image was not touched",
		disk->name, why->text, way.text);
}

static int check_and_sync(struct seal *seal, struct sentence *error)
{
	struct disk *disk = seal->disk;
	struct scratch *scratch = disk->scratch;
	struct sentence why;
	int r;

	/* Only what is sealed aside may be a host crash's leftover, which can be torn. */
	r = scratch_check_sealable(scratch, seal->kind == SEAL_ASIDE, &seal->size, &why);
	if (r < 0)
		return refuse_scratch(disk, r, &why, error);
	r = scratch_set_attributes(disk, scratch->fd);
	if (r == 0)
		r = io_sync(scratch->fd);
	if (r < 0)
		return report(error, r, "disk '%s': the scratch cannot be synced, nothing was sealed: %s", disk->name,
			      error_text(r));
	log_debug("disk", "seal '%s': 1 header and tables checked, scratch synced", disk->name);
	return 0;
}

/* Takes the layer that was made ahead, or makes one, and fills its record in. */
static int prepare_layer(struct seal *seal, struct sentence *error)
{
	struct disk *disk = seal->disk;
	struct disks *disks = disk->disks;
	struct blank *blank;
	struct layer *layer;
	int r;

	pthread_mutex_lock(&disks->lock);
	layer = disk->next;
	disk->next = NULL;
	pthread_mutex_unlock(&disks->lock);
	if (layer && layer->record.virtual_size != seal->size) {
		layer_forget_blank(layer);
		layer_put(layer);
		layer = NULL;
	}
	if (!layer)
		layer = layer_new(disks);
	if (!layer)
		return report(error, -ENOMEM, "out of memory");
	seal->layer = layer;
	layer->record.virtual_size = seal->size;
	layer->record.created = time(NULL);
	strcpy(layer->record.parent, disk->scratch->layer->record.id);
	r = layer_blank(layer, &blank, error);
	return r < 0 ? report_context(error, r, "disk '%s': nothing was sealed: ", disk->name) : 0;
}

/* Step 2 where scratches lie on another filesystem: the link is a copy. */
static int copy_as_layer(const struct seal *seal, const char *name)
{
	CLEANUP(freep) char *new_name = format_text("%s.new", name);
	int directory = seal->disk->disks->layers_fd, r;
	CLEANUP(close_fdp) int fd = -1;

	if (!new_name)
		return -ENOMEM;
	fd = io_create_file(directory, new_name);
	if (fd < 0)
		return fd;
	r = io_copy_sparse(seal->disk->scratch->fd, fd);
	if (r == 0)
		r = scratch_set_attributes(seal->disk, fd);
	if (r == 0)
		r = io_sync(fd);
	if (r == 0)
		r = io_rename(directory, new_name, directory, name);
	if (r < 0)
		io_unlink(directory, new_name);
	return r;
}

static int link_as_layer(const struct seal *seal, struct sentence *error)
{
	struct disk *disk = seal->disk;
	CLEANUP(freep) char *name = layer_file_name(seal->layer->record.id, LAYER_FILE_SUFFIX);
	int r = name ? io_link(disk->scratch->fd, disk->disks->layers_fd, name) : -ENOMEM;

	if (r == -EXDEV)
		r = copy_as_layer(seal, name);
	if (r == 0)
		r = io_sync_directory(disk->disks->layers_fd);
	if (r < 0)
		return report(error, r, "disk '%s': the scratch cannot be linked as a layer, nothing was sealed: %s",
			      disk->name, error_text(r));
	log_debug("disk", "seal '%s': 2 linked as layer %s", disk->name, seal->layer->record.id);
	return 0;
}

/* As an image needs it that gets its first layer; the others have it. */
static int mark_image(struct seal *seal, struct sentence *error)
{
	int r = image_mark_need(seal->disk->root, error);

	seal->marked = r == 0;
	return r < 0 ? report_context(error, r, "disk '%s': nothing was sealed: ", seal->disk->name) : 0;
}

/* The layer is in the tree, or on no medium. */
static void unmark_image(struct seal *seal)
{
	if (seal->marked)
		image_mark_done(seal->disk->root);
	seal->marked = false;
}

static int name_layer(struct seal *seal)
{
	struct layer_record *record = &seal->layer->record;

	if (!seal->snapshot)
		return 0;
	/*
	 * A layer with a name is kept as soon as its record is written, before it is the head. The
	 * record says that it is to become the head, and start-up completes that after a crash.
	 */
	record->becomes_head = seal->kind == SEAL_COMMIT;
	record->names = calloc(2, sizeof(*record->names));
	return record->names ? record_append_name(record, seal->disk->name, seal->snapshot) : -ENOMEM;
}

static int record_layer(struct seal *seal, const char *domain, struct sentence *error)
{
	struct disk *disk = seal->disk;
	struct layer_record *record = &seal->layer->record;
	CLEANUP(freep) char *file = layer_file_name(record->id, LAYER_RECORD_SUFFIX);
	int r = file ? name_layer(seal) : -ENOMEM;

	snprintf(record->domain, sizeof(record->domain), "%s", domain ? domain : "");
	/*
	 * Rarely is it known of a scratch that is sealed aside that its guest had shut down, and a
	 * saved guest has not.
	 */
	if (seal->kind != SEAL_COMMIT && !seal->clean)
		strcpy(record->consistency, "crash-consistent");
	snprintf(record->note, sizeof(record->note), "%s", seal->note ? seal->note : "");
	if (r == 0)
		r = record_save_layer(&disk->disks->state_guard, disk->disks->layers_fd, file, record);
	if (r < 0)
		return report(error, r, "disk '%s': the new layer cannot be recorded, nothing was sealed: %s",
			      disk->name, error_text(r));
	log_debug("disk", "seal '%s': 3 record of layer %s written", disk->name, record->id);
	return 0;
}

/* Steps 2 and 3 undone, in the other order. What cannot be removed now the next start removes. */
static void drop_layer(struct seal *seal)
{
	struct layer *layer = seal->layer;
	struct disks *disks = seal->disk->disks;
	static const char *const suffixes[] = { LAYER_RECORD_SUFFIX, LAYER_FILE_SUFFIX, LAYER_BLANK_SUFFIX };
	bool gone = true;

	if (!layer)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		CLEANUP(freep) char *name = layer_file_name(layer->record.id, suffixes[i]);

		if (name && io_unlink(disks->layers_fd, name) == 0)
			continue;
		gone = false;
		log_warning("layer %s, which was not sealed, leaves '%s' behind; the next start removes it",
			    layer->record.id, name ? name : "files");
	}
	if (gone)
		unmark_image(seal);
	layer_put(layer);
	seal->layer = NULL;
}

static char *intent_file(const char *uuid)
{
	return format_text("%s" INTENT_SUFFIX, uuid);
}

/*
 * How many of the seals move a head or a hold. An intent is needed for two: one disk.json is a
 * commit point by itself.
 */
static size_t count_moves(const struct seal *seals, size_t count)
{
	size_t moves = 0;

	for (size_t i = 0; i < count; i++)
		moves += seals[i].kind != SEAL_ASIDE;
	return moves;
}

static int record_intent(struct disks *disks, const struct seal *seals, size_t count, const char *uuid,
			 const char *domain, struct sentence *error)
{
	CLEANUP(freep) struct intent_entry *entries = calloc(count, sizeof(*entries));
	CLEANUP(freep) char *file = intent_file(uuid);
	struct intent_record intent = { .entries = entries };
	int r;

	if (!entries || !file)
		return report(error, -ENOMEM, "out of memory");
	strcpy(intent.uuid, uuid);
	snprintf(intent.domain, sizeof(intent.domain), "%s", domain);
	for (size_t i = 0; i < count; i++) {
		if (seals[i].kind == SEAL_ASIDE)
			continue;
		entries[intent.count].disk = seals[i].disk->name;
		entries[intent.count].hold = seals[i].kind == SEAL_HOLD;
		strcpy(entries[intent.count].layer, seals[i].layer->record.id);
		strcpy(intent.consumed, seals[i].after.consumed);
		intent.managed = seals[i].after.hold_managed;
		intent.count++;
	}
	r = record_save_intent(&disks->state_guard, disks->intents_fd, file, &intent);
	if (r < 0) {
		/*
		 * The intent may have reached the medium although saving it failed; it must not be
		 * found there by the next start.
		 */
		io_unlink(disks->intents_fd, file);
		return report(error, r,
			      "the intent to seal %zu disks of domain '%s' cannot be recorded, nothing was sealed: %s",
			      intent.count, domain, error_text(r));
	}
	log_debug("disk", "seal: intent of domain %s written, for %zu disks", uuid, intent.count);
	return 0;
}

static void fill_after(struct seal *seal)
{
	struct disk_record *after = &seal->after;

	if (seal->kind == SEAL_COMMIT) {
		strcpy(after->head, seal->layer->record.id);
		after->follow = false;
		record_clear_hold(after);
	} else if (seal->kind == SEAL_HOLD) {
		strcpy(after->hold, seal->layer->record.id);
	}
}

/*
 * Step 4 for one disk. When writing the record fails, nobody knows whether the medium has the old
 * one or the new one, so the old one is written back. When that fails too, the disk has failed, and
 * -EUCLEAN is returned: then nothing may be removed.
 */
static int move_head(struct seal *seal, struct sentence *error)
{
	struct disk *disk = seal->disk;
	struct disk_record before = disk->record;
	struct sentence lost;
	int r;

	fill_after(seal);
	r = disk_save(disk, &seal->after);
	if (r == 0) {
		log_debug("disk", "seal '%s': 4 disk.json written, %s = %s", disk->name,
			  seal->kind == SEAL_HOLD ? "hold" : "head",
			  seal->kind == SEAL_HOLD ? seal->after.hold : seal->after.head);
		return 0;
	}
	report(error, r, "disk '%s': its record cannot be replaced, nothing was sealed: %s", disk->name, error_text(r));
	if (disk_save(disk, &before) == 0)
		return r;
	report(&lost, r,
	       "disk '%s': its record cannot be written (%s), so it is not known whether layer %s is its head; "
	       "everything was kept, restart revertfs when the state directory can be written again",
	       disk->name, error_text(r), seal->layer->record.id);
	disk_fail(disk, &lost);
	*error = lost;
	return -EUCLEAN;
}

/* Steps 4 and 5 in memory. */
static void adopt_layer(struct seal *seal)
{
	struct disk *disk = seal->disk;
	struct sentence why;
	int r = layer_insert(seal->layer);

	if (r == 0)
		unmark_image(seal);
	if (r == 0 && seal->kind == SEAL_COMMIT) {
		disk_set_head(disk, seal->layer);
		disk_set_hold(disk, NULL);
	} else if (r == 0 && seal->kind == SEAL_HOLD) {
		disk_set_hold(disk, seal->layer);
	} else if (r == 0 && !disk->record.hold[0]) {
		disk_set_hold(disk, NULL); /* the layer that was sealed aside stands on the hold, and keeps it */
	}
	if (r == 0)
		r = scratch_replace(disk, disk_base(disk), &why);
	else
		report(&why, r, "its parent is gone");
	if (r < 0) {
		report_context(&why, r,
			       "disk '%s' was sealed as layer %s, but cannot be served until a reset succeeds: ",
			       disk->name, seal->layer->record.id);
		disk_fail(disk, &why);
		disk_drop_scratch(disk); /* its file is the layer's now, and must not be written any more */
		return;
	}
	log_debug("disk", "seal '%s': 5 fresh scratch on layer %s", disk->name, disk_base(disk)->record.id);
}

/* From here on no other content is taken for the image: what is sealed would stand on it. */
static void hold_images(const struct seal *seals, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct layer *root = seals[i].disk->root;

		LOCKED (&root->disks->lock) {
			while (root->renewing)
				pthread_cond_wait(&root->disks->changed, &root->disks->lock);
			root->sealing++;
		}
	}
}

static void release_images(const struct seal *seals, size_t count)
{
	for (size_t i = 0; i < count; i++)
		LOCKED (&seals[i].disk->disks->lock)
			seals[i].disk->root->sealing--;
}

static int do_steps(struct disks *disks, struct seal *seals, size_t count, const char *uuid, const char *domain,
		    struct sentence *error)
{
	bool promised = uuid && count_moves(seals, count) > 1;
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = check_and_sync(&seals[i], error);
	for (size_t i = 0; i < count && r == 0; i++)
		r = prepare_layer(&seals[i], error);
	for (size_t i = 0; i < count && r == 0; i++)
		r = link_as_layer(&seals[i], error);
	for (size_t i = 0; i < count && r == 0; i++)
		r = mark_image(&seals[i], error);
	for (size_t i = 0; i < count && r == 0; i++)
		r = record_layer(&seals[i], domain, error);
	if (r == 0 && promised)
		r = record_intent(disks, seals, count, uuid, domain, error);
	return r;
}

/*
 * After a failure the caller gets no layer. Adopted ones are in the tree; the others are found by
 * the next start.
 */
static void put_layers(struct seal *seals, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		layer_put(seals[i].layer);
		seals[i].layer = NULL;
	}
}

/*
 * Steps 4 and 5 after an intent. There is no way back from there: a disk whose record cannot be
 * written has failed until the next start.
 */
static int fulfil_intent(struct disks *disks, struct seal *seals, size_t count, const char *uuid,
			 struct sentence *error)
{
	CLEANUP(freep) char *file = intent_file(uuid);
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		int r = move_head(&seals[i], error);

		if (r < 0) {
			struct sentence why;

			report(&why, r,
			       "disk '%s': sealed as layer %s, which cannot be recorded as its head yet; the next start of revertfs does it",
			       seals[i].disk->name, seals[i].layer->record.id);
			disk_fail(seals[i].disk, &why);
			*error = why;
			result = r;
		} else {
			adopt_layer(&seals[i]);
		}
	}
	if (result == 0 && file && io_unlink(disks->intents_fd, file) == 0)
		io_sync_directory(disks->intents_fd);
	else if (result == 0)
		log_warning(
			"the intent of domain %s, which was carried out, cannot be removed; the next start removes it",
			uuid);
	if (result < 0)
		put_layers(seals, count);
	return result;
}

static int seal_held(struct disks *disks, struct seal *seals, size_t count, const char *uuid, const char *domain,
		     struct sentence *error)
{
	bool promised = uuid && count_moves(seals, count) > 1;
	int r = do_steps(disks, seals, count, uuid, domain, error);

	if (r == 0 && promised)
		return fulfil_intent(disks, seals, count, uuid, error);
	/*
	 * Without an intent at most one head or hold moves. It moves before anything else, so that
	 * after a failure everything can still be undone.
	 */
	for (size_t i = 0; i < count && r == 0; i++)
		if (seals[i].kind != SEAL_ASIDE)
			r = move_head(&seals[i], error);
	if (r < 0) {
		for (size_t i = 0; i < count && r != -EUCLEAN; i++)
			drop_layer(&seals[i]);
		put_layers(seals, count);
		return r == -EUCLEAN ? -EIO : r;
	}
	for (size_t i = 0; i < count; i++) {
		if (seals[i].kind == SEAL_ASIDE && move_head(&seals[i], error) < 0)
			log_warning("disk '%s': sealed aside as '%s', but its record could not be updated",
				    seals[i].disk->name, seals[i].snapshot);
		adopt_layer(&seals[i]);
	}
	return 0;
}

int seal_scratches(struct disks *disks, struct seal *seals, size_t count, const char *uuid, const char *domain,
		   struct sentence *error)
{
	int r;

	hold_images(seals, count);
	r = seal_held(disks, seals, count, uuid, domain, error);
	release_images(seals, count);
	return r;
}

/*
 * Whether the layer still is to become the head or hold. An intent that could not be removed, or
 * not be carried out for another disk, may be older than the disk's last commit: a head that has
 * moved on since must not be moved back. It has not when the layer stands on it.
 */
static bool is_still_promised(struct disks *disks, const struct disk_record *record, const struct intent_entry *entry)
{
	CLEANUP(freep) char *file = layer_file_name(entry->layer, LAYER_RECORD_SUFFIX);
	CLEANUP(record_clear_layer) struct layer_record layer = { 0 };
	const char *base = record->hold[0] ? record->hold : record->head;

	return file && record_load_layer(disks->layers_fd, file, &layer) == 0 && !layer.name_count &&
	       strcmp(layer.parent, base) == 0;
}

static int complete_entry(struct disks *disks, const struct intent_record *intent, const struct intent_entry *entry,
			  struct sentence *error)
{
	CLEANUP(freep) char *directory_name = disk_directory_name(entry->disk);
	CLEANUP(close_fdp) int directory = -1;
	struct disk_record record = { 0 };
	int r;

	if (!directory_name)
		return report(error, -ENOMEM, "out of memory");
	directory = openat(disks->disks_fd, directory_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = directory < 0 ? -errno : record_load_disk(directory, "disk.json", &record);
	if (r < 0)
		return report(error, r, "the record of disk '%s' cannot be read: %s", entry->disk, error_text(r));
	if (!is_still_promised(disks, &record, entry)) {
		free(record.origin);
		return 0;
	}
	record.fate = FATE_DISCARD;
	record.fate_uuid[0] = '\0';
	record.fate_armed = record.fate_unread = false;
	record_clear_unread(&record, intent->uuid);
	if (entry->hold) {
		strcpy(record.hold, entry->layer);
		strcpy(record.hold_uuid, intent->uuid);
		strcpy(record.hold_domain, intent->domain);
		record.hold_managed = intent->managed;
	} else {
		strcpy(record.head, entry->layer);
		record.follow = false;
		record.commit_at_release = false;
		record_clear_hold(&record);
		strcpy(record.consumed, intent->consumed);
	}
	r = record_save_disk(&disks->state_guard, directory, "disk.json", &record);
	free(record.origin);
	return r < 0 ? report(error, r, "the record of disk '%s' cannot be written: %s", entry->disk, error_text(r))
		     : 0;
}

int seal_complete_intent(struct disks *disks, const char *file, struct sentence *error)
{
	CLEANUP(record_clear_intent) struct intent_record intent = { 0 };
	int r = record_load_intent(disks->intents_fd, file, &intent);

	if (r < 0)
		return report(error, r, "it cannot be read: %s", error_text(r));
	for (size_t i = 0; i < intent.count; i++) {
		r = complete_entry(disks, &intent, &intent.entries[i], error);
		if (r < 0)
			return r;
	}
	log_info("the end of a session of domain '%s' that a crash interrupted was completed on %zu disks",
		 intent.domain, intent.count);
	r = io_unlink(disks->intents_fd, file);
	return r == 0 ? io_sync_directory(disks->intents_fd) : r;
}
