/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of layers, in memory and in a directory of records, without a daemon: what stands on
 * what, snapshots, pins that make a fold yield, and which layers nothing needs any more.
 */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "claim.h"
#include "gc.h"
#include "io.h"
#include "layer.h"
#include "lock.h"
#include "table.h"

#define LAYERS_MAX 8

/* A state directory; and the test's own references to its layers. */
static struct world {
	struct disks disks;
	struct options options;
	struct layer *layers[LAYERS_MAX];
	size_t count;
} world;

static int directory(const char *name)
{
	static int top = -1;

	if (top < 0)
		top = open(TEST_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(top >= 0);
	return io_directory(top, name);
}

static void begin(void)
{
	pthread_condattr_t monotonic;

	world = (struct world){ .options.mount = (char *)"/mnt" };
	world.disks = (struct disks){ .options = &world.options, .scratch_fd = -1 };
	world.disks.disks_fd = directory("disks");
	world.disks.layers_fd = directory("layers");
	world.disks.lost_fd = directory("lost");
	pthread_mutex_init(&world.disks.lock, NULL);
	pthread_mutex_init(&world.disks.records, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&world.disks.changed, &monotonic);
}

static void end(void)
{
	while (world.disks.first) {
		struct disk *disk = disk_get(world.disks.first);

		disk_remove(disk);
		disk_remove_files(disk);
		disk_put(disk);
		disk_put(disk); /* what add_disk() had */
	}
	while (world.disks.layers)
		check_int(layer_remove(world.disks.layers), 0);
	for (size_t i = 0; i < world.count; i++)
		layer_put(world.layers[i]);
	close(world.disks.disks_fd);
	close(world.disks.layers_fd);
	close(world.disks.lost_fd);
}

static const char *file_of(const struct layer *layer, const char *suffix)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s%s", layer->record.id, suffix);
	return name;
}

static bool has_file(int where, const struct layer *layer, const char *suffix)
{
	return faccessat(where, file_of(layer, suffix), F_OK, 0) == 0;
}

/* A layer with a record and an empty file, on `parent`; a root for NULL. */
static struct layer *add_layer(struct layer *parent)
{
	struct layer *layer = layer_new(&world.disks);

	check(layer && world.count < LAYERS_MAX);
	world.layers[world.count++] = layer;
	if (parent)
		strcpy(layer->record.parent, parent->record.id);
	else
		layer->record.image = strdup("a.img");
	check_int(layer_update(layer, &layer->record), 0);
	if (parent)
		close(openat(world.disks.layers_fd, file_of(layer, LAYER_FILE_SUFFIX), O_WRONLY | O_CREAT, 0600));
	check_int(layer_insert(layer), 0);
	return layer;
}

static struct disk *add_disk(const char *name, struct layer *head)
{
	struct sentence error;
	int r = 0;
	struct disk *disk = disk_new(&world.disks, name, &r, &error);

	check(disk);
	disk_set_head(disk, head);
	check_int(disk_insert(disk), 0);
	disk_unclaim(disk);
	return disk;
}

static bool is_below(const struct layer *layer, const struct layer *base)
{
	bool is = false;

	LOCKED (&world.disks.lock)
		is = layer_is_below_locked(layer, base);
	return is;
}

static size_t depth(const struct layer *layer)
{
	size_t count = 0;

	LOCKED (&world.disks.lock)
		count = layer_depth_locked(layer);
	return count;
}

static bool is_torn(const struct layer *layer)
{
	bool is = false;

	LOCKED (&world.disks.lock)
		is = layer_is_torn_locked(layer);
	return is;
}

static const struct layer *snapshot_of(const struct disk *disk, const char *snapshot)
{
	const struct layer *layer = NULL;

	LOCKED (&world.disks.lock)
		layer = disk_find_snapshot_locked(disk, snapshot);
	return layer;
}

static void set_state(struct layer *layer, enum layer_state state)
{
	struct layer_record record = layer->record;

	record.state = state;
	check_int(layer_update(layer, &record), 0);
}

/* --- the tree --------------------------------------------------------------------------------- */

