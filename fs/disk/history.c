/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done to a disk's history: the scratch is discarded (reset) or sealed as a layer (commit,
 * snapshot), and the head moves (undo, revert). A move loses nothing: a scratch with data is sealed
 * aside, and a head that nothing else keeps gets a name (aside.h).
 *
 * Each verb is: claim the disk, check that it is idle, change files in an order that a crash cannot
 * hurt, then the memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aside.h"
#include "clone.h"
#include "command.h"
#include "gc.h"
#include "disk.h"
#include "image.h"
#include "io.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "scratch.h"
#include "seal.h"
#include "session.h"
#include "table.h"
#include "claim.h"
#include "job.h"

/* --- reset and commit ------------------------------------------------------------------------- */

/*
 * The record without the hold, in the file and in memory; *ret_dropped becomes the hold's
 * layer, a reference; it stays NULL where there was none.
 */
static int record_reset(struct disk *disk, struct layer **ret_dropped, struct sentence *error)
{
	struct disk_record after = disk->record;
	int r;

	after.fate = FATE_DISCARD;
	record_clear_hold(&after);
	if (after.fate == disk->record.fate && !disk->hold)
		return 0;
	r = disk_save(disk, &after);
	if (r < 0)
		return report(error, r, "disk '%s': its record cannot be written: %s", disk->name, error_text(r));
	log_debug("disk", "reset '%s': disk.json written", disk->name);
	*ret_dropped = disk_take_hold(disk);
	return 0;
}

/* Of what was to be kept, or was, for a saved guest. */
static void say_thrown_away(const struct disk *disk)
{
	if (disk->hold)
		log_warning("disk '%s': what the saved domain '%s' needs of it is given up", disk->name,
			    disk->record.hold_domain);
	if (disk->scratch && disk->record.fate != FATE_DISCARD && scratch_is_dirty(disk->scratch))
		log_warning("disk '%s': what its scratch was to keep (%s) is thrown away: %llu bytes", disk->name,
			    fate_name(disk->record.fate), (unsigned long long)scratch_allocated(disk->scratch));
}

static int reset_scratch(struct disk *disk, struct sentence *error)
{
	int r = scratch_replace(disk, disk->head, error);

	if (r == 0)
		log_debug("disk", "reset '%s': fresh scratch on layer %s", disk->name, disk->head->record.id);
	return r;
}

static int check_no_snapshots(const struct disk *disk, struct sentence *error)
{
	struct sentence quoted;
	const char *name = quote_name(disk->name, &quoted);

	if (!disk->scratch || !scratch_has_snapshots(disk->scratch))
		return 0;
	return report(
		error, -EBUSY,
		"disk '%s': its scratch has internal snapshots, which somebody took by name: 'snapshot %s POINT' keeps them, 'reset %s force=yes' gives them up",
		disk->name, name, name);
}

static int check_may_lose_data(const struct disk *disk, struct sentence *error)
{
	struct sentence quoted;

	if (!disk->record.keeps_data || !disk->scratch || !scratch_is_dirty(disk->scratch))
		return 0;
	return report(error, -EBUSY,
		      "disk '%s' keeps its data (reverts=no); 'reset %s force=yes' throws it away all the same",
		      disk->name, quote_name(disk->name, &quoted));
}

static int reset_claimed(struct disk *disk, bool force, struct sentence *error)
{
	struct layer *dropped = NULL;
	/*
	 * The hold may be all that stands on what a changed image was: then the image is checked
	 * when the hold is gone.
	 */
	bool hold_first = force && disk->hold;
	int r = disk_check_idle(disk, error);

	if (r == 0 && !force)
		r = disk_check_not_held(disk, error);
	if (r == 0 && !force)
		r = check_no_snapshots(disk, error);
	if (r == 0 && !force)
		r = check_may_lose_data(disk, error);
	if (r == 0 && !hold_first)
		r = image_check(disk, false, error);
	if (r < 0)
		return r;
	say_thrown_away(disk);
	r = record_reset(disk, &dropped, error);
	if (r < 0)
		return r;
	if (disk->session)
		session_end(disk);
	r = clone_catch_up(disk, error);
	if (r == 0)
		r = reset_scratch(disk, error);
	if (r < 0)
		report_context(error, r, "disk '%s': ", disk->name);
	if (dropped)
		gc_layer(dropped);
	layer_put(dropped);
	if (r == 0 && hold_first)
		r = image_check(disk, false, error);
	return r == 0 && hold_first ? reset_scratch(disk, error) : r;
}

