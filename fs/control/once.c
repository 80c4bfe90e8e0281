/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A note is a struct handover_request: `line` is the line that is about to be done, so the lines
 * before it are done.
 */
#include "once.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "aside.h"
#include "destination.h"
#include "job.h"
#include "layer.h"
#include "lock.h"
#include "model.h"
#include "newest_aside.h"
#include "scratch.h"
#include "table.h"

/*
 * The inode of the disk's scratch. A commit makes that file the layer's and gives the disk another;
 * as long as the layer exists, its inode number cannot come again.
 */
static void look_at_scratch(struct disk *disk, struct handover_request *ret)
{
	struct scratch *scratch = disk_scratch(disk);
	struct stat st;

	if (scratch && fstat(scratch_fd(scratch), &st) == 0) {
		ret->device = st.st_dev;
		ret->inode = st.st_ino;
	}
	scratch_put(scratch);
}

static bool moves_head(enum effect effect)
{
	return effect == EFFECT_NEW_HEAD || effect == EFFECT_KEEPS;
}

/* Of a verb that moves the head, not the snapshot counts but whether the head has a name. */
static void look_at_history(struct disk *disk, const struct once_command *command, struct handover_request *ret)
{
	pthread_mutex_lock(&disk->disks->lock);
	if (disk->head)
		snprintf(ret->head, sizeof(ret->head), "%s", disk->head->record.id);
	if (moves_head(command->effect))
		ret->has_snapshot = disk->head && disk->head->record.name_count;
	else
		ret->has_snapshot = command->snapshot && disk_find_snapshot_locked(disk, command->snapshot);
	pthread_mutex_unlock(&disk->disks->lock);
}

/*
 * Nothing of the path is touched before the caller is known to be allowed an export there, and its
 * last component is not followed: it may lead to an automount, or to a server that does not answer.
 */