TEST(a_layer_is_below_what_stands_on_it_and_not_below_a_side_branch)
{
	struct layer *root, *a, *b, *side;

	begin();
	root = add_layer(NULL);
	a = add_layer(root);
	b = add_layer(a);
	side = add_layer(a);
	check(is_below(root, b) && is_below(a, b) && is_below(b, b));
	check(!is_below(b, a) && !is_below(b, side) && !is_below(side, b));
	check_int(depth(root), 1);
	check_int(depth(side), 3);
	end();
}

TEST(a_layer_whose_parent_is_not_there_does_not_get_into_the_tree)
{
	struct layer *layer;

	begin();
	layer = layer_new(&world.disks);
	strcpy(layer->record.parent, "00000000000000aa");
	check_errno(layer_insert(layer), ENOENT);
	check(!world.disks.layers);
	layer_put(layer);
	end();
}

TEST(while_a_child_is_folded_into_it_a_layer_is_torn)
{
	struct layer *root, *a, *b;

	begin();
	root = add_layer(NULL);
	a = add_layer(root);
	b = add_layer(a);
	set_state(b, LAYER_FOLDING);
	check(is_torn(a));
	check(!is_torn(b) && !is_torn(root));
	set_state(b, LAYER_SEALED);
	check(!is_torn(a));
	end();
}

/* --- names ------------------------------------------------------------------------------------ */

TEST(each_disk_has_names_of_its_own_for_a_layer_in_memory_and_in_the_record)
{
	struct layer_record loaded;
	struct layer *root;
	struct disk *disk;

	begin();
	root = add_layer(NULL);
	disk = add_disk("a.img", root);
	check_int(layer_add_name(root, "a.img", "clean"), 0);
	check_int(layer_add_name(root, "clone.img", "other"), 0);
	check(snapshot_of(disk, "clean") == root);
	check(!snapshot_of(disk, "other"));
	check_int(record_load_layer(world.disks.layers_fd, file_of(root, LAYER_RECORD_SUFFIX), &loaded), 0);
	check_int(loaded.name_count, 2);
	record_clear_layer(&loaded);
	check_int(layer_drop_name(root, "a.img", "clean"), 0);
	check_errno(layer_drop_name(root, "a.img", "clean"), ENOENT);
	check(!snapshot_of(disk, "clean"));
	end();
}

TEST(names_are_taken_over_once_and_no_more_than_a_layer_may_have)
{
	struct layer *root, *a;
	char name[32];

	begin();
	root = add_layer(NULL);
	a = add_layer(root);
	check_int(layer_add_name(a, "a.img", "both"), 0);
	check_int(layer_add_name(a, "a.img", "one"), 0);
	check_int(layer_add_name(root, "a.img", "both"), 0);
	check_int(layer_take_names(root, a), 0);
	check_int(root->record.name_count, 2);
	for (int i = 2; i < LAYER_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		check_int(layer_add_name(root, "a.img", name), 0);
	}
	check_errno(layer_add_name(root, "a.img", "one more"), ENOSPC);
	check_errno(layer_take_names(root, a), ENOSPC);
	check_int(root->record.name_count, LAYER_NAMES_MAX);
	end();
}

/* --- pins ------------------------------------------------------------------------------------- */

static void fold_begins(struct disk *disk, struct layer *layer)
{
	LOCKED (&world.disks.lock) {
		disk->job.state = JOB_RUNNING;
		disk->job.layer = layer;
		world.disks.running++;
	}
}

static void fold_ends_locked(struct disk *disk)
{
	disk->job.state = JOB_NONE;
	disk->job.layer = NULL;
	world.disks.running--;
	pthread_cond_broadcast(&world.disks.changed);
}

static void fold_ends(struct disk *disk)
{
	LOCKED (&world.disks.lock)
		fold_ends_locked(disk);
}

/* A worker: ends its fold when it is asked to, and not before. */
static void *yield_when_asked(void *context)
{
	struct disk *disk = context;
	eventfd_t value;

	while (eventfd_read(disk->job.stop_fd, &value) < 0)
		sched_yield();
	fold_ends(disk);
	return NULL;
}