int disk_reset(struct disks *disks, const char *name, bool force, struct sentence *error)
{
	struct disk *disk;
	int r = disk_claim_name(disks, name, &disk, error);

	if (r < 0)
		return r;
	r = reset_claimed(disk, force, error);
	disk_release_claim(disk);
	return r;
}

/*
 * Whether the scratch may be sealed and the head moved: the disk is idle, not held and served, and
 * its image was not changed outside the mount.
 */
static int check_may_seal(struct disk *disk, struct sentence *error)
{
	struct sentence why;
	int r = disk_check_idle(disk, error);

	if (r == 0)
		r = disk_check_not_held(disk, error);
	if (r == 0 && (disk_has_failed(disk, &why) || !disk->scratch))
		r = report(error, -EIO, "disk '%s' has failed: %s", disk->name, why.text);
	return r < 0 ? r : image_check(disk, scratch_is_dirty(disk->scratch), error);
}

/*
 * What a crash of the host has left of a session without a sync may lack any of its writes: it
 * becomes no head.
 */
static int check_synced(const struct disk *disk, struct sentence *error)
{
	struct sentence quoted;

	if (disk->record.fate != FATE_UNSYNCED)
		return 0;
	return report(
		error, -EBUSY,
		"disk '%s': what is in its scratch was never synced before the host crashed: start its domain, which keeps it as %s-TIME where one-shot-commit is true, or give it up with 'reset %s'",
		disk->name, ASIDE_UNSYNCED, quote_name(disk->name, &quoted));
}

static int commit_claimed(struct disk *disk, const char *note, struct commit_result *result, struct sentence *error)
{
	struct seal seal = { .disk = disk, .kind = SEAL_COMMIT, .note = note, .after = disk->record };
	int r = check_may_seal(disk, error);

	if (r < 0)
		return r;
	if (!scratch_is_dirty(disk->scratch))
		return 0;
	r = check_synced(disk, error);
	if (r < 0)
		return r;
	seal.after.fate = FATE_DISCARD;
	scratch_warn_of_snapshots(disk->scratch, &result->warning);
	r = seal_scratches(disk->disks, &seal, 1, NULL, NULL, error);
	if (r < 0)
		return r;
	strcpy(result->layer, seal.layer->record.id);
	log_info("disk '%s': committed as layer %s", disk->name, seal.layer->record.id);
	layer_put(seal.layer);
	if (disk->session)
		session_end(disk);
	return 0;
}

int disk_commit(struct disks *disks, const char *name, const char *note, struct commit_result *ret_result,
		struct sentence *error)
{
	struct disk *disk;
	int r = disk_claim_name(disks, name, &disk, error);

	*ret_result = (struct commit_result){ 0 };
	if (r < 0)
		return r;
	r = commit_claimed(disk, note, ret_result, error);
	if (r == 0)
		job_queue(disk);
	disk_unclaim(disk);
	if (r == 0)
		job_warn(disk, &ret_result->warning);
	disk_put(disk);
	return r;
}

/*
 * As arming does (session/arm.c): what the guest has flushed, and so takes for kept, is synced
 * before disk.json says that it is to be kept.
 */
static int sync_session(struct disk *disk)
{
	if (!disk->session || !disk->scratch)
		return 0;
	LOCKED (&disk->disks->lock)
		disk->session_may_be_armed = true;
	return io_sync(scratch_fd(disk->scratch));
}

int disk_commit_at_release(struct disks *disks, const char *name, struct sentence *error)
{
	struct disk_record record;
	struct disk *disk;
	int r = disk_claim_name(disks, name, &disk, error);

	if (r < 0)
		return r;
	record = disk->record;
	record.commit_at_release = true;
	if (disk->session && (record.fate == FATE_DISCARD || record.fate == FATE_EDITED)) {
		record.fate = FATE_ARMED;
		record.contents = scratch_contents(disk);
	}
	r = disk->session && disk->scratch ? image_check(disk, true, error) : 0;
	if (r < 0) {
		disk_release_claim(disk);
		return r;
	}
	r = sync_session(disk);
	if (r < 0)
		report(error, r, "disk '%s': what its session has written cannot be synced: %s", name, error_text(r));
	else if ((r = disk_save(disk, &record)) < 0)
		report(error, r, "disk '%s': its record cannot be written: %s", name, error_text(r));
	disk_release_claim(disk);
	return r;
}

/* --- undo and revert: another head ------------------------------------------------------------ */

