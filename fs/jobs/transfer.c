/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *   transfer_queue --> QUEUED --a worker--> RUNNING --> NONE
 *                         +----------cancel----------->
 *
 * The list holds a reference until the end, and each thread that waits has one. The layers are
 * unpinned at the end, not with the last reference.
 */
#include "transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layer.h"
#include "lock.h"
#include "log.h"

#define DONE 99.0 /* per cent when all is copied, or its checksum is taken: a sync follows */

/* --- making one ------------------------------------------------------------------------------- */

/* With a reference. NULL when there is none. */
static struct layer *find_layer(struct disk *disk, const struct transfer_source *source)
{
	struct layer *layer = NULL;

	LOCKED (&disk->disks->lock) {
		if (source->snapshot)
			layer = disk_find_snapshot_locked(disk, source->snapshot);
		else
			layer = source->held ? disk->hold : disk->head;
		if (layer)
			layer_get_locked(layer);
	}
	return layer;
}

static int report_absence(const struct disk *disk, const struct transfer_source *source, struct sentence *error)
{
	if (source->held)
		return report(error, -ENOENT, "disk '%s' is not held for a saved guest: leave --held (held=yes) out",
			      disk->name);
	return report(error, -ENOENT, "disk '%s' has no snapshot '%s'", disk->name, source->snapshot);
}

/*
 * The layer with a reference, its chain pinned. A fold may remove the layer before it yields; the
 * parent has the names then, so the snapshot is looked for again.
 */
static struct layer *find_and_read(struct disk *disk, const struct transfer_source *source, int *ret_error,
				   struct sentence *error)
{
	struct layer *layer;
	int r;

	do {
		layer = find_layer(disk, source);
		if (!layer) {
			*ret_error = report_absence(disk, source, error);
			return NULL;
		}
		r = chain_begin_reading(layer);
		if (r < 0)
			layer_put(layer);
	} while (r == -ESTALE);
	if (r == 0)
		return layer;
	*ret_error =
		report(error, r,
		       "disk '%s': a commit is being folded into what is to be copied; try again when that has ended",
		       disk->name);
	return NULL;
}

struct transfer *transfer_new(struct disk *disk, const char *kind, const struct transfer_source *source, int *ret_error,
			      struct sentence *error)
{
	CLEANUP(transfer_putp) struct transfer *transfer = calloc(1, sizeof(*transfer));
	struct disks *disks = disk->disks;
	uint64_t bytes;
	int r;

	if (!transfer) {
		*ret_error = report(error, -ENOMEM, "out of memory");
		return NULL;
	}
	transfer->refs = 1;
	transfer->kind = kind;
	transfer->disk = disk;
	transfer->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	LOCKED (&disks->lock) {
		disk->refs++;
		transfer->number = ++disks->last_transfer;
	}
	transfer->layer = find_and_read(disk, source, ret_error, error);
	if (!transfer->layer)
		return NULL;
	LOCKED (&disks->lock)
		disk->copies++;
	r = transfer->stop_fd < 0 ? report(error, -EMFILE, "too many files are open")
				  : chain_open(transfer->layer, 0, &transfer->chain, error);
	if (r < 0) {
		*ret_error = r;
		return NULL;
	}
	bytes = chain_bytes(&transfer->chain);
	transfer->bytes = bytes < layer_virtual_size(transfer->layer) ? bytes : layer_virtual_size(transfer->layer);
	return steal_pointer(&transfer);
}

static void release_layers(struct transfer *transfer)
{
	struct layer *layer = NULL;

	chain_close(&transfer->chain);
	LOCKED (&transfer->disk->disks->lock) {
		layer = steal_pointer(&transfer->layer);
		if (layer)
			transfer->disk->copies--;
	}
	if (layer)
		chain_end_reading(layer);
	layer_put(layer);
}

void transfer_put(struct transfer *transfer)
{
	bool last = false;

	if (!transfer)
		return;
	LOCKED (&transfer->disk->disks->lock)
		last = --transfer->refs == 0;
	if (!last)
		return;
	release_layers(transfer);
	if (transfer->work)
		transfer->clear(transfer->work);
	close_fdp(&transfer->stop_fd);
	disk_put(transfer->disk);
	free(transfer->target);
	free(transfer);
}

void transfer_putp(struct transfer **transfer)
{
	transfer_put(*transfer);
}

/* --- asking ----------------------------------------------------------------------------------- */

