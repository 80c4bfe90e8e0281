/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A world with a daemon: it is started and stopped, and driven by control lines.
 */
#ifndef DAEMON_WORLD_H
#define DAEMON_WORLD_H

#include "control_lines.h"

#include "state.h"

static int new_disks(struct sentence *error)
{
	return disks_new(&world->options, world->images_fd, -1, world->handover, &world->disks, error);
}

/* What a start of the daemon does. */
__attribute__((unused)) static void world_start(void)
{
	struct sentence error = { "" };

	if (new_disks(&error) != 0 || disks_start(world->disks, &error) != 0)
		test_fail(__FILE__, __LINE__, "it does not start: %s", error.text);
}

__attribute__((unused)) static void world_stop(void)
{
	disks_free(world->disks);
	world->disks = NULL;
}

__attribute__((unused)) static void world_new(void)
{
	world_make();
	world_start();
}

__attribute__((unused)) static void world_end(void)
{
	world_stop();
	world_remove();
	forget_answer();
}

__attribute__((unused)) static void world_restart(void)
{
	world_stop();
	world_start();
}

#endif
