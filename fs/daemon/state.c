/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All of a mount's disks: locked and loaded at start, closed at the end.
 */
#include "state.h"

#include <string.h>

#include "due.h"
#include "job.h"
#include "load.h"
#include "locks.h"
#include "state_directory.h"
#include "workers.h"

int disks_new(struct options *options, int images_fd, int images_lock, struct handover *handover,
	      struct disks **ret_disks, struct sentence *error)
{
	struct disks *disks;
	int r = model_new(options, images_fd, handover, &disks, error);

	if (r < 0) {
		close_fdp(&images_lock);
		return r;
	}
	disks->images_lock = images_lock;
	r = locks_take(disks, error);
	if (r == 0)
		r = model_open_directories(disks, error);
	if (r == 0)
		r = load_state(disks, error);
	if (r < 0)
		disks_free(disks);
	else
		*ret_disks = disks;
	return r;
}

int disks_start(struct disks *disks, struct sentence *error)
{
	int r = workers_start(disks);

	if (r < 0)
		return report(error, r, "threads for background work cannot be started: %s", error_text(r));
	/* The workers run already, and move heads. */
	for (struct disk *disk = disks_step(disks, NULL); disk; disk = disks_step(disks, disk))
		job_queue(disk);
	return 0;
}

bool disks_stop(struct disks *disks)
{
	return !disks || workers_stop(disks);
}

void disks_free(struct disks *disks)
{
	struct options *options;
	struct locks locks;

	if (!disks)
		return;
	if (!disks_stop(disks))
		return; /* who hangs may use it, and the locks are his as well */
	options = disks->options;
	locks = locks_of(disks);
	due_free(disks);
	model_free(disks);
	/* The locks go last: until then no other daemon may use the directories. */
	if (memcmp(options->lock_fds, locks.fds, sizeof(locks.fds)) == 0)
		memset(options->lock_fds, 0, sizeof(options->lock_fds));
	locks_release(&locks);
}
