/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One poll loop over the questions, and now and then over one more: the status of a mount whose
 * disks are not copied yet. A small copy is answered before the first look at the status.
 */
#include "live_copy.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "status_json.h"

#define FIRST_LOOK_MS 10
#define LOOK_MS 20

struct look {
	struct question question;
	struct inquiry inquiry; /* fd -1: none is under way */
	uint64_t next;          /* when to look, of monotonic_ms() */
};

void live_copy_begin(struct live_copy *live_copy)
{
	live_copy->open = client_begin(&live_copy->question, &live_copy->inquiry) == 0;
}

void live_copy_clear(struct live_copy *live_copy)
{
	if (live_copy->open)
		client_endp(&live_copy->inquiry);
	free(live_copy->question.answer);
}

static void settle(struct live_copy *live_copy)
{
	live_copy->open = false;
	client_endp(&live_copy->inquiry);
}

static void give_up(struct live_copy *live_copy)
{
	kill(live_copy->inquiry.pid, SIGKILL);
	settle(live_copy);
	live_copy->question.error =
		report(&live_copy->question.why, -ETIMEDOUT,
		       "disk '%s': the revertfs daemon of '%s' was not done in time; its log may say why",
		       live_copy->name, live_copy->question.point);
}

static struct live_copy *first_uncopied(struct live_copy *copies, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (copies[i].open && !copies[i].copied)
			return &copies[i];
	return NULL;
}

static struct live_copy *first_open(struct live_copy *copies, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (copies[i].open)
			return &copies[i];
	return NULL;
}

/* ---- what the status says */

static void begin_look(struct look *look, const char *point)
{
	look->question = (struct question){ .point = point, .file = "status.json" };
	client_begin(&look->question, &look->inquiry);
	look->next = monotonic_ms() + LOOK_MS;
}

static void end_look(struct look *look)
{
	client_endp(&look->inquiry);
	free(look->question.answer);
	look->question.answer = NULL;
}

static void note_copied(struct live_copy *copies, size_t count, const struct question *question)
{
	CLEANUP(json_putp) struct json_object *status = NULL;
	struct json_object *disk = NULL;
	const char *copied;

	if (!question->answer || answer_parse(question->answer, &status) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (strcmp(copies[i].question.point, question->point) == 0 &&
		    ask_find_disk(status, copies[i].name, &disk, NULL) == 0 &&
		    json_get_string(disk, "copied", &copied) > 0)
			copies[i].copied |= strcmp(copied, copies[i].snapshot) == 0;
}

/* ---- the loop */

/* Wait until something comes or it is `until`, and take what has come. */
static void wait_and_take(struct live_copy *copies, size_t count, struct look *look, uint64_t until)
{
	CLEANUP(freep) struct pollfd *polls = calloc(count + 1, sizeof(*polls));
	uint64_t now = monotonic_ms();

	if (!polls)
		return;
	for (size_t i = 0; i < count; i++)
		polls[i] = (struct pollfd){ .fd = copies[i].open ? copies[i].inquiry.fd : -1, .events = POLLIN };
	polls[count] = (struct pollfd){ .fd = look->inquiry.fd, .events = POLLIN };
	if (poll(polls, count + 1, until > now ? (int)(until - now) : 0) <= 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (polls[i].revents && client_take(&copies[i].question, &copies[i].inquiry))
			settle(&copies[i]);
	if (polls[count].revents && client_take(&look->question, &look->inquiry)) {
		note_copied(copies, count, &look->question);
		end_look(look);
	}
	ask_reap();
}

void live_copy_until_copied(struct live_copy *copies, size_t count, uint64_t deadline)
{
	struct look look = { .inquiry = { .fd = -1 }, .next = monotonic_ms() + FIRST_LOOK_MS };
	struct live_copy *waiting;

	while ((waiting = first_uncopied(copies, count)) && monotonic_ms() < deadline) {
		bool may_look = look.inquiry.fd < 0;

		if (may_look && monotonic_ms() >= look.next)
			begin_look(&look, waiting->question.point);
		wait_and_take(copies, count, &look, may_look && look.next < deadline ? look.next : deadline);
	}
	while ((waiting = first_uncopied(copies, count)))
		give_up(waiting);
	end_look(&look);
}

void live_copy_until_settled(struct live_copy *copies, size_t count, uint64_t deadline)
{
	struct look none = { .inquiry = { .fd = -1 } };
	struct live_copy *waiting;

	while (first_open(copies, count) && monotonic_ms() < deadline)
		wait_and_take(copies, count, &none, deadline);
	while ((waiting = first_open(copies, count)))
		give_up(waiting);
}
