/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cut costs one addition, however many descriptors there are: each remembers how many cuts there
 * had been when it was opened.
 */
#include "onlookers.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "caller.h"
#include "layer.h"
#include "lock.h"
#include "session.h"
#include "view.h"

#define CLOSED_MS 5000 /* longer than a worker takes to look again */

/* --- who is one ------------------------------------------------------------------------------- */

/* Root may write whatever his groups are. */
static struct identity identify(const struct requester *who)
{
	return who->uid ? identity_of(who->uid, who->gid, who->pid) : (struct identity){ .gid = who->gid };
}

/*
 * The kernel need not be asked where nobody but the owner may write: the bits of the group bound
 * what an ACL gives. That matters, since it may be asked about many disks under a lock.
 */
static bool may_write(int fd, const struct identity *who)
{
	struct stat stat;

	if (who->uid == 0)
		return true;
	if (fstat(fd, &stat) < 0 || (stat.st_uid != who->uid && !(stat.st_mode & (S_IWGRP | S_IWOTH))))
		return false;
	return identity_may(who, fd, W_OK);
}

static bool is_guest_s_locked(const struct layer *layer, const struct identity *who)
{
	if (who->uid && layer->labelled && layer->label_uid == who->uid)
		return true;
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (disk->head && disk->scratch && layer_is_below_locked(layer, disk_base(disk)) &&
		    (session_is_active_locked(disk) || disk->scratch->writers) && may_write(disk->scratch->fd, who))
			return true;
	return false;
}

bool is_onlooker_of_view(const struct view *view, const struct requester *who)
{
	const struct layer *layer = view_layer(view);
	struct identity identity = identify(who);
	bool is_guest = false;

	LOCKED (&layer->disks->lock)
		is_guest = is_guest_s_locked(layer, &identity);
	return !is_guest;
}

bool is_onlooker_of_scratch(const struct scratch *scratch, const struct requester *who)
{
	struct identity identity = identify(who);

	return !may_write(scratch->fd, &identity);
}

/* --- their descriptors ------------------------------------------------------------------------ */

void onlookers_restore_locked(struct disks *disks, struct onlookers *among, struct onlooker *ret_onlooker)
{
	among->open++;
	*ret_onlooker = (struct onlooker){ .disks = disks, .among = among, .cuts = among->cuts };
}

int onlookers_enter_locked(struct disks *disks, struct onlookers *among, struct onlooker *ret_onlooker)
{
	if (monotonic_ms() < among->closed_until)
		return -ESTALE;
	onlookers_restore_locked(disks, among, ret_onlooker);
	return 0;
}

static bool was_cut_locked(const struct onlooker *onlooker)
{
	return onlooker->cuts != onlooker->among->cuts;
}

void onlookers_leave_locked(const struct onlooker *onlooker)
{
	if (was_cut_locked(onlooker))
		return;
	onlooker->among->open--;
	pthread_cond_broadcast(&onlooker->disks->changed);
}

int onlooker_begin(const struct onlooker *onlooker)
{
	int r = 0;

	if (!onlooker->among)
		return 0;
	LOCKED (&onlooker->disks->lock) {
		if (was_cut_locked(onlooker))
			r = -ESTALE;
		else
			onlooker->among->busy++;
	}
	return r;
}

void onlooker_end(const struct onlooker *onlooker)
{
	if (!onlooker->among)
		return;
	LOCKED (&onlooker->disks->lock)
		if (--onlooker->among->busy == 0 && !onlooker->among->open)
			pthread_cond_broadcast(&onlooker->disks->changed);
}

void onlooker_cut(struct onlooker *onlooker)
{
	LOCKED (&onlooker->disks->lock) {
		onlookers_leave_locked(onlooker);
		onlooker->cuts = onlooker->among->cuts - 1;
	}
}

bool onlookers_obstruct(const struct onlookers *among)
{
	return among->open || among->busy;
}

unsigned onlookers_cut_locked(struct onlookers *among)
{
	unsigned count = among->open;

	among->cuts++;
	among->open = 0;
	among->closed_until = monotonic_ms() + CLOSED_MS;
	return count;
}

void onlookers_admit_locked(struct onlookers *among)
{
	among->closed_until = 0;
}

/* --- the clock -------------------------------------------------------------------------------- */

void patience_run_locked(struct layer *folded)
{
	if (!folded->patience.since)
		folded->patience.since = monotonic_ms();
}

static uint64_t waited_locked(const struct layer *folded)
{
	return folded->patience.waited_ms + (folded->patience.since ? monotonic_ms() - folded->patience.since : 0);
}

void patience_pause_locked(struct layer *folded)
{
	folded->patience.waited_ms = waited_locked(folded);
	folded->patience.since = 0;
}

void patience_renew_locked(struct layer *folded)
{
	folded->patience.waited_ms = 0;
	folded->patience.since = 0;
}

uint64_t patience_left_ms_locked(const struct layer *folded)
{
	uint64_t limit = (uint64_t)folded->disks->options->reader_patience * 1000, waited = waited_locked(folded);

	return waited < limit ? limit - waited : 0;
}
