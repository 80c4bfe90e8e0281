/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk that is removed takes its fold along: as long as that runs, all who must know of it find
 * it, and nobody waits for it afterwards. A disk that is being copied is not removed.
 */
#include "model_world.h"

#include <poll.h>

#include "claim.h"
#include "clone.h"
#include "gc.h"
#include "job.h"
#include "lock.h"
#include "new_disk.h"
#include "transfer.h"

static void a_disk_and_its_clone(void)
{
	struct sentence missing;

	world_new();
	make_raw("d", 1);
	check_ok(protect("d"));
	check_ok(disk_clone(world->disks, "d", "c", NULL, false, &missing, &error));
}

/* Two layers on the disk's image, which no head stands on: the upper one, a reference. */
static struct layer *side_branch(const char *name)
{
	const struct layer *below = look(name)->root;
	struct layer *layer = NULL;

	for (int i = 0; i < 2; i++) {
		layer_put(layer);
		layer = layer_new(world->disks);
		strcpy(layer->record.parent, below->record.id);
		check_int(layer_insert(layer), 0);
		below = layer;
	}
	return layer;
}

static struct disk *claimed(const char *name)
{
	struct disk *disk;

	check_ok(disk_claim_name(world->disks, name, &disk, &error));
	return disk;
}

static void begin_fold(struct disk *disk, struct layer *layer)
{
	LOCKED (&world->disks->lock) {
		disk->job.state = JOB_RUNNING;
		disk->job.layer = layer_get_locked(layer);
		world->disks->running++;
	}
}

/* As a worker does. */
static void end_fold_locked(struct disk *disk)
{
	layer_put_locked(disk->job.layer);
	disk->job.layer = NULL;
	disk->job.state = disk->job.postponed ? JOB_NONE : JOB_QUEUED;
	world->disks->running--;
	pthread_cond_broadcast(&world->disks->changed);
}

static void *remove_clone(void *context)
{
	*(int *)context = disk_unlink(world->disks, "c");
	return NULL;
}

/*
 * A worker may find that nothing is to be folded, and end the disk's job, before the layer is gone
 * that was left to another fold.
 */
TEST(a_disk_folds_once_the_layer_beside_its_own_that_was_left_to_a_fold_is_gone)
{
	struct disk *disk, *folding;
	struct layer *beside;

	a_disk_and_its_clone();
	check_int(disk_unlink(world->disks, "c"), 0);
	make_raw("e", 1);
	check_ok(protect("e"));
	guest_write("d", 0, 8, 2);
	check_ok(commit("d"));
	disk = disks_find(world->disks, "d");
	folding = disks_find(world->disks, "e");
	beside = layer_new(world->disks);
	strcpy(beside->record.parent, disk->root->record.id);
	check_int(layer_insert(beside), 0);
	begin_fold(folding, beside);
	gc_layer(beside);
	check(!beside->removed);
	LOCKED (&world->disks->lock) {
		disk->job.state = JOB_NONE;
		end_fold_locked(folding);
		folding->job.state = JOB_NONE;
	}
	job_remove_given_up(world->disks);
	check(beside->removed);
	check_int(disk->job.state, JOB_QUEUED);
	layer_put(beside);
	disk_put(folding);
	disk_put(disk);
	world_end();
}

/* Somebody may ask for another one meanwhile, again and again: it must not be begun. */
TEST(a_fold_that_still_runs_is_found_until_it_has_ended)
{
	struct layer *layer;
	struct disk *clone;
	struct pollfd stop = { .events = POLLIN };
	bool found = false, queued = false;
	pthread_t thread;
	int result = -1;

	a_disk_and_its_clone();
	clone = disks_find(world->disks, "c");
	layer = side_branch("c");
	begin_fold(clone, layer);
	check_int(pthread_create(&thread, NULL, remove_clone, &result), 0);
	stop.fd = clone->job.stop_fd;
	check_int(poll(&stop, 1, 20000), 1);
	job_queue(clone);
	LOCKED (&world->disks->lock) {
		found = fold_owns_layer_locked(layer) && fold_has_rival_locked(layer);
		end_fold_locked(clone);
		queued = clone->job.state != JOB_NONE;
	}
	pthread_join(thread, NULL);
	check(found);
	check(!queued);
	check_int(result, 0);
	check(clone->removed);
	check_int(clone->job.state, JOB_NONE);
	check(!disks_find(world->disks, "c"));
	disk_put(clone);
	layer_put(layer);
	world_end();
}

/* What an export and a full clone need is looked at without a claim, before they are queued. */
TEST(a_disk_is_not_removed_while_a_copy_of_it_is_prepared)
{
	const struct transfer_source head = { 0 };
	struct transfer *of_disk, *of_clone;
	int r = 0;

	a_disk_and_its_clone();
	of_disk = transfer_new(claimed("d"), "export", &head, &r, &error);
	of_clone = transfer_new(claimed("c"), "clone", &head, &r, &error);
	check(of_disk && of_clone);
	disk_release_claim(of_disk->disk);
	disk_release_claim(of_clone->disk);
	check_errno(disk_unlink(world->disks, "c"), EBUSY);
	transfer_put(of_clone);
	check_int(disk_unlink(world->disks, "c"), 0);
	check_refused(EBUSY, "is being copied", unprotect("d"));
	transfer_put(of_disk);
	check_ok(unprotect("d"));
	world_end();
}

/* Whoever asks for a fold has a reference alone, and may have waited for an earlier run to stop. */
TEST(no_fold_of_a_disk_that_was_removed_is_waited_for)
{
	struct caller gone = { .interrupted = true };
	struct disk *disk;

	a_disk_and_its_clone();
	guest_write("d", 0, 8, 2);
	check_ok(commit("d"));
	disk = disks_find(world->disks, "d");
	job_remove_disk(disk);
	check_refused(ENOENT, "was removed", job_fold_now(disk, &gone, &error));
	check_int(disk->job.state, JOB_NONE);
	disk_put(disk);
	world_end();
}

/* Its fold is asked for when it is in the table already, though not yet complete. */
TEST(no_fold_of_a_disk_that_could_not_be_made_stays_queued)
{
	struct layer *head;
	struct disk *clone;

	a_disk_and_its_clone();
	guest_write("d", 0, 8, 2);
	check_ok(commit("d"));
	head = look("d")->head;
	check_ok(new_disk_insert("x", head->parent, head, "d", &clone, &error));
	disk_get(clone);
	clone->job.state = JOB_QUEUED;
	new_disk_undo(clone);
	check_int(clone->job.state, JOB_NONE);
	disk_put(clone);
	world_end();
}
