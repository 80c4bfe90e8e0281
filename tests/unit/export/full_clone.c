/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A full clone's name is its own from when it is queued, and nobody waits for it before. */
#include "model_world.h"

#include "claim.h"
#include "export.h"
#include "lock.h"
#include "transfer.h"

struct asked {
	struct export_request request;
	struct export_result result;
	struct sentence error;
	int r;
};

static void *ask(void *context)
{
	struct asked *asked = context;
	struct caller caller = { .pid = 0 };

	asked->r = disk_clone_full(world->disks, &caller, &asked->request, &asked->result, &asked->error);
	return NULL;
}

/* Whether somebody waits for the disk's claim, soon. */
static bool is_waited_for(const struct disk *disk)
{
	bool is = false;

	for (int i = 0; i < 20000 && !is; i++) {
		usleep(1000);
		LOCKED (&world->disks->lock)
			is = disk->waiting > 0;
	}
	return is;
}

/* A full clone of "d" as "x" is asked for, and waits for "d", which the caller claims. */
static struct disk *begin(struct asked *asked, pthread_t *ret_thread)
{
	struct disk *disk;

	*asked = (struct asked){ .request = { .name = "d", .to = "x" }, .r = -1 };
	world_new();
	make_raw("d", 1);
	check_ok(protect("d"));
	check_ok(disk_claim_name(world->disks, "d", &disk, &error));
	check_int(pthread_create(ret_thread, NULL, ask, asked), 0);
	check(is_waited_for(disk));
	return disk;
}

static void go_on(struct disk *disk, pthread_t thread)
{
	disk_release_claim(disk);
	pthread_join(thread, NULL);
}

TEST(no_disk_gets_the_name_of_a_full_clone_that_is_queued)
{
	struct sentence missing;
	struct asked asked;
	pthread_t thread;
	struct disk *disk = begin(&asked, &thread);

	disk_get(disk);
	go_on(disk, thread);
	check_int(asked.r, 0);
	check_str(asked.result.to, "x");
	check_refused(EEXIST, "is being made", disk_clone(world->disks, "d", "x", NULL, false, &missing, &error));
	check_int(transfer_cancel(disk, 0), 1);
	check_ok(disk_clone(world->disks, "d", "x", NULL, false, &missing, &error));
	export_result_clear(&asked.result);
	disk_put(disk);
	world_end();
}

TEST(a_name_that_somebody_took_while_its_template_was_waited_for_is_not_taken_again)
{
	struct asked asked;
	pthread_t thread;
	struct disk *disk = begin(&asked, &thread);

	make_raw("x", 2);
	check_ok(protect("x"));
	go_on(disk, thread);
	check_int(asked.r, -EEXIST);
	check_contains(asked.error.text, "'x' exists already");
	check_reads("x", 0, BLOCKS, 2);
	export_result_clear(&asked.result);
	world_end();
}
