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

/* --- decisions -------------------------------------------------------------------------------- */

_Static_assert(sizeof(struct handover_decision) <= sizeof(struct handover_answer), "a decision has outgrown its slot");

static void compare_decision(void *context, void *slot)
{
	struct replay *replay = context;
	struct handover_decision *decision = slot;

	if (decision->request == (HANDOVER_DECISION | replay->unique))
		replay->decision = decision;
}

struct handover_decision *replay_recall_decision(struct handover *handover, struct replay *replay, unsigned line)
{
	struct handover_decision *found;

	if (replay->again && !replay->decision)
		handover_visit(handover, HANDOVER_ANSWER, compare_decision, replay);
	found = replay->decision;
	return found && found->line == line && found->count <= HANDOVER_DECIDED_MAX ? found : NULL;
}

struct handover_decision *replay_decide(struct handover *handover, struct replay *replay,
					const struct handover_decision *decision)
{
	struct handover_decision *noted =
		replay->decision ? replay->decision : handover_take(handover, HANDOVER_ANSWER);

	if (!noted)
		return NULL;
	handover_publish(&noted->request, 0);
	*noted = *decision;
	noted->request = 0;
	noted->restarts = handover_mount(handover)->restarts;
	handover_publish(&noted->request, HANDOVER_DECISION | replay->unique);
	return replay->decision = noted;
}

/* --- the end ---------------------------------------------------------------------------------- */

void replay_settle(struct handover *handover, struct replay *replay)
{
	handover_give(handover, HANDOVER_REQUEST, replay->noted);
	handover_give(handover, HANDOVER_ANSWER, replay->decision);
	replay->noted = NULL;
	replay->decision = NULL;
}

static bool is_old(struct handover *handover, uint32_t restarts)
{
	return restarts + RESTARTS_KEPT < handover_mount(handover)->restarts;
}

static void forget_if_old(void *context, void *slot)
{
	struct handover *handover = context;
	const struct handover_request *noted = slot;

	if (is_old(handover, noted->restarts))
		handover_give(handover, HANDOVER_REQUEST, slot);
}

static void forget_decision_if_old(void *context, void *slot)
{
	struct handover *handover = context;
	const struct handover_decision *decision = slot;

	if ((decision->request & HANDOVER_DECISION) && is_old(handover, decision->restarts))
		handover_give(handover, HANDOVER_ANSWER, slot);
}

void replay_forget_old(struct handover *handover)
{
	handover_visit(handover, HANDOVER_REQUEST, forget_if_old, handover);
	handover_visit(handover, HANDOVER_ANSWER, forget_decision_if_old, handover);
}
