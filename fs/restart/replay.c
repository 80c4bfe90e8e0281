/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon that is killed between answering a request and clearing its note leaves the note behind.
 * It does no harm, since the kernel never uses a request's number twice. It is dropped
 * RESTARTS_KEPT restarts later and no sooner: a request whose daemons keep dying is sent again each
 * time.
 */
#include "replay.h"

#define RESTARTS_KEPT 16

struct search {
	uint64_t unique;
	struct handover_request *found;
};

static void compare(void *context, void *slot)
{
	struct search *search = context;
	struct handover_request *noted = slot;

	/* replay_note_next() has both steps noted for a moment; the later one counts. */
	if (noted->unique == search->unique && (!search->found || noted->line > search->found->line))
		search->found = noted;
}

const struct handover_request *replay_recall(struct handover *handover, struct replay *replay)
{
	struct search search = { .unique = replay->unique };

	if (replay->again && !replay->noted) {
		handover_visit(handover, HANDOVER_REQUEST, compare, &search);
		replay->noted = search.found;
	}
	return replay->noted;
}

void replay_note(struct handover *handover, struct replay *replay, const struct handover_request *found)
{
	struct handover_request *noted = replay->noted ? NULL : handover_take(handover, HANDOVER_REQUEST);

	if (!noted)
		return;
	*noted = *found;
	noted->unique = 0;
	noted->restarts = handover_mount(handover)->restarts;
	handover_publish(&noted->unique, replay->unique);
	replay->noted = noted;
}

void replay_note_next(struct handover *handover, struct replay *replay, const struct handover_request *found)
{
	struct handover_request *before = replay->noted;

	replay->noted = NULL;
	replay_note(handover, replay, found);
	if (replay->noted)
		handover_give(handover, HANDOVER_REQUEST, before);
	else
		replay->noted = before;
}

void replay_settle(struct handover *handover, struct replay *replay)
{
	handover_give(handover, HANDOVER_REQUEST, replay->noted);
	replay->noted = NULL;
}

static void forget_if_old(void *context, void *slot)
{
	struct handover *handover = context;
	const struct handover_request *noted = slot;

	if (noted->restarts + RESTARTS_KEPT < handover_mount(handover)->restarts)
		handover_give(handover, HANDOVER_REQUEST, slot);
}

void replay_forget_old(struct handover *handover)
{
	handover_visit(handover, HANDOVER_REQUEST, forget_if_old, handover);
}
