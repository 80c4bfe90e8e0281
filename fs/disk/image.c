/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new content is taken in this order; a crash after any step leaves the image to be looked at
 * again, by the next verb.
 *
 *   1. a disk that had the file before and does not need it forgets it (image_claim_file())
 *   2. the root's record says what the image looks like now
 *   3. where the virtual size is another one, clones without data get fresh scratches; one that is
 *      in use, or claimed, gets its own at its next start
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "beat.h"
#include "claim.h"
#include "command.h"
#include "dependants.h"
#include "image_mark.h"
#include "image_owner.h"
#include "image_stamp.h"
#include "io.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "other_format.h"
#include "probe.h"
#include "scratch.h"
#include "session.h"
#include "table.h"

/* --- the record ------------------------------------------------------------------------------- */

/*
 * Views of the image are other files from here on (view.h). A scratch without data that nobody has
 * open stands on the new content: what is written to it will read that.
 */
static void begin_with_it_locked(struct layer *root)
{
	root->serial = ++root->disks->last_serial;
	for (struct disk *disk = root->disks->first; disk; disk = disk->next_disk)
		if (disk->root == root && disk->scratch && !disk_is_kept_open_locked(disk) &&
		    !scratch_looks_dirty_locked(disk->scratch))
			disk->scratch->contents = root->record.contents;
}

/* That the disk was refused because its image was changed is over. */
static void forget_refusal_locked(struct disk *disk)
{
	if (disk->refusal.text[0] && strstr(disk->last_error.text, disk->refusal.text))
		disk->last_error.text[0] = '\0';
	disk->refusal.text[0] = '\0';
}

static void forget_refusals_locked(const struct layer *root)
{
	for (struct disk *disk = root->disks->first; disk; disk = disk->next_disk)
		if (disk->root == root)
			forget_refusal_locked(disk);
}

/* Another disk of the image may have changed names or stamp since the caller looked. */
static int record_content(struct layer *root, const struct layer_record *now, bool another)
{
	struct layer_record record;
	int r = 0;

	LOCKED (&root->disks->records) {
		record = root->record;
		record.stamp = now->stamp;
		record.virtual_size = now->virtual_size;
		record.contents += another;
		record.trouble = now->trouble;
		r = layer_update(root, &record);
	}
	if (r < 0)
		return r;
	LOCKED (&root->disks->lock) {
		forget_refusals_locked(root);
		if (another)
			begin_with_it_locked(root);
	}
	return 0;
}

/* The image may hang, and all disks write their records under this lock: it is looked at before. */
int image_accept(struct layer *root)
{
	struct layer_record record;
	struct image_stamp now;
	int r = image_compare(root, true, &now);

	if (r < 0)
		return r;
	LOCKED (&root->disks->records) {
		record = root->record;
		r = image_stamps_same_file(&record.stamp, &now) ? 0 : -ESTALE;
		record.stamp = now;
		if (r == 0)
			r = layer_update(root, &record);
	}
	return r;
}

static int forget_file(struct layer *root, const struct image_stamp *stamp)
{
	struct layer_record record;
	int r = 0;

	LOCKED (&root->disks->records) {
		record = root->record;
		if (image_stamps_same_file(&record.stamp, stamp)) {
			record.stamp = (struct image_stamp){ .device = record.stamp.device };
			r = layer_update(root, &record);
		}
	}
	return r;
}

int image_check_owner(struct disks *disks, const char *name, const struct layer *root, const struct image_stamp *stamp,
		      struct sentence *error)
{
	struct sentence quoted;
	bool moved;
	struct disk *other = disks_find_image(disks, stamp, root, &moved);

	if (other && !moved)
		report(error, -EEXIST, "image '%s' is protected already, as '%s'", name, disk_name(other));
	else if (other)
		report(error, -EEXIST,
		       "image '%s' is that of the disk '%s', which stands on it, and was moved; "
		       "move it back to '%s', or give up what stands on it with 'unprotect %s force=yes'",
		       name, disk_name(other), disk_name(other), quote_name(disk_name(other), &quoted));
	disk_put(other);
	return other ? -EEXIST : 0;
}

int image_claim_file(struct disks *disks, const char *name, const struct layer *root, const struct image_stamp *stamp,
		     struct sentence *error)
{
	int r = image_check_owner(disks, name, root, stamp, error);

	if (r < 0)
		return r;
	for (struct disk *other = disks_step_identity(disks, stamp, root, NULL); other;
	     other = disks_step_identity(disks, stamp, root, other)) {
		r = forget_file(other->root, stamp);
		if (r < 0) {
			report(error, r, "that the image of the disk '%s' is now '%s' cannot be recorded: %s",
			       disk_name(other), name, error_text(r));
			disk_put(other);
			return r;
		}
		log_warning("disk '%s': its image was moved, and is now '%s'", disk_name(other), name);
	}
	return 0;
}

