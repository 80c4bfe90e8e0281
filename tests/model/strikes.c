/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon is killed at a random durable step of a verb, and the daemon that its keeper starts
 * next is asked the same again by the kernel.
 *
 * What the disks are afterwards is the same as without. What an answer says of how they became so
 * may be less: the daemon that gives it finds some of the work done. Those of prepare and release
 * say all of it. The next daemon may be killed as well, while it starts or does what is left.
 *
 * FAULT_PLAN in the environment asks for it, and needs the build of the daemon that obeys it
 * (tests/fault/fault.c).
 */
#include "model.h"

#define STEPS_AHEAD 12

bool strikes;
static const char *plan;
static bool planned, planned_twice;
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
static void write_plan(const char *name)
{
	const char *action = one_in(2) ? "kill" : "kill-after";
	unsigned at = below(STEPS_AHEAD) + 1;
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s.new", plan);
	note("%u: %s %u", step, action, at);
	write_file(path, "%s %u\n", action, at);
	check_system(rename(path, name), "the plan");
}

static const char *next_plan(void)
{
	static char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s.next", plan);
	return path;
}

/* Also the daemon that goes on with it, while it starts or does what is left. */
void strike_begin(void)
{
	if (!strikes)
		return;
	restarts_before = read_restarts();
	planned = one_in(2);
	planned_twice = planned && one_in(3);
	if (planned_twice)
		write_plan(next_plan());
	if (planned)
		write_plan(plan);
}

bool was_struck(void)
{
	return strikes && read_restarts() > restarts_before;
}

/* A daemon takes the plan away before it is killed, which may be a sync later. */
static void call_off(void)
{
	int kills = planned_twice && unlink(next_plan()) < 0;

	kills += planned && unlink(plan) < 0;
	planned = planned_twice = false;
	for (int i = 0; kills && i < 1000 && read_restarts() < restarts_before + kills; i++)
		usleep(10000);
	if (kills && read_restarts() < restarts_before + kills)
		fail("the daemon took the plan and was not killed");
}

/* With the next daemon each session of the mount's goes on, and is active for a minute at least. */
static void go_on(void)
{
	for (int i = 0; i < DISKS; i++)
		if (disks[i].session.present && disks[i].session.adopted) {
			disks[i].session.had_writer = false;
			disks[i].session.since = now();
		}
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
		go_on();
		observe();
	}
	restarts_before = restarts;
}

unsigned strike_count(void)
{
	return count;
}
