/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A world without a daemon: nothing is loaded and no thread works in the background. Tests call the
 * verbs of fs/disk and look at the model's structs. A fold runs when fold() is called.
 *
 * One function here for each verb knows its parameters.
 */
#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

#include "world.h"

#include "fold.h"
#include "foldable.h"
#include "gc.h"
#include "layer.h"

static struct sentence error; /* of the last verb */

/* What the last verb answered; "" where it said nothing. */
static struct {
	char layer[LAYER_ID_SIZE];
	char head_kept_as[SNAPSHOT_NAME_MAX + 1];
	char scratch_kept_as[SNAPSHOT_NAME_MAX + 1];
} answer;

#define check_ok(verb)                                                            \
	do {                                                                      \
		if ((verb) != 0)                                                  \
			test_fail(__FILE__, __LINE__, "refused: %s", error.text); \
	} while (0)

/* It fails with this errno, in a sentence that holds these words. */
#define check_refused(errno_, words_, verb_)                                                               \
	do {                                                                                               \
		int r_ = (verb_);                                                                          \
		if (r_ != -(errno_) || !strstr(error.text, words_))                                        \
			test_fail(__FILE__, __LINE__, "not %d with '%s', but %d: %s", errno_, words_, -r_, \
				  error.text);                                                             \
	} while (0)

__attribute__((unused)) static void world_new(void)
{
	world_make();
	world_open();
}

__attribute__((unused)) static void world_end(void)
{
	model_free(world->disks);
	world_remove();
}

/* ---- verbs */

__attribute__((unused)) static int protect_as(const char *name, const char *format)
{
	return disk_protect(world->disks, name, format, &error);
}

__attribute__((unused)) static int protect(const char *name)
{
	return protect_as(name, NULL);
}

__attribute__((unused)) static int unprotect(const char *name)
{
	return disk_unprotect(world->disks, name, false, &error);
}

__attribute__((unused)) static int set(const char *name, const char *key, const char *value)
{
	return disk_set(world->disks, name, key, value, &error);
}

__attribute__((unused)) static int reset(const char *name)
{
	return disk_reset(world->disks, name, false, &error);
}

__attribute__((unused)) static int reset_by_force(const char *name)
{
	return disk_reset(world->disks, name, true, &error);
}

__attribute__((unused)) static int commit_at_release(const char *name)
{
	return disk_commit_at_release(world->disks, name, &error);
}

__attribute__((unused)) static int commit(const char *name)
{
	struct commit_result result = { .layer = "" };
	int r = disk_commit(world->disks, name, NULL, &result, &error);

	snprintf(answer.layer, sizeof(answer.layer), "%s", result.layer);
	return r;
}

__attribute__((unused)) static int undo(const char *name)
{
	struct move_result result = { .scratch = "" };
	int r = disk_undo(world->disks, name, &result, &error);

	snprintf(answer.head_kept_as, sizeof(answer.head_kept_as), "%s", result.head);
	snprintf(answer.scratch_kept_as, sizeof(answer.scratch_kept_as), "%s", result.scratch);
	return r;
}

static int fold_layer(struct disk *disk, struct layer *layer)
{
	int r;

	pthread_mutex_lock(&world->disks->lock);
	disk->job =
		(struct job){ .state = JOB_RUNNING, .layer = layer_get_locked(layer), .stop_fd = disk->job.stop_fd };
	pthread_mutex_unlock(&world->disks->lock);
	r = fold_run(disk, layer, &error);
	pthread_mutex_lock(&world->disks->lock);
	layer_put_locked(disk->job.layer);
	disk->job.layer = NULL;
	disk->job.state = JOB_NONE;
	pthread_mutex_unlock(&world->disks->lock);
	layer_put(gc_given_up(world->disks));
	return r;
}

/* All that may be folded. */
__attribute__((unused)) static int fold(const char *name)
{
	struct disk *disk = disks_find(world->disks, name);
	struct layer *layer;
	int r = disk ? 0 : -ENOENT;

	while (r == 0) {
		pthread_mutex_lock(&world->disks->lock);
		layer = fold_candidate_locked(disk);
		pthread_mutex_unlock(&world->disks->lock);
		if (!layer)
			break;
		r = fold_layer(disk, layer);
	}
	disk_put(disk);
	return r;
}

/* ---- the structs; no other thread changes them */

/* Borrowed, as long as the disk is protected. */
__attribute__((unused)) static const struct disk *look(const char *name)
{
	struct disk *disk = disks_find(world->disks, name);

	if (!disk)
		test_fail(__FILE__, __LINE__, "there is no disk '%s'", name);
	disk_put(disk);
	return disk;
}

__attribute__((unused)) static uint64_t virtual_size(const char *name)
{
	return disk_base(look(name))->record.virtual_size;
}

static bool is_of_disk(const struct layer *layer, const struct disk *disk)
{
	while (layer->parent)
		layer = layer->parent;
	return layer == disk->root;
}

__attribute__((unused)) static int layer_count(const char *name)
{
	const struct disk *disk = look(name);
	int n = 0;

	for (const struct layer *layer = world->disks->layers; layer; layer = layer->next)
		n += is_of_disk(layer, disk);
	return n;
}

/* The layer that the disk has a name for which begins so: its file. */
__attribute__((unused)) static const char *layer_named(const char *name, const char *prefix)
{
	for (const struct layer *layer = world->disks->layers; layer; layer = layer->next)
		if (layer_find_name_locked(layer, name, prefix))
			return in_world("state/layers/%s.qcow2", layer->record.id);
	test_fail(__FILE__, __LINE__, "no layer of '%s' is named '%s'", name, prefix);
}

#endif
