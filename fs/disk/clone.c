/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A clone is a record, a scratch, and a head in the tree of layers; it costs two small files.
 *
 * Its head is in its own record, like every disk's, so no layer that the clone stands on is folded
 * (foldable.c). The origin is looked up by name each time. That is safe, for an origin cannot be
 * unprotected while it has a clone.
 */
#include "clone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "claim.h"
#include "command.h"
#include "disk.h"
#include "gc.h"
#include "image.h"
#include "io.h"
#include "job.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "new_disk.h"
#include "scratch.h"
#include "session.h"
#include "state_directory.h"
#include "table.h"
#include "transfer.h"

/* --- following -------------------------------------------------------------------------------- */

static struct disk *find_origin_locked(const struct disk *disk)
{
	struct disk *other = disk->record.origin ? disk->disks->first : NULL;

	while (other && strcmp(other->name, disk->record.origin) != 0)
		other = other->next_disk;
	return other;
}

bool clone_is_behind_locked(const struct disk *disk)
{
	const struct disk *origin = disk->record.follow ? find_origin_locked(disk) : NULL;

	return origin && origin->head && origin->head != disk->head;
}

/*
 * The origin's head, where the clone follows and has another one: a reference, pinned
 * (layer_unpin) and chosen: the origin, which is not claimed, may leave it meanwhile. NULL when the
 * clone has the right head.
 */
static struct layer *find_new_head(struct disk *disk)
{
	struct disks *disks = disk->disks;
	struct layer *head = NULL;

	pthread_mutex_lock(&disks->lock);
	/*
	 * A fold of the origin's head either yields, or removes that layer and makes its parent the
	 * origin's head. In the second case the pin fails, and the new head is tried.
	 */
	while (!head && clone_is_behind_locked(disk) && !disk->hold) {
		head = layer_get_locked(find_origin_locked(disk)->head);
		head->chosen++;
		if (layer_pin_locked(head) < 0) {
			head->chosen--;
			layer_put_locked(head);
			head = NULL;
		}
	}
	pthread_mutex_unlock(&disks->lock);
	if (head)
		log_debug("disk", "layer %s: pinned, as the new head of clone '%s'", head->record.id, disk->name);
	return head;
}

/* No longer chosen; where it `may_go`, nothing may need it by now. */
static void release_chosen(struct layer *head, bool may_go)
{
	LOCKED (&head->disks->lock)
		head->chosen--;
	if (may_go)
		gc_layer(head);
	layer_unpin(head);
}

/* The origin's fold may have waited for this clone to leave its old head. */
static void queue_origin(struct disk *disk)
{
	struct disk *origin = disks_find(disk->disks, disk->record.origin);

	if (origin)
		job_queue(origin);
	disk_put(origin);
}

int clone_catch_up(struct disk *disk, struct sentence *error)
{
	struct layer *head = find_new_head(disk);
	struct disk_record after = disk->record;
	struct layer *old = disk->head;
	int r;

	if (!head)
		return 0;
	pthread_mutex_lock(&disk->disks->lock);
	layer_get_locked(old);
	pthread_mutex_unlock(&disk->disks->lock);
	strcpy(after.head, head->record.id);
	r = disk_save(disk, &after);
	if (r < 0) {
		report(error, r, "clone '%s': the new head of its template cannot be recorded: %s", disk->name,
		       error_text(r));
	} else {
		disk_set_head(disk, head);
		gc_layer(old);
		queue_origin(disk);
	}
	layer_put(old);
	/*
	 * A record whose writing failed may be there all the same. The layer stays for the next
	 * start, unless the old record is known to be back.
	 */
	release_chosen(head, r < 0 && disk_save(disk, &disk->record) == 0);
	return r;
}

/* A clone that follows, is behind and not in use: claimed, a reference; or NULL. */
static struct disk *claim_idle_follower(struct disk *origin)
{
	struct disks *disks = origin->disks;
	struct disk *found = NULL;

	pthread_mutex_lock(&disks->lock);
	for (struct disk *disk = disks->first; disk && !found; disk = disk->next_disk) {
		if (!disk->record.origin || strcmp(disk->record.origin, origin->name) != 0 || disk->claimed ||
		    disk->hold || !clone_is_behind_locked(disk) || disk->state != DISK_PRISTINE ||
		    disk_is_kept_open_locked(disk) || session_is_active_locked(disk) ||
		    fold_owns_chain_locked(disk->head))
			continue;
		disk->claimed = true;
		disk->refs++;
		found = disk;
	}
	pthread_mutex_unlock(&disks->lock);
	return found;
}

