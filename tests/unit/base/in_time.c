/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whoever waits for a call that may hang waits no longer than he wants to, and what the call gives
 * afterwards is given to who can get rid of it.
 */
#include "test.h"

#include <errno.h>
#include <unistd.h>

#include "in_time.h"

/* A call that ends when a byte can be read, and says on another pipe that it came too late. */
struct world {
	int go[2], late[2];
};

static int call(void *context)
{
	const struct world *world = context;
	char byte;

	return read(world->go[0], &byte, 1) == 1 ? byte : -EIO;
}

static void too_late(void *context, int result)
{
	const struct world *world = context;
	char byte = (char)result;

	check_int(write(world->late[1], &byte, 1), 1);
}

static struct timed_call begin(struct world *world)
{
	check_int(pipe(world->go), 0);
	check_int(pipe(world->late), 0);
	return (struct timed_call){ .call = call, .too_late = too_late, .context = world };
}

TEST(what_a_call_returns_in_time_is_returned)
{
	struct world world;
	const struct timed_call timed = begin(&world);
	unsigned left_ms = 60000;
	int result = 0;

	check_int(write(world.go[1], "7", 1), 1);
	check(in_time(&left_ms, &timed, &result));
	check_int(result, '7');
	check(left_ms > 0 && left_ms <= 60000);
	close(world.go[1]);
	check(in_time(&left_ms, &timed, &result));
	check_int(result, -EIO);
}

TEST(what_takes_too_long_is_left_behind_and_got_rid_of_when_it_ends)
{
	struct world world;
	const struct timed_call timed = begin(&world);
	unsigned left_ms = 20;
	int result = 0;
	char byte = 0;

	check(!in_time(&left_ms, &timed, &result));
	check_int(left_ms, 0);
	check_int(write(world.go[1], "8", 1), 1);
	check_int(read(world.late[0], &byte, 1), 1);
	check_int(byte, '8');
}