/*
 * Whether the head would be lost when `to` becomes the head: it has no name, and `to` does not
 * stand on it.
 */
static bool needs_name_locked(const struct layer *head, const struct layer *to)
{
	return head->parent && !head->record.name_count && !layer_is_below_locked(head, to);
}

static int name_old_head(struct disk *disk, const struct layer *to, struct move_result *result, struct sentence *error)
{
	char snapshot[SNAPSHOT_NAME_MAX + 1];
	bool needed;
	int r;

	pthread_mutex_lock(&disk->disks->lock);
	needed = needs_name_locked(disk->head, to);
	pthread_mutex_unlock(&disk->disks->lock);
	if (!needed)
		return 0;
	disk_unused_snapshot_name(disk, ASIDE_UNDONE, snapshot);
	r = layer_add_name(disk->head, disk->name, snapshot);
	if (r < 0)
		return report(error, r, "disk '%s': its head cannot be kept as '%s': %s", disk->name, snapshot,
			      error_text(r));
	strcpy(result->head, snapshot);
	log_info("disk '%s': its last commit was undone and is kept as '%s'", disk->name, snapshot);
	return 0;
}

static int seal_scratch_aside(struct disk *disk, struct move_result *result, struct sentence *error)
{
	struct seal aside = { .disk = disk, .kind = SEAL_ASIDE, .snapshot = result->scratch, .after = disk->record };
	int r;

	if (!scratch_is_dirty(disk->scratch))
		return 0;
	aside.after.fate = FATE_DISCARD;
	disk_unused_snapshot_name(disk, ASIDE_BEFORE_REVERT, result->scratch);
	r = seal_scratches(disk->disks, &aside, 1, NULL, NULL, error);
	if (r < 0)
		result->scratch[0] = '\0';
	else
		layer_put(aside.layer);
	return r;
}

static int check_may_leave(struct disk *disk, const struct layer *to, struct sentence *error)
{
	bool torn;

	pthread_mutex_lock(&disk->disks->lock);
	/*
	 * A revert to the head itself leaves no layer, so a fold is no obstacle. It happens when a
	 * revert was done, and asked for again because the daemon was killed before it answered.
	 */
	torn = to != disk->head && (layer_is_torn_locked(to) || disk->head->record.state == LAYER_FOLDING);
	pthread_mutex_unlock(&disk->disks->lock);
	if (torn)
		return report(error, -EBUSY,
			      "disk '%s': a commit is being folded into its parent and cannot be undone any more",
			      disk->name);
	return 0;
}

/* `to` becomes the head, and a fresh scratch stands on it. */
static int move_to(struct disk *disk, struct layer *to, bool discard, struct move_result *result,
		   struct sentence *error)
{
	struct disk_record after;
	int r = check_may_leave(disk, to, error);

	if (r == 0 && !discard)
		r = seal_scratch_aside(disk, result, error);
	if (r == 0)
		r = name_old_head(disk, to, result, error);
	if (r < 0)
		return r;
	after = disk->record;
	strcpy(after.head, to->record.id);
	after.fate = FATE_DISCARD;
	after.follow = false;
	r = disk_save(disk, &after);
	if (r < 0)
		return report(error, r, "disk '%s': its record cannot be written: %s", disk->name, error_text(r));
	disk_set_head(disk, to);
	if (disk->session)
		session_end(disk);
	return scratch_replace(disk, to, error);
}

static int undo_claimed(struct disk *disk, struct move_result *result, struct sentence *error)
{
	int r = check_may_seal(disk, error);

	if (r < 0)
		return r;
	if (disk->record.follow)
		return report(error, -ENOENT, "clone '%s' has no commit of its own; undo that of its template '%s'",
			      disk->name, disk->record.origin);
	if (!disk->head->parent)
		return report(error, -ENOENT,
			      "disk '%s' has no commit that could be undone: what was committed is part of its image",
			      disk->name);
	return move_to(disk, disk->head->parent, false, result, error);
}