TEST(a_pin_makes_the_fold_that_has_the_layer_yield_and_waits_for_it)
{
	struct layer *root, *a;
	struct disk *disk;
	pthread_t worker;

	begin();
	root = add_layer(NULL);
	a = add_layer(root);
	disk = add_disk("a.img", a);
	fold_begins(disk, a);
	check(!disk->job.stop);
	pthread_create(&worker, NULL, yield_when_asked, disk);
	check_int(layer_pin(root), 0);
	check(disk->job.stop && disk->job.state == JOB_NONE);
	check_int(root->pins, 1);
	pthread_join(worker, NULL);
	layer_unpin(layer_get_locked(root));
	check_int(root->pins, 0);
	end();
}

static bool is_owned(struct layer *layer)
{
	bool owned;

	pthread_mutex_lock(&layer->disks->lock);
	owned = fold_owns_layer_locked(layer);
	pthread_mutex_unlock(&layer->disks->lock);
	return owned;
}

TEST(a_fold_owns_its_layer_the_parent_and_the_children_and_nothing_else)
{
	struct layer *root, *a, *b, *c, *d;
	struct disk *disk;

	begin();
	root = add_layer(NULL);
	a = add_layer(root);
	b = add_layer(a);
	c = add_layer(b);
	d = add_layer(c);
	disk = add_disk("a.img", d);
	fold_begins(disk, b);
	check(is_owned(a) && is_owned(b) && is_owned(c));
	check(!is_owned(root) && !is_owned(d));
	fold_ends(disk);
	end();
}

TEST(a_layer_that_is_gone_cannot_be_pinned)
{
	struct layer *a;

	begin();
	a = add_layer(add_layer(NULL));
	check_int(layer_remove(a), 0);
	check_errno(layer_pin(a), ESTALE);
	check_int(a->pins, 0);
	end();
}

/* --- garbage collection ----------------------------------------------------------------------- */

TEST(what_nothing_needs_is_removed_down_to_what_something_needs)
{
	struct layer *root, *a, *b, *c;

	begin();
	root = add_layer(NULL);
	a = add_layer(root);
	b = add_layer(a);
	c = add_layer(b);
	add_disk("a.img", a);
	gc_layer(b);
	check(!b->removed); /* a child stands on it */
	gc_layer(c);
	check(c->removed && b->removed && !a->removed && !root->removed);
	check(!has_file(world.disks.layers_fd, c, LAYER_FILE_SUFFIX));
	check(!has_file(world.disks.layers_fd, b, LAYER_RECORD_SUFFIX));
	check(has_file(world.disks.layers_fd, a, LAYER_FILE_SUFFIX));
	check_int(a->children, 0);
	end();
}

TEST(a_name_a_hold_and_an_unreadable_record_keep_a_layer)
{
	struct layer *root, *a, *b;
	struct disk *disk;

	begin();
	root = add_layer(NULL);
	a = add_layer(root);
	b = add_layer(a);
	disk = add_disk("a.img", root);
	check_int(layer_add_name(b, "a.img", "clean"), 0);
	gc_layer(b);
	check(!b->removed);
	check_int(layer_drop_name(b, "a.img", "clean"), 0);
	disk_set_hold(disk, b);
	gc_layer(b);
	check(!b->removed);
	disk_set_hold(disk, NULL);
	world.disks.incomplete = true;
	gc_layer(b);
	check(!b->removed);
	world.disks.incomplete = false;
	gc_layer(b);
	check(b->removed && a->removed && !root->removed);
	end();
}

TEST(what_a_fold_has_is_removed_when_the_fold_has_ended)
{
	struct layer *root, *a;
	struct disk *disk;

	begin();
	root = add_layer(NULL);
	a = add_layer(root);
	disk = add_disk("a.img", root);
	fold_begins(disk, a);
	gc_layer(a);
	check(!gc_given_up(&world.disks));
	check(!a->removed);
	fold_ends(disk);
	check(gc_given_up(&world.disks) == root);
	check(a->removed);
	check(!gc_given_up(&world.disks));
	layer_put(root);
	end();
}

TEST(a_file_that_is_kept_in_lost_is_there_when_its_layer_is_gone)
{
	struct layer *a;

	begin();
	a = add_layer(add_layer(NULL));
	check_int(layer_keep_in_lost(a), 0);
	check_int(layer_keep_in_lost(a), 0); /* as after a crash */
	check_int(layer_remove(a), 0);
	check(has_file(world.disks.lost_fd, a, LAYER_FILE_SUFFIX));
	end();
}
