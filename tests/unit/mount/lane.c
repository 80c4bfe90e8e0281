/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lanes: who may be at work, who waits, who is refused, and who comes next.
 */
#include "test.h"

#include <errno.h>

#include "lane.h"

enum { WHO = 1, WHERE, USER };

#define DATA_MAX ((size_t)256 << 20)

static struct errand errand_of(uid_t uid, uint64_t where)
{
	return (struct errand){
		.keys = { [LANE_WHO] = { .kind = WHO, .limit = 2, .number = uid, .other = where },
			  [LANE_WHERE] = { .kind = WHERE, .limit = 3, .number = where },
			  [LANE_USER] = { .kind = USER, .limit = 2, .number = uid } },
		.unique = 100 * uid + where,
	};
}

static struct lanes *begin(void)
{
	struct lanes *lanes = NULL;

	check_int(lanes_new(DATA_MAX, &lanes), 0);
	return lanes;
}

TEST(a_lane_bounds_what_is_at_work_and_what_is_beyond_waits)
{
	struct lanes *lanes = begin();
	struct errand a = errand_of(1, 7), b = errand_of(1, 8), c = errand_of(1, 9), other = errand_of(2, 7);

	check_int(lanes_enter(lanes, &a), 0);
	check_int(lanes_enter(lanes, &b), 0);
	check_int(lanes_try(lanes, &c), LANE_PARKED);
	check_int(lanes_enter(lanes, &c), LANE_PARKED);
	check_int(lanes_enter(lanes, &other), 0);
	check(lanes_leave(lanes, &other) == NULL);
	check(lanes_leave(lanes, &a) == &c);
	check(c.next == NULL);
	check(lanes_leave(lanes, &b) == NULL);
	check(lanes_leave(lanes, &c) == NULL);
	lanes_free(lanes);
}

TEST(one_uid_cannot_fill_the_lane_of_a_place)
{
	struct lanes *lanes = begin();
	struct errand hung[2] = { errand_of(1, 7), errand_of(1, 7) }, more = errand_of(1, 7), other = errand_of(2, 7);

	check_int(lanes_enter(lanes, &hung[0]), 0);
	check_int(lanes_enter(lanes, &hung[1]), 0);
	check_int(lanes_enter(lanes, &more), LANE_PARKED);
	check_int(lanes_enter(lanes, &other), 0);
	lanes_leave(lanes, &other);
	check(lanes_take(lanes, more.unique) == &more);
	lanes_leave(lanes, &hung[0]);
	lanes_leave(lanes, &hung[1]);
	lanes_free(lanes);
}

TEST(of_those_that_wait_for_a_place_who_has_least_at_work_comes_first)
{
	struct lanes *lanes = begin();
	struct errand a[4] = { errand_of(1, 7), errand_of(1, 7), errand_of(1, 7), errand_of(1, 7) },
		      b = errand_of(2, 7);

	for (int i = 0; i < 4; i++) {
		a[i].keys[LANE_WHO].limit = a[i].keys[LANE_USER].limit = 4;
		check_int(lanes_enter(lanes, &a[i]), i < 3 ? 0 : LANE_PARKED);
	}
	check_int(lanes_enter(lanes, &b), LANE_PARKED);
	check(lanes_leave(lanes, &a[0]) == &b);
	check(b.next == NULL);
	check(lanes_leave(lanes, &b) == &a[3]);
	for (int i = 1; i < 4; i++)
		check(lanes_leave(lanes, &a[i]) == NULL);
	lanes_free(lanes);
}

TEST(leaving_two_lanes_lets_two_go_on)
{
	struct lanes *lanes = begin();
	struct errand a = errand_of(1, 7), b = errand_of(1, 8), waits_for_uid = errand_of(1, 9);
	struct errand c = errand_of(2, 7), d = errand_of(3, 7), waits_for_place = errand_of(4, 7), *next;

	check_int(lanes_enter(lanes, &a), 0);
	check_int(lanes_enter(lanes, &b), 0);
	check_int(lanes_enter(lanes, &c), 0);
	check_int(lanes_enter(lanes, &d), 0);
	check_int(lanes_enter(lanes, &waits_for_uid), LANE_PARKED);
	check_int(lanes_enter(lanes, &waits_for_place), LANE_PARKED);
	next = lanes_leave(lanes, &a);
	check(next == &waits_for_uid);
	check(next->next == &waits_for_place);
	check(next->next->next == NULL);
	check(lanes_leave(lanes, &b) == NULL);
	check(lanes_leave(lanes, &c) == NULL);
	check(lanes_leave(lanes, &d) == NULL);
	check(lanes_leave(lanes, &waits_for_uid) == NULL);
	check(lanes_leave(lanes, &waits_for_place) == NULL);
	lanes_free(lanes);
}

