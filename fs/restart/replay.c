/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A note stays where its answer reached the kernel and the daemon did not get to strike it. It does no harm, since numbers are never
 * used twice, and goes a few restarts later: a request may have to be sent again and again while daemons die early.
 */
#include "replay.h"

#define RESTARTS_KEPT 16

struct search {
	uint64_t unique;
	struct kept_request *found;
};

static void compare(void *context, void *slot)
{
	struct search *search = context;
	struct kept_request *kept = slot;

	/* Two steps of one request are noted for a moment: the later one is meant. */
	if (kept->unique == search->unique && (!search->found || kept->line > search->found->line))
		search->found = kept;
}

const struct kept_request *replay_recall(struct handover *handover, struct replay *replay)
{
	struct search search = { .unique = replay->unique };

	if (replay->again && !replay->kept) {
		handover_visit(handover, KEPT_REQUEST, compare, &search);
		replay->kept = search.found;
	}
	return replay->kept;
}

void replay_note(struct handover *handover, struct replay *replay, const struct kept_request *found)
{
	struct kept_request *kept = replay->kept ? NULL : handover_take(handover, KEPT_REQUEST);

	if (!kept)
		return;
	*kept = *found;
	kept->unique = 0;
	kept->restarts = handover_mount(handover)->restarts;
	handover_publish(&kept->unique, replay->unique);
	replay->kept = kept;
}

void replay_note_next(struct handover *handover, struct replay *replay, const struct kept_request *found)
{
	struct kept_request *before = replay->kept;

	replay->kept = NULL;
	replay_note(handover, replay, found);
	if (replay->kept)
		handover_give(handover, KEPT_REQUEST, before);
	else
		replay->kept = before;
}

void replay_settle(struct handover *handover, struct replay *replay)
{
	handover_give(handover, KEPT_REQUEST, replay->kept);
	replay->kept = NULL;
}

static void forget_if_old(void *context, void *slot)
{
	struct handover *handover = context;
	const struct kept_request *kept = slot;

	if (kept->restarts + RESTARTS_KEPT < handover_mount(handover)->restarts)
		handover_give(handover, KEPT_REQUEST, slot);
}

void replay_forget_old(struct handover *handover)
{
	handover_visit(handover, KEPT_REQUEST, forget_if_old, handover);
}
