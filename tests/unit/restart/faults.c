/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What marks a request: a fault of the thread that works on it. Each is played in a child, as a
 * daemon would end; the handover is shared with it.
 */
#include "faults.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define UNIQUE 1234

static void go_down(volatile unsigned *depth)
{
	volatile char room[65536];

	for (size_t i = 0; i < sizeof(room); i += 4096)
		room[i] = 1;
	if (++*depth < UINT_MAX)
		go_down(depth);
	room[0] = 2;
}

__attribute__((unused)) static void overflow_the_stack(void)
{
	volatile unsigned depth = 0;

	go_down(&depth);
}

static void *work_on(void *run)
{
	faults_begin(UNIQUE, 16);
	((void (*)(void))(uintptr_t)run)();
	faults_end();
	return NULL;
}

static void in_thread(void (*run)(void))
{
	pthread_t thread;

	pthread_create(&thread, NULL, work_on, (void *)(uintptr_t)run);
	pthread_join(thread, NULL);
}

/* The signal by which a daemon ends whose thread does that at a request. */
static int end_of(struct handover *handover, void (*run)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		const struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		faults_watch(handover);
		in_thread(run);
		_exit(0);
	}
	check_int(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void trap(void)
{
	__builtin_trap();
}

static void is_killed(void)
{
	kill(getpid(), SIGKILL);
}

__attribute__((unused)) static void is_sent_segv(void)
{
	raise(SIGSEGV);
}

static void is_sent_abort(void)
{
	pid_t child = fork();

	if (child == 0) {
		kill(getppid(), SIGABRT);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	pause();
}

static void goes_well(void)
{
}

TEST(faults_of_the_thread_are_counted_and_kill_as_ever)
{
	struct handover *handover = NULL;
	int signal;

	check_int(handover_new(&handover), 0);
	signal = end_of(handover, trap);
	check(signal == SIGILL || signal == SIGTRAP);
	check_int(faults_count(handover, UNIQUE), 1);
	check_int(end_of(handover, abort), SIGABRT);
	check_int(faults_count(handover, UNIQUE), 2);
	check_int(faults_count(handover, UNIQUE + 2), 0);
	faults_forget(handover, UNIQUE);
	check_int(faults_count(handover, UNIQUE), 0);
	handover_free(handover);
}

/* A sanitizer ends the process itself, with a report. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(a_stack_that_overflows_is_a_fault)
{
	struct handover *handover = NULL;

	check_int(handover_new(&handover), 0);
	check_int(end_of(handover, overflow_the_stack), SIGSEGV);
	check_int(faults_count(handover, UNIQUE), 1);
	handover_free(handover);
}
#endif

TEST(what_was_sent_is_not_counted)
{
	struct handover *handover = NULL;

	check_int(handover_new(&handover), 0);
	check_int(end_of(handover, is_killed), SIGKILL);
	check_int(end_of(handover, is_sent_abort), SIGABRT);
	check_int(end_of(handover, goes_well), 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	check_int(end_of(handover, is_sent_segv), SIGSEGV);
#endif
	check_int(faults_count(handover, UNIQUE), 0);
	handover_free(handover);
}

TEST(of_more_requests_than_there_is_room_for_the_latest_are_known)
{
	struct handover *handover = NULL;

	check_int(handover_new(&handover), 0);
	for (unsigned i = 0; i < HANDOVER_FAULTS_MAX; i++) {
		handover_mount(handover)->faults[i].unique = 10000 + i;
		handover_mount(handover)->faults[i].count = 1;
		handover_mount(handover)->faults[i].restarts = 100 - i;
	}
	handover_mount(handover)->restarts = 200;
	check_int(end_of(handover, abort), SIGABRT);
	check_int(faults_count(handover, UNIQUE), 1);
	check_int(faults_count(handover, 10000), 1);
	check_int(faults_count(handover, 10000 + HANDOVER_FAULTS_MAX - 1), 0);
	handover_free(handover);
}