void clone_move_followers_on(struct disk *origin)
{
	struct sentence why;
	struct disk *disk;

	while ((disk = claim_idle_follower(origin))) {
		struct layer *before = disk->head;
		int r = scratch_is_dirty(disk->scratch) ? 0 : clone_catch_up(disk, &why);
		bool moved = disk->head != before;

		if (r == 0 && moved)
			r = scratch_replace(disk, disk->head, &why);
		if (r < 0)
			log_warning("%s", why.text);
		disk_release_claim(disk);
		if (!moved)
			return;
	}
}

/* --- making and removing ---------------------------------------------------------------------- */

int clone_check_free_name(struct disks *disks, const char *name, struct sentence *error)
{
	CLEANUP(freep) char *parent = strdup(name);
	CLEANUP(close_fdp) int fd = -1;
	char *slash;

	if (!parent)
		return report(error, -ENOMEM, "out of memory");
	fd = io_open_beneath(disks->images_fd, name, O_PATH | O_NOFOLLOW);
	if (fd >= 0 || fd == -ELOOP)
		return report(error, -EEXIST, "'%s' exists already", name);
	if (transfer_makes(disks, name))
		return report(error, -EEXIST, "'%s' is being made already", name);
	slash = strrchr(parent, '/');
	if (slash) {
		*slash = '\0';
		fd = io_open_beneath(disks->images_fd, parent, O_PATH | O_DIRECTORY);
		if (fd < 0)
			return report(error, fd, "'%s' is no directory for a clone: %s", parent, error_text(fd));
	}
	return 0;
}

/*
 * The layer to begin at, pinned for the caller (layer_unpin): the snapshot's, or the origin's head.
 */
static int choose_layer(struct disk *origin, const char *snapshot, struct layer **ret_layer, struct sentence *error)
{
	struct layer *layer;
	bool torn;

	pthread_mutex_lock(&origin->disks->lock);
	layer = snapshot ? layer_pin_snapshot_locked(origin, snapshot) : layer_get_locked(origin->head);
	/* The origin is claimed, so no fold owns its head: the pin need not wait. */
	if (layer && !snapshot)
		layer->pins++;
	torn = layer && layer_is_torn_locked(layer);
	pthread_mutex_unlock(&origin->disks->lock);
	if (!layer)
		return report(error, -ENOENT, "disk '%s' has no snapshot '%s'", origin->name, snapshot);
	log_debug("disk", "layer %s: pinned, for a clone of disk '%s'", layer->record.id, origin->name);
	*ret_layer = layer;
	if (!torn)
		return 0;
	layer_unpin(layer);
	return report(
		error, -EBUSY,
		"disk '%s': a commit is being folded into what the clone would begin at; try again when that has ended",
		origin->name);
}

static void say_written(const struct disk *origin, const char *clone, bool follow, struct sentence *ret_what)
{
	struct sentence quoted;
	const char *name = quote_name(origin->name, &quoted);

	report(ret_what, 0,
	       follow ? "what was written to the disk '%s' since its head is not in its clone '%s'; "
			"'commit %s' keeps it, and the clone takes it at its next start"
		      : "what was written to the disk '%s' since its head is not in its clone '%s'; "
			"'commit %s' keeps it, and a clone that is made then has it",
	       origin->name, clone, name);
}

bool clone_say_missing(const struct disk *origin, const char *clone, bool follow, struct sentence *ret_what)
{
	const struct scratch *scratch = origin->scratch;
	bool is_missing = false;

	LOCKED (&origin->disks->lock) {
		is_missing = origin->hold || (scratch && scratch_looks_dirty_locked(scratch));
		if (origin->hold)
			report(ret_what, 0,
			       "what the saved domain '%s' has written to the disk '%s' is not in its clone '%s'",
			       origin->record.hold_domain, origin->name, clone);
		else if (is_missing && (session_is_active_locked(origin) || disk_is_kept_open_locked(origin)))
			report(ret_what, 0,
			       "what was written to the disk '%s' since its head is not in its clone '%s'; "
			       "it can be committed when nobody uses the disk any more",
			       origin->name, clone);
		else if (is_missing)
			say_written(origin, clone, follow, ret_what);
	}
	return is_missing;
}

static int make_clone(struct disk *origin, struct layer *layer, const char *name, bool follow, struct sentence *error)
{
	struct disk *disk;
	int r = new_disk_insert(name, origin->root, layer, origin->name, &disk, error);

	if (r < 0)
		return r;
	r = scratch_replace(disk, layer, error);
	if (r == 0)
		r = new_disk_record(disk, follow, error);
	if (r < 0)
		new_disk_undo(disk);
	else
		disk_release_claim(disk);
	return r;
}