/* --- another content -------------------------------------------------------------------------- */

struct others {
	struct disk **list;
	size_t count;
};

static bool is_idle_locked(const struct disk *disk)
{
	return !disk->claimed && disk_base(disk) == disk->root && !fold_owns_chain_locked(disk->root) &&
	       disk->state == DISK_PRISTINE && !disk_is_kept_open_locked(disk) && !session_is_active_locked(disk);
}

/* The other disks of the image that are idle and have no data: claimed, with references. */
static int claim_idle_others(const struct disk *disk, struct others *ret_others)
{
	struct disks *disks = disk->disks;
	size_t room = 1;

	LOCKED (&disks->lock) {
		for (const struct disk *other = disks->first; other; other = other->next_disk)
			room += other->root == disk->root;
		ret_others->count = 0;
		ret_others->list = calloc(room, sizeof(struct disk *));
		for (struct disk *other = disks->first; other && ret_others->list; other = other->next_disk) {
			if (other == disk || other->root != disk->root || !is_idle_locked(other))
				continue;
			other->claimed = true;
			other->refs++;
			ret_others->list[ret_others->count++] = other;
		}
	}
	return ret_others->list ? 0 : -ENOMEM;
}

/* After the size has changed: the blank of their scratches was of the old one. */
static void renew_scratch(struct disk *disk)
{
	struct sentence why;

	if (scratch_replace(disk, disk->root, &why) < 0)
		log_warning("disk '%s': its scratch is of its image's old size, until it is reset: %s", disk->name,
			    why.text);
}

static void release_others(struct others *others)
{
	for (size_t i = 0; i < others->count; i++)
		disk_release_claim(others->list[i]);
	free(others->list);
}

/* `another`: it is not the content that scratches stand on so far. */
static int record_image(struct disk *disk, const struct layer_record *now, bool another, struct sentence *error)
{
	struct layer *root = disk->root;
	struct others others = { 0 };
	bool resized = now->virtual_size != layer_virtual_size(root);
	bool pristine = disk->scratch && disk_base(disk) == root && !scratch_is_dirty(disk->scratch);
	int r = resized ? claim_idle_others(disk, &others) : 0;

	if (r == 0)
		r = record_content(root, now, another);
	if (r < 0)
		report(error, r, "disk '%s': what its image is now cannot be recorded: %s", disk->name, error_text(r));
	if (r == 0 && resized) {
		layer_forget_blank(root);
		if (pristine)
			renew_scratch(disk);
		for (size_t i = 0; i < others.count; i++)
			renew_scratch(others.list[i]);
	}
	release_others(&others);
	return r;
}

/* A copy that is not complete yet would be booted as it is. */
static int check_no_writer(const struct layer *root, struct sentence *error)
{
	CLEANUP(close_fdp) int fd = layer_open_file(root, O_RDONLY);

	return fd >= 0 && io_check_no_writer(fd) == -EBUSY
		       ? report(error, -EBUSY, "image '%s' is open for writing; close it first", root->record.image)
		       : 0;
}

/* What is there now, if it can be taken; its file is claimed, or only looked at. */
static int probe_content(struct disk *disk, bool claim, struct layer_record *now, struct sentence *error)
{
	struct layer *root = disk->root;
	int r = check_no_writer(root, error);

	if (r == 0)
		r = probe_image(disk->disks, root->record.image, format_name(root->record.format), now, error);
	if (r == 0)
		r = (claim ? image_claim_file : image_check_owner)(disk->disks, root->record.image, root, &now->stamp,
								   error);
	return r < 0 ? report_context(error, r,
				      "disk '%s': its image was changed and cannot be taken as it is now: ", disk->name)
		     : 0;
}

/* Take what is there now. What `now` has of the old record is replaced. */
static int take_content(struct disk *disk, struct layer_record *now, struct sentence *error)
{
	int r = probe_content(disk, true, now, error);

	return r < 0 ? r : record_image(disk, now, true, error);
}

/* --- what a verb asks ------------------------------------------------------------------------- */

/* The layer that is being folded into the image, or was before a crash: a reference, or NULL. */
static struct layer *find_folding(const struct layer *root)
{
	struct layer *layer;

	pthread_mutex_lock(&root->disks->lock);
	for (layer = root->disks->layers; layer; layer = layer->next)
		if (layer->parent == root && layer->record.state == LAYER_FOLDING)
			break;
	if (layer)
		layer_get_locked(layer);
	pthread_mutex_unlock(&root->disks->lock);
	return layer;
}

/*
 * Through the layer everything reads right over what the image was before, and over any mixture of
 * that and of the layer; over nothing else.
 */