/* How many transfers of a user there are, or (`running`) run. */
static unsigned count_locked(const struct disks *disks, uid_t uid, bool running)
{
	unsigned count = 0;

	for (const struct transfer *transfer = disks->transfers; transfer; transfer = transfer->next)
		count += transfer->uid == uid && (!running || transfer->state == JOB_RUNNING);
	return count;
}

int transfer_queue(struct transfer *transfer, struct sentence *error)
{
	struct disks *disks = transfer->disk->disks;
	struct transfer **place = &disks->transfers;

	log_debug("job", "disk '%s': job %llu is asked for, the %s of layer %s to '%s'", transfer->disk->name,
		  (unsigned long long)transfer->number, transfer->kind, transfer->layer->record.id, transfer->target);
	LOCKED (&disks->lock) {
		while (*place && strcmp((*place)->target, transfer->target) != 0)
			place = &(*place)->next;
		if (*place)
			return report(error, -EBUSY, "'%s' is being made already", transfer->target);
		if (transfer->uid && count_locked(disks, transfer->uid, false) >= TRANSFERS_EACH)
			return report(
				error, -EAGAIN,
				"user %u has %u exports and full clones queued, as many as one may have; wait for one to end, or 'cancel' one",
				transfer->uid, TRANSFERS_EACH);
		*place = transfer;
		transfer->refs++;
		transfer->state = JOB_QUEUED;
		pthread_cond_broadcast(&disks->changed);
		pthread_cond_broadcast(&disks->queued);
	}
	return 0;
}

int transfer_wait(struct transfer *transfer, struct caller *caller, struct sentence *error)
{
	struct disks *disks = transfer->disk->disks;
	int r = 0;

	pthread_mutex_lock(&disks->lock);
	transfer->waiting++;
	while (r == 0 && transfer->state != JOB_NONE) {
		if (caller && atomic_load(&caller->interrupted))
			r = report(error, -EINTR, "disk '%s': '%s' is made in the background; 'cancel' stops it",
				   transfer->disk->name, transfer->target);
		else
			pthread_cond_wait(&disks->changed, &disks->lock);
	}
	transfer->waiting--;
	if (r == 0 && transfer->result < 0) {
		r = transfer->result;
		*error = transfer->error;
	}
	pthread_mutex_unlock(&disks->lock);
	return r;
}

static bool is_meant(const struct transfer *transfer, const struct disk *disk, uint64_t number)
{
	return transfer->disk == disk && (!number || transfer->number == number);
}

static struct transfer *find_locked(const struct disk *disk, uint64_t number)
{
	struct transfer *transfer = disk->disks->transfers;

	while (transfer && !is_meant(transfer, disk, number))
		transfer = transfer->next;
	return transfer;
}

unsigned transfer_cancel(struct disk *disk, uint64_t number)
{
	struct disks *disks = disk->disks;
	struct transfer *transfer;
	unsigned count = 0;

	pthread_mutex_lock(&disks->lock);
	while ((transfer = find_locked(disk, number))) {
		bool queued = transfer->state == JOB_QUEUED;

		transfer->refs++;
		count++;
		if (queued)
			transfer->state = JOB_RUNNING; /* no worker takes it any more */
		else
			eventfd_write(transfer->stop_fd, 1);
		while (!queued && transfer->state != JOB_NONE)
			pthread_cond_wait(&disks->changed, &disks->lock);
		pthread_mutex_unlock(&disks->lock);
		if (queued)
			transfer_end(transfer, -ECANCELED, NULL);
		transfer_put(transfer);
		pthread_mutex_lock(&disks->lock);
	}
	pthread_mutex_unlock(&disks->lock);
	return count;
}

void transfer_stop_all_locked(struct disks *disks)
{
	for (struct transfer *transfer = disks->transfers; transfer; transfer = transfer->next)
		eventfd_write(transfer->stop_fd, 1);
}

void transfer_drop_all(struct disks *disks)
{
	while (disks->transfers)
		transfer_end(disks->transfers, -ECANCELED, NULL);
}

/* --- questions -------------------------------------------------------------------------------- */

bool transfer_runs_locked(const struct disk *disk)
{
	for (const struct transfer *transfer = disk->disks->transfers; transfer; transfer = transfer->next)
		if (transfer->disk == disk && transfer->state == JOB_RUNNING)
			return true;
	return false;
}

bool transfer_exists_locked(const struct disk *disk)
{
	return disk->copies > 0;
}