TEST(a_uid_with_too_much_parked_is_refused_but_not_what_must_not_be_lost)
{
	struct lanes *lanes = begin();
	struct errand a[2] = { errand_of(1, 7), errand_of(1, 7) }, large = errand_of(1, 7), more = errand_of(1, 7);
	struct errand other[3] = { errand_of(2, 8), errand_of(2, 8), errand_of(2, 8) };

	check_int(lanes_enter(lanes, &a[0]), 0);
	check_int(lanes_enter(lanes, &a[1]), 0);
	large.bytes = LANE_PARKED_BYTES;
	more.bytes = 1;
	check_int(lanes_enter(lanes, &large), LANE_PARKED);
	check_int(lanes_enter(lanes, &more), -EAGAIN);
	more.refusal = LANE_REFUSES_NEVER;
	check_int(lanes_enter(lanes, &more), LANE_PARKED);
	for (int i = 0; i < 3; i++)
		check_int(lanes_enter(lanes, &other[i]), i < 2 ? 0 : LANE_PARKED);
	check(lanes_take_any(lanes) == &large);
	check(lanes_take_any(lanes) == &more);
	check(lanes_take_any(lanes) == &other[2]);
	check(lanes_take_any(lanes) == NULL);
	lanes_leave(lanes, &a[0]);
	lanes_leave(lanes, &a[1]);
	lanes_leave(lanes, &other[0]);
	lanes_leave(lanes, &other[1]);
	lanes_free(lanes);
}

TEST(a_parked_errand_can_be_taken_back_and_no_other)
{
	struct lanes *lanes = begin();
	struct errand a[2] = { errand_of(1, 7), errand_of(1, 8) }, b = errand_of(1, 9), c = errand_of(1, 10);

	check_int(lanes_enter(lanes, &a[0]), 0);
	check_int(lanes_enter(lanes, &a[1]), 0);
	check_int(lanes_enter(lanes, &b), LANE_PARKED);
	check_int(lanes_enter(lanes, &c), LANE_PARKED);
	check(lanes_take(lanes, a[0].unique) == NULL);
	check(lanes_take(lanes, c.unique) == &c);
	check(lanes_take(lanes, c.unique) == NULL);
	check(lanes_leave(lanes, &a[0]) == &b);
	lanes_leave(lanes, &a[1]);
	lanes_leave(lanes, &b);
	lanes_free(lanes);
}

TEST(data_is_refused_where_the_memory_for_all_is_used_up_and_the_payer_has_much_of_it)
{
	struct lanes *lanes = begin();
	struct errand a[2] = { errand_of(1, 7), errand_of(1, 7) }, b[2] = { errand_of(2, 8), errand_of(2, 8) };
	struct errand much = errand_of(1, 7), more = errand_of(1, 7), short_one = errand_of(1, 7),
		      others = errand_of(2, 8);

	for (int i = 0; i < 2; i++) {
		check_int(lanes_enter(lanes, &a[i]), 0);
		check_int(lanes_enter(lanes, &b[i]), 0);
	}
	much.refusal = more.refusal = others.refusal = LANE_REFUSES_DATA;
	much.bytes = DATA_MAX;
	more.bytes = 1;
	others.bytes = LANE_PARKED_BYTES;
	check_int(lanes_enter(lanes, &much), LANE_PARKED);
	check_int(lanes_enter(lanes, &more), -EAGAIN);
	check_int(lanes_enter(lanes, &short_one), LANE_PARKED); /* what has no data is counted apart */
	check_int(lanes_enter(lanes, &others), LANE_PARKED);
	while (lanes_take_any(lanes))
		;
	check_int(lanes_enter(lanes, &more), LANE_PARKED);
	check(lanes_leave(lanes, &a[0]) == &more);
	lanes_leave(lanes, &a[1]);
	lanes_leave(lanes, &more);
	lanes_leave(lanes, &b[0]);
	lanes_leave(lanes, &b[1]);
	lanes_free(lanes);
}

TEST(what_a_lane_has_at_work_is_counted_however_many_others_come_and_go)
{
	struct lanes *lanes = begin();
	struct errand a[2] = { errand_of(1, 7), errand_of(1, 7) }, waits = errand_of(1, 7);

	check_int(lanes_enter(lanes, &a[0]), 0);
	check_int(lanes_enter(lanes, &a[1]), 0);
	for (uid_t uid = 2; uid < 1000; uid++) {
		struct errand passer = errand_of(uid, 7);

		check_int(lanes_try(lanes, &passer), 0);
		check(lanes_leave(lanes, &passer) == NULL);
	}
	check_int(lanes_enter(lanes, &waits), LANE_PARKED);
	check(lanes_leave(lanes, &a[0]) == &waits);
	lanes_leave(lanes, &waits);
	lanes_leave(lanes, &a[1]);
	lanes_free(lanes);
}
