/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A full clone has its name to itself from when it is asked for. */
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

static bool is_claimed(const char *name)
{
	const struct name_claim *claim = NULL;
	bool is = false;

	LOCKED (&world->disks->names.lock)
		for (claim = world->disks->names.first; claim && !is; claim = claim->next)
			is = claim->exclusive && strcmp(claim->paths[0], name) == 0;
	return is;
}

TEST(no_disk_gets_the_name_while_the_full_clone_waits_for_its_template)
{
	struct asked asked = { .request = { .name = "d", .to = "x" }, .r = -1 };
	struct disk *disk;
	pthread_t thread;
	bool waits, claimed;

	world_new();
	make_raw("d", 1);
	check_ok(protect("d"));
	check_ok(disk_claim_name(world->disks, "d", &disk, &error));
	check_int(pthread_create(&thread, NULL, ask, &asked), 0);
	waits = is_waited_for(disk);
	claimed = is_claimed("x");
	disk_get(disk);
	disk_release_claim(disk);
	pthread_join(thread, NULL);
	check(waits);
	check(claimed);
	check_int(asked.r, 0);
	check_str(asked.result.to, "x");
	check(!is_claimed("x"));
	check_refused(EEXIST, "is being made", disk_clone(world->disks, "d", "x", NULL, false, &error));
	check_int(transfer_cancel(disk, 0), 1);
	check_ok(disk_clone(world->disks, "d", "x", NULL, false, &error));
	export_result_clear(&asked.result);
	disk_put(disk);
	world_end();
}