static void look_at_file(struct disks *disks, const struct once_command *command, struct handover_request *ret)
{
	CLEANUP(destination_clear) struct destination destination = { .directory = -1 };
	struct stat st;

	if (command->file && destination_open(disks, command->caller, command->file, &destination, NULL) == 0 &&
	    fstatat(destination.directory, destination.name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		ret->other_device = st.st_dev;
		ret->other_inode = st.st_ino;
	}
}

static struct handover_request look(struct disks *disks, const struct once_command *command)
{
	struct disk *disk = command->name ? disks_find(disks, command->name) : NULL;
	struct handover_request found = { .line = command->line, .is_disk = disk != NULL };

	if (disk) {
		look_at_scratch(disk, &found);
		look_at_history(disk, command, &found);
	}
	look_at_file(disks, command, &found);
	disk_put(disk);
	return found;
}

/*
 * Whether the layer is no head any more because of an undo. A fold moves the head too, but away
 * from a layer that is folding, or is gone.
 */
static bool was_left(struct disks *disks, const char *id)
{
	const struct layer *layer;
	bool left;

	pthread_mutex_lock(&disks->lock);
	layer = layer_find_locked(disks, id);
	left = layer && layer->record.state != LAYER_FOLDING;
	pthread_mutex_unlock(&disks->lock);
	return left;
}

static bool has_changed(struct disks *disks, enum effect effect, const struct handover_request *before,
			const struct handover_request *now)
{
	switch (effect) {
	case EFFECT_NONE:
	case EFFECT_KEEPS:
		return false;
	case EFFECT_NEW_SCRATCH:
		return before->inode && (before->inode != now->inode || before->device != now->device);
	case EFFECT_NEW_HEAD:
		return strcmp(before->head, now->head) != 0 && was_left(disks, before->head);
	case EFFECT_MAKES_DISK:
	case EFFECT_REMOVES_DISK:
		return before->is_disk == (effect == EFFECT_REMOVES_DISK) && before->is_disk != now->is_disk;
	case EFFECT_MAKES_SNAPSHOT:
	case EFFECT_REMOVES_SNAPSHOT:
		return before->has_snapshot == (effect == EFFECT_REMOVES_SNAPSHOT) &&
		       before->has_snapshot != now->has_snapshot;
	case EFFECT_MAKES_FILE:
		return now->other_inode && before->other_inode != now->other_inode;
	}
	return false;
}

unsigned once_lines_done(struct disks *disks, struct replay *replay)
{
	const struct handover_request *before = replay_recall(disks->handover, replay);

	return before ? before->line : 0;
}

static void find_what_was_made_locked(struct disk *disk, const struct once_command *command, struct once_result *result)
{
	const struct layer *layer = NULL;

	if (command->effect == EFFECT_NEW_SCRATCH)
		layer = disk->head;
	else if (command->effect == EFFECT_MAKES_SNAPSHOT)
		layer = disk_find_snapshot_locked(disk, command->snapshot);
	if (!layer)
		return;
	strcpy(result->layer, layer->record.id);
	strcpy(result->consistency, layer->record.consistency);
}

/* Whether the layer's file is what was the scratch when the command was noted. */
static bool was_the_scratch(struct disks *disks, const char *id, const struct handover_request *before)
{
	CLEANUP(freep) char *file = layer_file_name(id, LAYER_FILE_SUFFIX);
	struct stat st;

	return file && before->inode && fstatat(disks->layers_fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_ino == before->inode && st.st_dev == before->device;
}

/* The old head had no name. */
static void find_kept_head_locked(struct disk *disk, const struct handover_request *before, struct move_result *result)
{
	const struct layer *head = before->has_snapshot ? NULL : layer_find_locked(disk->disks, before->head);
	const char *snapshot = head ? layer_find_name_locked(head, disk->name, ASIDE_UNDONE "-") : NULL;

	if (snapshot)
		strcpy(result->head, snapshot);
}

static void find_kept(struct disk *disk, const struct handover_request *before, struct move_result *result)
{
	static const char *const prefixes[] = { ASIDE_BEFORE_REVERT, NULL };
	char snapshot[SNAPSHOT_NAME_MAX + 1] = "", id[LAYER_ID_SIZE] = "";

	LOCKED (&disk->disks->lock) {
		const struct layer *layer;
		const char *found = newest_aside_locked(disk, prefixes, &layer);

		if (found) {
			strcpy(snapshot, found);
			strcpy(id, layer->record.id);
		}
		if (!result->head[0])
			find_kept_head_locked(disk, before, result);
	}
	if (!result->scratch[0] && id[0] && was_the_scratch(disk->disks, id, before))
		strcpy(result->scratch, snapshot);
}

void once_add_kept(struct disks *disks, struct replay *replay, const char *name, struct move_result *result)
{
	const struct handover_request *before = replay && replay->again ? replay_recall(disks->handover, replay) : NULL;
	struct disk *disk = before ? disks_find(disks, name) : NULL;

	if (disk)
		find_kept(disk, before, result);
	disk_put(disk);
}

static void find_what_was_made(struct disks *disks, const struct once_command *command,
			       const struct handover_request *before, struct once_result *ret_result)
{
	struct disk *disk = disks_find(disks, command->name);

	*ret_result = (struct once_result){ 0 };
	if (disk) {
		LOCKED (&disks->lock)
			find_what_was_made_locked(disk, command, ret_result);
		if (command->effect == EFFECT_NEW_HEAD)
			find_kept(disk, before, &ret_result->kept);
		if (command->effect == EFFECT_NEW_SCRATCH || command->effect == EFFECT_MAKES_SNAPSHOT)
			job_warn(disk, &ret_result->warning);
	}
	disk_put(disk);
}

/*
 * Nothing is noted of a scratch without data: a commit makes nothing of that, however often it is
 * done, and a fold replaces the file as well.
 */
static void leave_out_empty_scratch(struct disks *disks, const char *name, struct handover_request *note)
{
	struct disk *disk = name ? disks_find(disks, name) : NULL;
	bool is_dirty = false;

	if (disk)
		LOCKED (&disks->lock)
			is_dirty = disk->scratch && scratch_looks_dirty_locked(disk->scratch);
	disk_put(disk);
	if (!is_dirty)
		note->device = note->inode = 0;
}

bool once_was_done(struct disks *disks, struct replay *replay, const struct once_command *command,
		   struct once_result *ret_result)
{
	const struct handover_request *before;
	struct handover_request now;

	/*
	 * A line that may be done again is noted only to tell that the lines before it are done;
	 * the first line has none.
	 */
	if (command->effect == EFFECT_NONE && command->line == 0)
		return false;
	before = replay_recall(disks->handover, replay);
	now = look(disks, command);
	if (before && before->line == command->line) {
		if (!has_changed(disks, command->effect, before, &now))
			return false;
		find_what_was_made(disks, command, before, ret_result);
		return true;
	}
	leave_out_empty_scratch(disks, command->name, &now);
	replay_note_next(disks->handover, replay, &now);
	return false;
}