int disk_undo(struct disks *disks, const char *name, struct move_result *ret_result, struct sentence *error)
{
	struct disk *disk;
	int r = disk_claim_name(disks, name, &disk, error);

	*ret_result = (struct move_result){ 0 };
	if (r < 0)
		return r;
	r = undo_claimed(disk, ret_result, error);
	if (r == 0)
		job_queue(disk);
	disk_release_claim(disk);
	return r;
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* The layer of a snapshot, pinned for the caller (layer_unpin), or NULL with a sentence. */
static struct layer *pin_snapshot(struct disk *disk, const char *snapshot, struct sentence *error)
{
	struct layer *layer = layer_pin_snapshot(disk, snapshot);

	if (!layer)
		report(error, -ENOENT, "disk '%s' has no snapshot '%s'", disk->name, snapshot);
	return layer;
}

/*
 * Nothing was written: the head itself gets the name. A head that is being folded may be named too:
 * its names move to the parent, which reads the same when the fold has ended.
 */
static int name_head(struct disk *disk, const char *snapshot, struct commit_result *result, struct sentence *error)
{
	int r = layer_add_name(disk->head, disk->name, snapshot);

	if (r < 0)
		return report(error, r, "disk '%s': its head cannot be named '%s': %s", disk->name, snapshot,
			      error_text(r));
	strcpy(result->layer, disk->head->record.id);
	return 0;
}

static int snapshot_claimed(struct disk *disk, const char *snapshot, const char *note, struct commit_result *result,
			    struct sentence *error)
{
	struct seal seal = {
		.disk = disk, .kind = SEAL_COMMIT, .snapshot = snapshot, .note = note, .after = disk->record
	};
	int r = disk_check_new_snapshot(disk, snapshot, error);

	if (r == 0)
		r = check_may_seal(disk, error);
	if (r < 0)
		return r;
	if (!scratch_is_dirty(disk->scratch))
		return name_head(disk, snapshot, result, error);
	r = check_synced(disk, error);
	if (r < 0)
		return r;
	seal.after.fate = FATE_DISCARD;
	r = seal_scratches(disk->disks, &seal, 1, NULL, NULL, error);
	if (r < 0)
		return r;
	strcpy(result->layer, seal.layer->record.id);
	log_info("disk '%s': snapshot '%s' was made", disk->name, snapshot);
	layer_put(seal.layer);
	if (disk->session)
		session_end(disk);
	return 0;
}

int disk_snapshot(struct disks *disks, const char *name, const char *snapshot, const char *note,
		  struct commit_result *ret_result, struct sentence *error)
{
	struct disk *disk;
	int r = disk_claim_name(disks, name, &disk, error);

	*ret_result = (struct commit_result){ 0 };
	if (r < 0)
		return r;
	r = snapshot_claimed(disk, snapshot, note, ret_result, error);
	disk_unclaim(disk);
	if (r == 0)
		job_warn(disk, &ret_result->warning);
	disk_put(disk);
	return r;
}

int disk_revert(struct disks *disks, const char *name, const char *snapshot, bool discard,
		struct move_result *ret_result, struct sentence *error)
{
	struct layer *layer;
	struct disk *disk;
	int r = disk_claim_name(disks, name, &disk, error);

	*ret_result = (struct move_result){ 0 };
	if (r < 0)
		return r;
	layer = pin_snapshot(disk, snapshot, error);
	r = layer ? check_may_seal(disk, error) : -ENOENT;
	if (r == 0)
		r = move_to(disk, layer, discard, ret_result, error);
	if (r == 0)
		log_info("disk '%s' was reverted to '%s'", disk->name, snapshot);
	if (layer)
		layer_unpin(layer);
	if (r == 0)
		job_look_again(disk->root);
	disk_release_claim(disk);
	return r;
}

/*
 * A layer and its parent both have the name where a fold was killed between moving the names and
 * removing the layer (fold.c).
 */
static int drop_from_all(struct disk *disk, struct layer *layer, const char *snapshot, struct sentence *error)
{
	int r = 0;

	while (layer && r == 0) {
		r = layer_drop_name(layer, disk->name, snapshot);
		if (r == 0)
			gc_layer(layer);
		layer_unpin(layer);
		layer = r == 0 ? layer_pin_snapshot(disk, snapshot) : NULL;
	}
	return r < 0 ? report(error, r, "disk '%s': snapshot '%s' cannot be deleted: %s", disk->name, snapshot,
			      error_text(r))
		     : 0;
}

int disk_delete(struct disks *disks, const char *name, const char *snapshot, struct sentence *error)
{
	struct layer *layer;
	struct disk *disk;
	int r = disk_claim_name(disks, name, &disk, error);

	if (r < 0)
		return r;
	layer = pin_snapshot(disk, snapshot, error);
	r = layer ? drop_from_all(disk, layer, snapshot, error) : -ENOENT;
	if (r == 0) {
		job_queue(disk);
		job_look_again(disk->root);
		log_info("disk '%s': snapshot '%s' was deleted", disk->name, snapshot);
	}
	disk_release_claim(disk);
	return r;
}
