/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose rights a command has, and what is believed of /proc. */
#include "caller.h"

#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define GROUP 60

static const struct identity root = { .uid = 0 };
static const struct identity member = { .uid = 1001, .gid = 1001, .group_count = 2, .groups = { 5, GROUP } };
static const struct identity mate = { .uid = 1002, .gid = GROUP };
static const struct identity stranger = { .uid = 1003, .gid = 1003, .group_count = 1, .groups = { 5 } };
static const struct identity unknown = { .uid = HANDOVER_UNKNOWN, .gid = HANDOVER_UNKNOWN };

static int lesser(const struct identity *opener, const struct identity *writer, gid_t group, struct identity *ret)
{
	struct sentence error = { "" };
	int r = identity_lesser(opener, writer, group, ret, &error);

	check((r < 0) == (error.text[0] != '\0'));
	return r;
}

TEST(root_speaks_as_root_where_it_opened_and_writes)
{
	struct identity who = { .uid = 1 };

	check_int(lesser(&root, &root, 0, &who), 0);
	check_int(who.uid, 0);
}

TEST(who_opened_has_root_write_nothing_but_his_own)
{
	struct identity who;

	check_int(lesser(&member, &root, GROUP, &who), 0);
	check_int(who.uid, 1001);
	check_int(who.group_count, 2);
}

TEST(a_user_speaks_with_the_groups_that_he_opened_with)
{
	const struct identity setgid = { .uid = 1001, .gid = 42, .group_count = 1, .groups = { 42 } };
	struct identity who;

	check_int(lesser(&member, &setgid, GROUP, &who), 0);
	check_int(who.gid, 1001);
	check_int(who.groups[1], GROUP);
}

TEST(two_users_do_not_speak_for_each_other)
{
	struct identity who;

	check_int(lesser(&member, &mate, GROUP, &who), -EPERM);
	check_int(lesser(&stranger, &member, GROUP, &who), -EPERM);
}

TEST(roots_descriptor_serves_those_who_could_open_it)
{
	struct identity who;

	check_int(lesser(&root, &member, GROUP, &who), 0);
	check_int(who.uid, 1001);
	check_int(lesser(&root, &mate, GROUP, &who), 0);
	check_int(lesser(&root, &stranger, GROUP, &who), -EPERM);
	check_int(lesser(&root, &stranger, 0, &who), -EPERM);
}

TEST(an_unknown_opener_lends_root_nothing)
{
	struct identity who;

	check_int(lesser(&unknown, &root, GROUP, &who), -EPERM);
	check_int(lesser(&unknown, &member, GROUP, &who), 0);
	check_int(who.uid, 1001);
}

TEST(the_groups_of_a_process_are_read)
{
	gid_t groups[64];
	int count = getgroups(64, groups);
	struct identity who = identity_of(geteuid(), getegid(), getpid());

	check(count >= 0);
	check_int(who.group_count, count < HANDOVER_GROUPS_MAX ? count : HANDOVER_GROUPS_MAX);
	for (unsigned i = 0; i < who.group_count; i++)
		check(identity_has_group(&who, groups[i]));
}

TEST(a_process_of_somebody_else_or_none_has_no_groups)
{
	check_int(identity_of(geteuid() + 1, getegid(), getpid()).group_count, 0);
	check_int(identity_of(geteuid(), getegid() + 1, getpid()).group_count, 0);
	check_int(identity_of(geteuid(), getegid(), 0).group_count, 0);
	check_int(identity_of(geteuid(), getegid(), -1).group_count, 0);
	check_int(identity_of(geteuid(), getegid(), INT32_MAX).group_count, 0);
}
