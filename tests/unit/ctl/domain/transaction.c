/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes are made all or none: what was done is undone when a later step fails. */
#include "transaction.h"
#include "test.h"

struct trace {
	char text[64];
	int fail_at, stuck_at, also_stuck_at;
};

static int act(struct trace *trace, int number, struct sentence *error)
{
	sprintf(trace->text + strlen(trace->text), "+%d", number);
	return trace->fail_at == number ? report(error, -EIO, "step %d failed", number) : 0;
}

static int undo(struct trace *trace, int number, struct sentence *error)
{
	sprintf(trace->text + strlen(trace->text), "-%d", number);
	return trace->stuck_at == number || trace->also_stuck_at == number
		       ? report(error, -EIO, "step %d is stuck", number)
		       : 0;
}

#define STEP(n)                                                   \
	static int act##n(void *subject, struct sentence *error)  \
	{                                                         \
		return act(subject, n, error);                    \
	}                                                         \
	static int undo##n(void *subject, struct sentence *error) \
	{                                                         \
		return undo(subject, n, error);                   \
	}
STEP(1)
STEP(2)
STEP(3)

static const struct transaction_step steps[] = { { act1, undo1 }, { act2, undo2 }, { act3, undo3 } };

TEST(steps_that_fail_are_undone_from_the_last_to_the_first)
{
	struct trace trace = { .fail_at = 3 };
	struct sentence why = { "" };

	check_errno(transaction_run(steps, 3, &trace, "all is as it was", &why), EIO);
	check_str(trace.text, "+1+2+3-3-2-1");
	check_str(why.text, "step 3 failed; all is as it was");
	trace = (struct trace){ 0 };
	check_int(transaction_run(steps, 3, &trace, "", &why), 0);
	check_str(trace.text, "+1+2+3");
}

TEST(an_undo_that_fails_is_told_and_keeps_nothing_else_from_being_undone)
{
	struct trace trace = { .fail_at = 2, .stuck_at = 2 };
	struct sentence why = { "" };

	check_errno(transaction_run(steps, 3, &trace, "all is as it was", &why), EIO);
	check_str(trace.text, "+1+2-2-1");
	check_str(why.text, "step 2 failed; and this could not be taken back: step 2 is stuck");
	trace = (struct trace){ .fail_at = 3, .stuck_at = 3, .also_stuck_at = 1 };
	check_errno(transaction_run(steps, 3, &trace, "all is as it was", &why), EIO);
	check_str(trace.text, "+1+2+3-3-2-1");
	check_str(why.text, "step 3 failed; and this could not be taken back: step 3 is stuck; step 1 is stuck");
}