bool transfer_makes(struct disks *disks, const char *target)
{
	bool found = false;

	LOCKED (&disks->lock)
		for (const struct transfer *transfer = disks->transfers; transfer && !found; transfer = transfer->next)
			found = strcmp(transfer->target, target) == 0;
	return found;
}

const struct transfer *transfer_reading_locked(const struct layer *layer)
{
	for (const struct transfer *transfer = layer->disks->transfers; transfer; transfer = transfer->next)
		if (transfer->layer && layer_is_below_locked(layer, transfer->layer))
			return transfer;
	return NULL;
}

/* --- running ---------------------------------------------------------------------------------- */

unsigned transfer_workers(const struct options *options)
{
	return options->max_jobs + 1; /* the one more is root's: of the others, no more than max_jobs run */
}

/* Whether the share of whoever asked leaves room for one more. */
static bool has_room_locked(const struct disks *disks, uid_t uid)
{
	unsigned most = disks->options->max_jobs, others = 0;

	if (uid == 0)
		return true;
	for (const struct transfer *transfer = disks->transfers; transfer; transfer = transfer->next)
		others += transfer->uid != 0 && transfer->state == JOB_RUNNING;
	return others < most && count_locked(disks, uid, true) < (most + 1) / 2;
}

struct transfer *transfer_take_locked(struct disks *disks)
{
	for (struct transfer *transfer = disks->transfers; transfer; transfer = transfer->next) {
		if (transfer->state != JOB_QUEUED || transfer->disk->job.state == JOB_RUNNING ||
		    transfer_runs_locked(transfer->disk) || !has_room_locked(disks, transfer->uid))
			continue;
		transfer->state = JOB_RUNNING;
		transfer->started = monotonic_ms();
		transfer->refs++;
		return transfer;
	}
	return NULL;
}

static void end_locked(struct transfer *transfer, int result, const struct sentence *error)
{
	struct disks *disks = transfer->disk->disks;
	struct transfer **place = &disks->transfers;

	while (*place != transfer)
		place = &(*place)->next;
	*place = transfer->next;
	transfer->state = JOB_NONE;
	transfer->result = result;
	if (result == -ECANCELED) {
		report(&transfer->error, result, "disk '%s': '%s' was cancelled; nothing is left of it",
		       transfer->disk->name, transfer->target);
	} else if (result < 0) {
		transfer->error = *error;
		transfer->disk->last_error = *error;
	}
	pthread_cond_broadcast(&disks->changed);
}

void transfer_end(struct transfer *transfer, int result, const struct sentence *error)
{
	bool told = false;

	/* First, so that a fold which is asked for after the end finds no reader. */
	release_layers(transfer);
	log_debug("job", "disk '%s': job %llu %s", transfer->disk->name, (unsigned long long)transfer->number,
		  result == 0            ? "has ended"
		  : result == -ECANCELED ? "was cancelled"
					 : "has failed");
	LOCKED (&transfer->disk->disks->lock) {
		told = transfer->waiting > 0;
		end_locked(transfer, result, error);
	}
	/* The control file tells a caller that waits. */
	if (result < 0 && result != -ECANCELED && !told)
		log_error("%s", error->text);
	transfer_put(transfer);
}

static void note_progress(void *context, double percent)
{
	struct transfer *transfer = context;

	LOCKED (&transfer->disk->disks->lock)
		transfer->percent = percent * DONE / 100;
}

static struct program_watch watch_for(struct transfer *transfer)
{
	return (struct program_watch){ .stop_fd = transfer->stop_fd, .progress = note_progress, .context = transfer };
}

int transfer_convert(struct transfer *transfer, int fd, const struct qemu_conversion *conversion,
		     struct sentence *error)
{
	struct program_watch watch = watch_for(transfer);

	return qemu_img_convert(transfer->disk->disks->options, transfer->chain.nodes, transfer->chain.length, fd,
				conversion, &watch, error);
}

int transfer_digest(struct transfer *transfer, int fd, char digest[DIGEST_SIZE], struct sentence *error)
{
	struct program_watch watch = watch_for(transfer);
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return report(error, -errno, "its checksum cannot be taken: %s", error_text(-errno));
	LOCKED (&transfer->disk->disks->lock) {
		transfer->is_copied = true;
		transfer->bytes = (uint64_t)stat.st_size;
		transfer->percent = 0;
		transfer->started = monotonic_ms();
	}
	return digest_file(transfer->disk->disks->options, fd, &watch, digest, error);
}