/* On an image that its next start would refuse, no clone could start either. */
static int clone_claimed(struct disk *origin, const char *name, const char *snapshot, bool follow,
			 struct sentence *error)
{
	struct layer *layer = NULL;
	int r = image_check(origin, image_scratch_stands(origin), error);

	if (r == 0)
		r = choose_layer(origin, snapshot, &layer, error);
	if (r < 0)
		return r;
	r = make_clone(origin, layer, name, follow && !snapshot, error);
	layer_unpin(layer);
	return r;
}

int disk_clone(struct disks *disks, const char *name, const char *clone, const char *snapshot, bool follow,
	       struct sentence *ret_missing, struct sentence *error)
{
	struct name_claim claim = { .paths = { clone }, .exclusive = true };
	struct disk *origin;
	int r = disk_check_new_name(clone, error);

	ret_missing->text[0] = '\0';
	if (r < 0)
		return r;
	r = new_disk_claim_name(disks, clone, &claim, error);
	if (r < 0)
		return r;
	r = clone_check_free_name(disks, clone, error);
	if (r == 0)
		r = disk_claim_name(disks, name, &origin, error);
	if (r == 0) {
		r = clone_claimed(origin, clone, snapshot, follow, error);
		if (r == 0 && !snapshot)
			clone_say_missing(origin, clone, follow, ret_missing);
		disk_release_claim(origin);
	}
	name_claim_release(&claim);
	if (r == 0)
		log_info("disk '%s' is a clone of '%s'%s", clone, name, follow && !snapshot ? " and follows it" : "");
	if (ret_missing->text[0])
		log_warning("%s", ret_missing->text);
	return r;
}

static bool is_used_locked(const struct disk *disk)
{
	return session_is_active_locked(disk) || disk->hold || transfer_exists_locked(disk) ||
	       disk_is_open_locked(disk) || disk_find_clone_locked(disk);
}

/* The name of one of the disk's snapshots, a copy; NULL when there is none. */
static char *any_snapshot(struct disk *disk)
{
	char *copy = NULL;

	pthread_mutex_lock(&disk->disks->lock);
	for (const struct layer *layer = disk->disks->layers; layer && !copy; layer = layer->next)
		for (size_t i = 0; i < layer->record.name_count && !copy; i++)
			if (strcmp(layer->record.names[i].disk, disk->name) == 0)
				copy = strdup(layer->record.names[i].snapshot);
	pthread_mutex_unlock(&disk->disks->lock);
	return copy;
}

/* The snapshots of a clone that is removed: they keep layers that nothing else can reach. */
static void drop_snapshots(struct disk *disk)
{
	for (;;) {
		CLEANUP(freep) char *snapshot = any_snapshot(disk);
		struct layer *layer = NULL;
		int r;

		if (!snapshot)
			return;
		layer = layer_pin_snapshot(disk, snapshot);
		if (!layer)
			continue;
		r = layer_drop_name(layer, disk->name, snapshot);
		if (r == 0)
			gc_layer(layer);
		layer_unpin(layer);
		if (r < 0) {
			log_warning("the snapshot '%s' of the removed clone '%s' stays behind", snapshot, disk->name);
			return;
		}
	}
}

int disk_unlink(struct disks *disks, const char *name)
{
	struct disk *disk;
	struct sentence why;
	struct layer *head;
	bool used;
	int r = disk_claim_name(disks, name, &disk, &why);

	if (r < 0)
		return r;
	pthread_mutex_lock(&disks->lock);
	used = is_used_locked(disk);
	pthread_mutex_unlock(&disks->lock);
	/* The kernel reports a close (RELEASE) a little after it. */
	if (used && disk->record.origin)
		disk_wait_for_all(disk, &why);
	pthread_mutex_lock(&disks->lock);
	used = is_used_locked(disk);
	head = layer_get_locked(disk->head);
	pthread_mutex_unlock(&disks->lock);
	r = !disk->record.origin ? -EPERM : used ? -EBUSY : state_check(disks, NULL);
	if (r == 0)
		r = io_unlink(disk->directory, "disk.json");
	if (r == 0)
		r = io_sync_directory(disk->directory);
	if (r == 0) {
		session_end(disk);
		job_remove_disk(disk);
		disk_set_head(disk, disk->root);
		drop_snapshots(disk);
		gc_layer(head);
		job_look_again(disk->root);
		disk_remove_files(disk);
		log_info("clone '%s' was removed", name);
	}
	layer_put(head);
	disk_release_claim(disk);
	return r;
}