static int refuse_folding(const struct disk *disk, const struct layer *folding, struct sentence *error)
{
	struct sentence quoted;
	const char *name = quote_name(disk->name, &quoted);

	return report(
		error, -EBUSY,
		"disk '%s': its image was written or put back while layer %s was not yet folded into it, so that fold does not go on; "
		"'set %s image=unchanged' lets it go on, which is right if the image is as it was before that fold or in the middle of it; "
		"over any other content 'set %s image=new' gives up what stands on it, which goes to lost/",
		disk->name, folding->record.id, name, name);
}

/* As image_compare(); what the fold has written is no change. `folding` may be NULL. */
static int compare(struct layer *root, const struct layer *folding, struct image_stamp *ret_stamp)
{
	int state = image_compare(root, false, ret_stamp);

	return state == IMAGE_CHANGED && folding && beat_explains(folding, &ret_stamp->modified) ? IMAGE_SAME : state;
}

/*
 * The sentence says what stands on the old content, and the command that gives up no more than
 * that.
 */
static int refuse_changed(const struct disk *disk, bool replaced, const struct dependant *other, struct sentence *error)
{
	struct sentence quoted;

	return report(error, -EBUSY,
		      "disk '%s': its image was %s outside revertfs, and %s on what it was; "
		      "'set %s image=unchanged' if it has the same content as ever, %s",
		      disk->name, replaced ? "replaced" : "changed", other->what.text, quote_name(disk->name, &quoted),
		      other->way.text);
}

/* The image is looked at, and changed in its record, by one thread at a time. */
static void begin_renewing(struct layer *root)
{
	LOCKED (&root->disks->lock) {
		while (root->renewing)
			pthread_cond_wait(&root->disks->changed, &root->disks->lock);
		root->renewing = true;
	}
}

static void end_renewing(struct layer *root)
{
	LOCKED (&root->disks->lock) {
		root->renewing = false;
		pthread_cond_broadcast(&root->disks->changed);
	}
}

int image_take(struct disk *disk, struct sentence *error)
{
	struct layer_record now = { 0 };
	int r;

	begin_renewing(disk->root);
	r = take_content(disk, &now, error);
	end_renewing(disk->root);
	return r;
}

/* Somebody changed it; another disk of the image may have taken it by now. */
static int look_again(struct disk *disk, const struct layer *folding, bool scratch_depends, bool take,
		      struct sentence *error)
{
	struct layer *root = disk->root;
	struct layer_record now = { 0 };
	int state = compare(root, folding, &now.stamp), r;
	bool replaced = state == IMAGE_REPLACED, others = false, is_written = false;
	struct dependant other;
	struct sentence quoted;

	if (state < 0)
		return report(error, state, "disk '%s': its image cannot be reached: %s", disk->name,
			      error_text(state));
	if (state == IMAGE_SAME)
		return 0;
	if (folding)
		return refuse_folding(disk, folding, error);
	r = other_format_refuse(disk, error);
	if (r < 0)
		return r;
	LOCKED (&disk->disks->lock) {
		others = image_has_dependants_locked(root, disk, replaced, &other);
		is_written = disk->scratch && disk->scratch->writers;
	}
	/* As of the disks that are not asked about; but it is this one's own guest. */
	if (!others && is_written)
		return report(
			error, -EBUSY,
			"disk '%s': its image was %s outside revertfs while a guest has the disk open; stop that first",
			disk->name, replaced ? "replaced" : "changed");
	if (!others && scratch_depends) {
		report(&other.what, 0, "changes in the scratch stand");
		report(&other.way, 0, "'reset %s%s' gives them up", quote_name(disk->name, &quoted),
		       dependant_reset_force(disk));
	}
	if (others || scratch_depends)
		return refuse_changed(disk, replaced, &other, error);
	if (!take)
		return probe_content(disk, false, &now, error);
	r = take_content(disk, &now, error);
	if (r == 0)
		log_warning(
			"disk '%s': its image was %s outside revertfs; nothing depended on it, so the disk now begins with the new content",
			disk->name, replaced ? "replaced" : "changed");
	return r;
}

bool image_scratch_stands(const struct disk *disk)
{
	return disk->record.fate != FATE_DISCARD && disk->scratch && scratch_is_dirty(disk->scratch) &&
	       scratch_check_image(disk->scratch, NULL) == 0;
}

static int check(struct disk *disk, bool scratch_depends, bool take, struct sentence *error)
{
	struct layer *root = disk->root, *folding;
	struct image_stamp now;
	struct sentence why, quoted;
	int r = image_mark_check(root, disk->name, error);

	if (r < 0)
		return r;
	r = scratch_depends && disk->scratch ? scratch_check_image(disk->scratch, &why) : 0;
	if (r < 0)
		return report(error, -EBUSY, "disk '%s': %s; 'reset %s%s' gives it up", disk->name, why.text,
			      quote_name(disk->name, &quoted), dependant_reset_force(disk));
	folding = find_folding(root);
	if (compare(root, folding, &now) != IMAGE_SAME) {
		begin_renewing(root);
		r = look_again(disk, folding, scratch_depends, take, error);
		end_renewing(root);
	}
	layer_put(folding);
	return r;
}

