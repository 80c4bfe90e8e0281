/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `-o protect=` promises, while users make files that match.
 */
#include "model_world.h"

#include <sys/resource.h>

#include "due.h"

#define USER 1000
#define GETS 4 /* of 32 descriptors each */

/* A world in which everything that ends in ".img" is due. */
static void all_are_due(void)
{
	struct rlimit old, few;
	char **globs = calloc(1, sizeof(*globs));

	world_new();
	globs[0] = strdup("*.img");
	world->options.protect = (struct text_list){ .items = globs, .count = 1 };
	getrlimit(RLIMIT_NOFILE, &old);
	few = (struct rlimit){ GETS * 32, old.rlim_max };
	check_int(setrlimit(RLIMIT_NOFILE, &few), 0);
	check_int(due_new(world->disks), 0);
	setrlimit(RLIMIT_NOFILE, &old);
}

static void end(void)
{
	due_free(world->disks);
	world_end();
}

static void found(const char *what, uid_t owner, int count)
{
	char name[64];

	for (int i = 0; i < count; i++) {
		struct stat stat = { .st_uid = owner, .st_ino = (ino_t)i + 1 };

		snprintf(name, sizeof(name), "%s%d.img", what, i);
		due_found(world->disks, name, &stat);
	}
}

static size_t left(void)
{
	struct sentence names;

	return due_left(world->disks, &names);
}

TEST(of_each_user_some_names_are_due_and_of_root_all)
{
	all_are_due();
	found("his", USER, 3 * GETS);
	check_int(left(), GETS);
	found("hers", USER + 1, GETS - 1);
	check_int(left(), 2 * GETS - 1);
	found("root", 0, 3 * GETS);
	check_int(left(), 5 * GETS - 1);
	found("his", USER, 3 * GETS); /* looked up again */
	check_int(left(), 5 * GETS - 1);
	end();
}

/* There are no such files. */
TEST(what_was_refused_is_remembered_until_all_were_found)
{
	all_are_due();
	found("his", USER, GETS);
	while (due_settle_next(world->disks))
		;
	check_int(left(), 0);
	found("his", USER, 2 * GETS);
	check_int(left(), 0);
	found("root", 0, 1);
	check_int(left(), 1);
	due_all_found(world->disks);
	check_int(left(), 1);
	check(due_settle_next(world->disks));
	check(!due_settle_next(world->disks));
	check(!due_is_name(world->disks, "root0.img"));
	found("later", 0, 1);
	check_int(left(), 0);
	end();
}
