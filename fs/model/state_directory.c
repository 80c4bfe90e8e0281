/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state/ is made with mode 0700 and needs no rights for anyone: all that QEMU and libvirt open lies
 * in the mount.
 */
#include "state_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elsewhere.h"
#include "filesystem.h"
#include "image_mark.h"
#include "io.h"
#include "lock.h"
#include "table.h"

static int read_boot_id(char boot[BOOT_ID_SIZE])
{
	CLEANUP(close_fdp) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : pread_all(fd, boot, BOOT_ID_SIZE - 1, 0);

	boot[BOOT_ID_SIZE - 1] = '\0';
	return r;
}

/* Make a directory and those above it, as mkdir -p does. */
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

static int make_locks(struct disks *disks)
{
	int r;

	name_claims_init(&disks->names);
	pthread_mutex_init(&disks->records, NULL);
	pthread_mutex_init(&disks->lock, NULL);
	r = cond_init_monotonic(&disks->changed);
	return r < 0 ? r : cond_init_monotonic(&disks->queued);
}

int model_new(struct options *options, int images_fd, struct handover *handover, struct disks **ret_disks,
	      struct sentence *error)
{
	struct disks *disks = calloc(1, sizeof(*disks));
	int r;

	if (!disks || make_locks(disks) < 0) {
		free(disks);
		return report(error, -ENOMEM, "out of memory");
	}
	disks->options = options;
	disks->handover = handover;
	disks->last_serial = handover_first_number(handover);
	disks->images_fd = images_fd;
	disks->images_shared = filesystem_shared(images_fd);
	disks->images_lock = disks->images_run_lock = disks->state_lock = -1;
	disks->state_guard.lock = disks->images_guard.lock = -1;
	disks->disks_fd = disks->layers_fd = -1;
	disks->intents_fd = disks->lost_fd = disks->outputs_fd = disks->scratch_fd = -1;
	r = read_boot_id(disks->boot);
	if (r < 0)
		report(error, r, "the boot id cannot be read: %s", error_text(r));
	disks->state_fd = r < 0 ? r : open_directory(options->state);
	if (r == 0 && disks->state_fd < 0)
		r = report(error, disks->state_fd, "the state directory '%s' cannot be opened: %s", options->state,
			   error_text(disks->state_fd));
	if (r < 0)
		model_free(disks);
	else
		*ret_disks = disks;
	return r;
}

int model_open_directories(struct disks *disks, struct sentence *error)
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
	image_mark_read_id(disks);
	if (disks->options->scratch) {
		disks->scratch_fd = open_directory(disks->options->scratch);
		if (disks->scratch_fd < 0)
			return report(error, disks->scratch_fd, "the scratch directory '%s' cannot be opened: %s",
				      disks->options->scratch, error_text(disks->scratch_fd));
	}
	return 0;
}

int state_check(struct disks *disks, struct sentence *error)
{
	const char *state = disks->options->state;
	int r = guard_check(&disks->state_guard);

	if (r == -ESTALE)
		return report(
			error, r,
			"the lock on the state directory '%s' is lost, and another host may be using it, so nothing is changed there any more; guests go on: shut them down, then stop this revertfs",
			state);
	if (r < 0)
		return report(
			error, r,
			"nothing was changed, for it cannot be told whether the state directory '%s' is still locked: %s",
			state, error_text(r));
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

void model_free(struct disks *disks)
{
	while (disks->first) {
		struct disk *disk = disks->first;

		pthread_mutex_lock(&disks->lock);
		disk->refs++;
		pthread_mutex_unlock(&disks->lock);
		disk_remove(disk);
		disk_put(disk);
	}
	pthread_mutex_lock(&disks->lock);
	while (disks->layers) {
		struct layer *layer = disks->layers;

		disks->layers = layer->next;
		layer_put_locked(layer);
	}
	pthread_mutex_unlock(&disks->lock);
	free_closing(disks);
	free_unfinished(disks);
	elsewhere_free(disks);
	close_fdp(&disks->scratch_fd);
	close_fdp(&disks->outputs_fd);
	close_fdp(&disks->lost_fd);
	close_fdp(&disks->intents_fd);
	close_fdp(&disks->layers_fd);
	close_fdp(&disks->disks_fd);
	close_fdp(&disks->state_fd);
	pthread_cond_destroy(&disks->changed);
	pthread_cond_destroy(&disks->queued);
	pthread_mutex_destroy(&disks->lock);
	pthread_mutex_destroy(&disks->records);
	name_claims_destroy(&disks->names);
	free(disks);
}
