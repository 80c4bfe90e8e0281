/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shares: what one owner may have beside the others. */
#include "share.h"

#include <errno.h>

#include "test.h"

#define STAKES 64

/* How many more an owner gets, one at a time; his stakes are the next of `stakes`. */
static unsigned take_all(struct shares *shares, uint64_t owner, struct stake **stakes)
{
	unsigned count = 0;

	while (shares_take(shares, owner, 1, *stakes) == 0) {
		(*stakes)++;
		count++;
	}
	return count;
}

TEST(each_further_owner_gets_half_of_what_is_left)
{
	struct stake stakes[STAKES] = { { .share = NULL } }, *next = stakes;
	struct shares shares;

	shares_init(&shares, 32, 4);
	check_int(take_all(&shares, 1, &next), 16);
	check_int(take_all(&shares, 2, &next), 8);
	check_int(take_all(&shares, 3, &next), 4);
	check_int(take_all(&shares, 0, &next), 4);
	check_int((long)shares_sum(&shares), 32);
	shares_give(&shares, &stakes[0]);
	check_int((long)shares_of(&shares, 1), 15);
	shares_destroy(&shares);
}

TEST(what_is_kept_goes_to_those_who_have_few)
{
	struct stake stakes[STAKES] = { { .share = NULL } }, *next = stakes;
	struct shares shares;

	shares_init(&shares, 8, 0);
	shares_keep(&shares, 8, 2);
	check_int(take_all(&shares, 1, &next), 4);
	for (uint64_t owner = 2; owner < 8; owner++)
		check_int(take_all(&shares, owner, &next), 2);
	check_int(take_all(&shares, 8, &next), 0);
	shares_destroy(&shares);
}

TEST(those_who_have_too_many_are_found_one_after_the_other)
{
	struct stake stakes[STAKES] = { { .share = NULL } }, *next = stakes;
	uint64_t owner = 0;
	struct shares shares;

	shares_init(&shares, 32, 4);
	take_all(&shares, 70, &next);
	take_all(&shares, 5, &next);
	shares_take(&shares, 6, 1, next);
	check(shares_next_near(&shares, 0, &owner) && owner == 5);
	check(shares_next_near(&shares, owner + 1, &owner) && owner == 70);
	check(!shares_next_near(&shares, owner + 1, &owner));
	shares_destroy(&shares);
}

TEST(one_waits_at_a_time_and_not_again_in_vain)
{
	struct stake stakes[STAKES] = { { .share = NULL } }, *next = stakes;
	struct shares shares;

	shares_init(&shares, 8, 0);
	take_all(&shares, 1, &next);
	check(shares_begin_wait(&shares, 1));
	check(!shares_begin_wait(&shares, 1));
	shares_end_wait(&shares, 1, true);
	check(!shares_begin_wait(&shares, 1));
	shares_give(&shares, &stakes[0]);
	check(shares_begin_wait(&shares, 1));
	shares_destroy(&shares);
}
