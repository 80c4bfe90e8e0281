/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon is killed at a random durable step of a verb, and the daemon that its keeper starts
 * next is asked the same again by the kernel.
 *
 * What the disks are afterwards is the same as without. What an answer says of how they became so
 * may be less: the daemon that gives it finds some of the work done. Those of prepare and release say
 * all of it.
 *
 * FAULT_PLAN in the environment asks for it, and needs the build of the daemon that obeys it
 * (tests/fault/fault.c).
 */
#include "model.h"

#define STEPS_AHEAD 12

bool strikes;
static const char *plan;
static bool planned;
static int restarts_before;
static unsigned count;

void strikes_setup(void)
{
	plan = getenv("FAULT_PLAN");
	strikes = plan != NULL;
}

static int read_restarts(void)
{
	struct json_object *status = read_status();
	int restarts = atoi(member(status, "restarts"));

	json_object_put(status);
	return restarts;
}

/* By a rename: the daemon reads either the whole plan or none. */
static void write_plan(const char *action, unsigned at)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s.new", plan);
	write_file(path, "%s %u\n", action, at);
	check_system(rename(path, plan), "the plan");
}

void strike_begin(void)
{
	const char *action = one_in(2) ? "kill" : "kill-after";
	unsigned at = below(STEPS_AHEAD) + 1;

	if (!strikes)
		return;
	restarts_before = read_restarts();
	planned = one_in(2);
	if (planned) {
		note("%u: %s %u", step, action, at);
		write_plan(action, at);
	}
}

bool was_struck(void)
{
	return strikes && read_restarts() > restarts_before;
}

/* A daemon takes the plan away before it is killed, which may be a sync later. */
static void call_off(void)
{
	bool is_taken = planned && unlink(plan) < 0;

	planned = false;
	for (int i = 0; is_taken && i < 1000 && !was_struck(); i++)
		usleep(10000);
	if (is_taken && !was_struck())
		fail("the daemon took the plan and was not killed");
}

/*
 * It may be struck, by a fold, after all was looked at: what the next daemon makes of that is
 * looked at here.
 */
void strike_end(void)
{
	int restarts;

	if (!strikes)
		return;
	call_off();
	restarts = read_restarts();
	if (restarts > restarts_before) {
		note("%u: struck", step);
		count += (unsigned)(restarts - restarts_before);
		observe();
	}
	restarts_before = restarts;
}

unsigned strike_count(void)
{
	return count;
}
