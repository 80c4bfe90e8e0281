/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state directory is made with mode 0700 and needs no rights for anyone but root: all that QEMU
 * and libvirt open lies in the mount.
 */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "job.h"
#include "load.h"
#include "lock.h"
#include "table.h"
#include "workers.h"

#define LOCK_WAIT_MS 1500
#define LOCK_WAIT_LONGER_MS 20000
#define LOCK_RETRY_MS 20

static int read_boot_id(char boot[BOOT_ID_SIZE])
{
	CLEANUP(close_fdp) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : pread_all(fd, boot, BOOT_ID_SIZE - 1, 0);

	boot[BOOT_ID_SIZE - 1] = '\0';
	return r;
}

/* As mkdir -p does; the directory itself is for its owner alone. */
static int make_directories(const char *path)
{
	CLEANUP(freep) char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_directory(const char *path)
{
	int r = make_directories(path);
	int fd = r < 0 ? r : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return r < 0 ? r : fd < 0 ? -errno : fd;
}

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
 * qemu-img inherits (options->lock_fd): the state directory stays locked until the last process that
 * may write to it has ended.
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

/* The folders of the state directory; in makings/ are the records of outputs. */
static int open_folders(struct disks *disks, struct sentence *error)
{
	static const char *const names[] = { "disks", "layers", "intents", "lost", "makings" };
	int *const fds[] = { &disks->disks_fd, &disks->layers_fd, &disks->intents_fd, &disks->lost_fd,
			     &disks->outputs_fd };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		*fds[i] = io_directory(disks->state_fd, names[i]);
		if (*fds[i] < 0)
			return report(error, *fds[i], "'%s/%s' cannot be made: %s", disks->options->state, names[i],
				      error_text(*fds[i]));
	}
	return 0;
}

static int open_scratch_directory(struct disks *disks, struct sentence *error)
{
	const char *path = disks->options->scratch;

	if (!path)
		return 0;
	disks->scratch_fd = open_directory(path);
	return disks->scratch_fd < 0
		       ? report(error, disks->scratch_fd, "the scratch directory '%s' cannot be opened: %s", path,
				error_text(disks->scratch_fd))
		       : 0;
}

static int open_directories(struct disks *disks, struct sentence *error)
{
	int r;

	disks->state_fd = open_directory(disks->options->state);
	if (disks->state_fd < 0)
		return report(error, disks->state_fd, "the state directory '%s' cannot be opened: %s",
			      disks->options->state, error_text(disks->state_fd));
	r = lock_directories(disks, error);
	if (r == 0)
		r = open_folders(disks, error);
	return r < 0 ? r : open_scratch_directory(disks, error);
}

static int make_locks(struct disks *disks)
{
	pthread_condattr_t attributes;
	int r;

	pthread_rwlock_init(&disks->names, NULL);
	pthread_mutex_init(&disks->records, NULL);
	pthread_mutex_init(&disks->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	r = pthread_cond_init(&disks->changed, &attributes);
	if (r == 0)
		r = pthread_cond_init(&disks->queued, &attributes);
	pthread_condattr_destroy(&attributes);
	return -r;
}

/* With nothing open; NULL when out of memory. */
static struct disks *allocate(struct options *options, int images_fd, struct handover *handover)
{
	struct disks *disks = calloc(1, sizeof(*disks));

	if (!disks || make_locks(disks) < 0) {
		free(disks);
		return NULL;
	}
	disks->options = options;
	disks->handover = handover;
	disks->last_serial = handover_first_number(handover);
	disks->images_fd = images_fd;
	disks->images_lock = disks->state_lock = disks->state_fd = disks->disks_fd = -1;
	disks->layers_fd = disks->intents_fd = disks->lost_fd = disks->outputs_fd = disks->scratch_fd = -1;
	return disks;
}

int disks_new(struct options *options, int images_fd, struct handover *handover, struct disks **ret_disks,
	      struct sentence *error)
{
	struct disks *disks = allocate(options, images_fd, handover);
	int r;

	if (!disks)
		return report(error, -ENOMEM, "out of memory");
	r = read_boot_id(disks->boot);
	if (r < 0)
		report(error, r, "the boot id cannot be read: %s", error_text(r));
	if (r == 0)
		r = open_directories(disks, error);
	options->lock_fd = disks->state_lock;
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

static void free_closing(struct disks *disks)
{
	while (disks->closing) {
		struct closing *next = disks->closing->next;

		close(disks->closing->fd);
		free(disks->closing);
		disks->closing = next;
	}
}

static void free_unfinished(struct disks *disks)
{
	while (disks->unfinished) {
		struct unfinished *next = disks->unfinished->next;

		free(disks->unfinished->file);
		free(disks->unfinished);
		disks->unfinished = next;
	}
}

static void remove_disks(struct disks *disks)
{
	while (disks->first) {
		struct disk *disk = disks->first;

		LOCKED (&disks->lock)
			disk->refs++;
		disk_remove(disk);
		disk_put(disk);
	}
}

static void put_layers_locked(struct disks *disks)
{
	while (disks->layers) {
		struct layer *layer = disks->layers;

		disks->layers = layer->next;
		layer_put_locked(layer);
	}
}

/* The locks last: another daemon may start as soon as they are free. */
static void close_directories(struct disks *disks)
{
	close_fdp(&disks->scratch_fd);
	close_fdp(&disks->outputs_fd);
	close_fdp(&disks->lost_fd);
	close_fdp(&disks->intents_fd);
	close_fdp(&disks->layers_fd);
	close_fdp(&disks->disks_fd);
	close_fdp(&disks->state_fd);
	close_fdp(&disks->images_lock);
	if (disks->options->lock_fd == disks->state_lock)
		disks->options->lock_fd = 0;
	close_fdp(&disks->state_lock);
}

static void destroy_locks(struct disks *disks)
{
	pthread_cond_destroy(&disks->changed);
	pthread_cond_destroy(&disks->queued);
	pthread_mutex_destroy(&disks->lock);
	pthread_mutex_destroy(&disks->records);
	pthread_rwlock_destroy(&disks->names);
}

void disks_free(struct disks *disks)
{
	if (!disks)
		return;
	workers_stop(disks);
	remove_disks(disks);
	LOCKED (&disks->lock)
		put_layers_locked(disks);
	free_closing(disks);
	free_unfinished(disks);
	close_directories(disks);
	destroy_locks(disks);
	free(disks);
}
