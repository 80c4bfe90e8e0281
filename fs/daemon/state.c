/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All of a mount's disks: locked and loaded at start, closed at the end.
 */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include "job.h"
#include "load.h"
#include "state_directory.h"
#include "workers.h"

#define LOCK_WAIT_MS 1500
#define LOCK_WAIT_LONGER_MS 20000
#define LOCK_RETRY_MS 20

/*
 * Wait, for the lock may be free in a moment: a daemon that was just unmounted has the locks a
 * little longer than the mount. A killed daemon's qemu-img was killed with it, but may have to
 * finish a write; its successor waits longer.
 */
static bool take_lock(const struct disks *disks, int fd)
{
	bool is_successor = handover_mount(disks->handover)->restarts > 0;
	uint64_t deadline = monotonic_ms() + (is_successor ? LOCK_WAIT_LONGER_MS : LOCK_WAIT_MS);

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK || monotonic_ms() > deadline)
			return false;
		poll(NULL, 0, LOCK_RETRY_MS);
	}
	return true;
}

/*
 * One daemon per state and per images directory. flock() belongs to the open file, which each
 * qemu-img inherits (options->lock_fd): the state directory stays locked until the last process
 * that may write to it has ended.
 */
static int lock_directories(struct disks *disks, struct sentence *error)
{
	disks->state_lock = openat(disks->state_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (disks->state_lock < 0)
		return report(error, -errno, "the state directory '%s' cannot be locked: %s", disks->options->state,
			      error_text(-errno));
	if (!take_lock(disks, disks->state_lock))
		return report(error, -EBUSY,
			      "another revertfs uses the state directory '%s', or a qemu-img that it has started",
			      disks->options->state);
	disks->images_lock = openat(disks->images_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (disks->images_lock < 0)
		return report(error, -errno, "the images directory '%s' cannot be opened: %s", disks->options->images,
			      error_text(-errno));
	if (!take_lock(disks, disks->images_lock))
		return report(error, -EBUSY, "another revertfs serves the images directory '%s'",
			      disks->options->images);
	return 0;
}

int disks_new(struct options *options, int images_fd, struct handover *handover, struct disks **ret_disks,
	      struct sentence *error)
{
	struct disks *disks;
	int r = model_new(options, images_fd, handover, &disks, error);

	if (r < 0)
		return r;
	r = lock_directories(disks, error);
	options->lock_fd = disks->state_lock;
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
	for (struct disk *disk = disks->first; disk; disk = disk->next_disk)
		if (disk->head)
			job_queue(disk);
	return 0;
}

void disks_free(struct disks *disks)
{
	int state_lock, images_lock;
	struct options *options;

	if (!disks)
		return;
	options = disks->options;
	state_lock = disks->state_lock;
	images_lock = disks->images_lock;
	workers_stop(disks);
	model_free(disks);
	/* The locks go last: until then no other daemon may use the directories. */
	if (options->lock_fd == state_lock)
		options->lock_fd = 0;
	close_fdp(&images_lock);
	close_fdp(&state_lock);
}
