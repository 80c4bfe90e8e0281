/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When disk.json has to be written at a session's start or end: when a member differs, and only
 * then.
 */
#include "test.h"

#include "participant.h"

static struct disk_record sample(void)
{
	struct disk_record record = { .fate = FATE_ARMED, .keep_revisions = 3, .origin = (char *)"gold" };

	strcpy(record.head, "0123456789abcdef");
	strcpy(record.hold_domain, "win10");
	return record;
}

TEST(what_lies_behind_the_end_of_a_text_or_between_members_makes_no_difference)
{
	struct disk_record a, b;

	memset(&a, 0x55, sizeof(a));
	memset(&b, 0xaa, sizeof(b));
	a = sample(), b = sample();
	strcpy(b.hold_uuid, "00000000-0000-4000-8000-000000000001");
	b.hold_uuid[0] = '\0';
	strcpy(b.consumed, "of an older file");
	b.consumed[0] = '\0';
	check(memcmp(&a, &b, sizeof(a)) != 0);
	check(!records_differ(&a, &b));
}

TEST(the_same_origin_in_another_place_is_the_same)
{
	struct disk_record a = sample(), b = sample();
	char copy[] = "gold";

	b.origin = copy;
	check(!records_differ(&a, &b));
	a.origin = b.origin = NULL;
	check(!records_differ(&a, &b));
}

#define check_differs(change)                           \
	do {                                            \
		struct disk_record a = sample(), b = a; \
		b.change;                               \
		check(records_differ(&a, &b));          \
		check(records_differ(&b, &a));          \
	} while (0)

TEST(each_member_makes_a_difference)
{
	check_differs(head[0] = 'f');
	check_differs(hold[0] = 'f');
	check_differs(hold_uuid[0] = 'f');
	check_differs(hold_domain[0] = 'f');
	check_differs(hold_managed = true);
	check_differs(fate = FATE_DISCARD);
	check_differs(fate_uuid[0] = 'f');
	check_differs(fate_armed = true);
	check_differs(fate_unread = true);
	check_differs(fate_clean = true);
	check_differs(unread_uuid[0] = 'f');
	check_differs(unread_target[0] = 'v');
	check_differs(fate_since = 1);
	check_differs(commit_at_release = true);
	check_differs(consumed[0] = 'f');
	check_differs(keep_revisions = 4);
	check_differs(domain_revisions_set = true);
	check_differs(domain_revisions = 1);
	check_differs(leftover_keep = true);
	check_differs(strict = true);
	check_differs(keeps_data = true);
	check_differs(origin = (char *)"silver");
	check_differs(origin = NULL);
	check_differs(follow = true);
}
