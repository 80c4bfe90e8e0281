/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LOCKED holds its mutex for the block, and for no longer, however the block is left: a mutex that
 * stays held would stop every thread that comes next.
 */
#include "test.h"

#include "lock.h"

/* Of the kind that says so when its own thread takes it a second time. */
static pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_mutex_t other = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;

static bool is_held(pthread_mutex_t *some)
{
	int r = pthread_mutex_trylock(some);

	if (r == 0)
		pthread_mutex_unlock(some);
	return r == EBUSY;
}

TEST(the_mutex_is_held_in_the_block_and_released_at_its_end)
{
	int turns = 0;

	LOCKED (&mutex) {
		turns++;
		check(is_held(&mutex));
	}
	check(!is_held(&mutex));
	check_int(turns, 1);
}

TEST(a_block_of_one_statement_is_a_block)
{
	bool held = false;

	LOCKED (&mutex)
		held = is_held(&mutex);
	check(held && !is_held(&mutex));
}

static int value_read_under_the_mutex(const int *value)
{
	LOCKED (&mutex) {
		if (is_held(&mutex))
			return *value;
	}
	return -1;
}

TEST(return_releases_it)
{
	int value = 7;

	check_int(value_read_under_the_mutex(&value), 7);
	check(!is_held(&mutex));
}

TEST(break_and_continue_release_it_and_leave_the_block_alone)
{
	int turns = 0, after = 0;

	for (int i = 0; i < 4; i++) {
		LOCKED (&mutex) {
			turns++;
			if (i % 2)
				break;
			else
				continue;
		}
		check(!is_held(&mutex));
		after++;
	}
	check_int(turns, 4);
	check_int(after, 4);
}

static bool both_held_on_return(void)
{
	LOCKED (&mutex) {
		LOCKED (&other)
			return is_held(&mutex) && is_held(&other);
	}
	return false;
}

TEST(one_block_in_another_releases_each_at_its_own_end)
{
	LOCKED (&mutex) {
		LOCKED (&other)
			check(is_held(&mutex) && is_held(&other));
		check(is_held(&mutex) && !is_held(&other));
	}
	check(!is_held(&mutex));
	check(both_held_on_return());
	check(!is_held(&mutex) && !is_held(&other));
}

static void *take_it(void *argument)
{
	LOCKED (&mutex)
		*(bool *)argument = true;
	return NULL;
}

TEST(another_thread_gets_it_afterwards)
{
	pthread_t thread;
	bool taken = false;

	LOCKED (&mutex)
		check_int(pthread_create(&thread, NULL, take_it, &taken), 0);
	check_int(pthread_join(thread, NULL), 0);
	check(taken);
}