static int check_new(struct disk *disk, const struct layer *folding, struct sentence *error)
{
	struct layer_record now = { 0 };
	struct dependant needs;
	struct sentence quoted;
	bool needed = false;
	int state = compare(disk->root, folding, &now.stamp), r;

	if (state < 0)
		return report(error, state, "disk '%s': its image cannot be reached: %s", disk->name,
			      error_text(state));
	if (state != IMAGE_SAME) {
		r = other_format_refuse(disk, error);
		return r == 0 ? probe_content(disk, false, &now, error) : r;
	}
	LOCKED (&disk->disks->lock)
		needed = image_has_dependants_locked(disk->root, NULL, true, &needs);
	return needed ? report(error, -EINVAL,
			       "disk '%s': its image is what revertfs last saw, and %s on it: that is not given up so; "
			       "'unprotect %s force=yes' gives it up",
			       disk->name, needs.what.text, quote_name(disk->root->record.image, &quoted))
		      : 0;
}

int image_check_new(struct disk *disk, struct sentence *error)
{
	struct layer *folding;
	int r = image_mark_check(disk->root, disk->name, error);

	if (r < 0)
		return r;
	folding = find_folding(disk->root);
	r = check_new(disk, folding, error);
	layer_put(folding);
	return r;
}

static int check_and_note(struct disk *disk, bool scratch_depends, bool take, struct sentence *error)
{
	struct sentence why = { "" };
	int r = check(disk, scratch_depends, take, &why);

	LOCKED (&disk->disks->lock) {
		if (r < 0)
			disk->refusal = why;
		else
			forget_refusal_locked(disk);
	}
	if (r < 0 && error)
		*error = why;
	return r;
}

int image_check(struct disk *disk, bool scratch_depends, struct sentence *error)
{
	return check_and_note(disk, scratch_depends, true, error);
}

int image_would_be_refused(struct disk *disk, bool scratch_depends, struct sentence *error)
{
	return check_and_note(disk, scratch_depends, false, error);
}

/* --- what an administrator says --------------------------------------------------------------- */

/* The layers stay, and stand on what is there now. */
static int bind(struct disk *disk, bool unchanged, struct sentence *error)
{
	struct layer *root = disk->root;
	struct layer_record now = { 0 };
	struct sentence quoted;
	int r = probe_image(disk->disks, root->record.image, format_name(root->record.format), &now, error);

	/* A guest changes no image's size: such bytes are no guest's. */
	if (r == 0 && now.virtual_size != layer_virtual_size(root))
		r = other_format_refuse(disk, error);
	if (r < 0)
		return r;
	if (unchanged && now.virtual_size != layer_virtual_size(root))
		r = report(
			error, -EINVAL,
			"its image has %llu bytes now and had %llu, so its content is not the same; 'set %s image=as-is' takes it all the same",
			(unsigned long long)now.virtual_size, (unsigned long long)layer_virtual_size(root),
			quote_name(disk->name, &quoted));
	if (r == 0)
		r = image_claim_file(disk->disks, root->record.image, root, &now.stamp, error);
	if (r < 0)
		return report_context(error, r, "disk '%s': ", disk->name);
	return record_image(disk, &now, false, error);
}

/* Whatever layers another state directory has on the image are given up. */
static int take_mark(const struct disk *disk, struct sentence *error)
{
	int r = image_mark_take(disk->root);

	return r < 0 ? report(error, r, "disk '%s': the mark of its image cannot be changed: %s", disk->name,
			      error_text(r))
		     : 0;
}

/* It may be another file than the one that has the mark. */
static int mark_if_needed(const struct disk *disk, struct sentence *error)
{
	int r = image_mark_need(disk->root, error);

	if (r < 0)
		return report_context(error, r, "disk '%s': ", disk->name);
	image_mark_done(disk->root);
	return 0;
}

int image_set(struct disk *disk, const char *value, struct sentence *error)
{
	int r;

	if (strcmp(value, "mine") == 0)
		return take_mark(disk, error);
	if (strcmp(value, "unchanged") != 0 && strcmp(value, "as-is") != 0)
		return report(error, -EINVAL, "image must be unchanged, as-is, new or mine");
	begin_renewing(disk->root);
	r = bind(disk, strcmp(value, "unchanged") == 0, error);
	end_renewing(disk->root);
	if (r == 0)
		r = mark_if_needed(disk, error);
	if (r == 0)
		log_warning("disk '%s': its image is taken as it is, with what stands on it, as 'set image=%s' said",
			    disk->name, value);
	return r;
}
