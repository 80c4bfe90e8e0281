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

const struct kept_request *ticket_recall(struct handover *handover, struct ticket *ticket)
{
	struct search search = { .unique = ticket->unique };

	if (ticket->again && !ticket->kept) {
		handover_visit(handover, KEPT_REQUEST, compare, &search);
		ticket->kept = search.found;
	}
	return ticket->kept;
}

void ticket_note(struct handover *handover, struct ticket *ticket, const struct kept_request *found)
{
	struct kept_request *kept = ticket->kept ? NULL : handover_take(handover, KEPT_REQUEST);

	if (!kept)
		return;
	*kept = *found;
	kept->unique = 0;
	kept->restarts = handover_mount(handover)->restarts;
	handover_publish(&kept->unique, ticket->unique);
	ticket->kept = kept;
}

void ticket_note_next(struct handover *handover, struct ticket *ticket, const struct kept_request *found)
{
	struct kept_request *before = ticket->kept;

	ticket->kept = NULL;
	ticket_note(handover, ticket, found);
	if (ticket->kept)
		handover_give(handover, KEPT_REQUEST, before);
	else
		ticket->kept = before;
}

void ticket_settle(struct handover *handover, struct ticket *ticket)
{
	handover_give(handover, KEPT_REQUEST, ticket->kept);
	ticket->kept = NULL;
}

static void forget_if_old(void *context, void *slot)
{
	struct handover *handover = context;
	const struct kept_request *kept = slot;

	if (kept->restarts + RESTARTS_KEPT < handover_mount(handover)->restarts)
		handover_give(handover, KEPT_REQUEST, slot);
}

void tickets_forget_old(struct handover *handover)
{
	handover_visit(handover, KEPT_REQUEST, forget_if_old, handover);
}
