/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A handler of signals is given nothing but the signal, so what it needs is where it finds it: the
 * table in a variable of the file, the request in one of the thread. It stores a few numbers, in
 * memory that is there (the header of the handover is allocated as a whole, and touched once), and
 * gives the signal back to whoever had it before, the kernel or a sanitizer: the instruction is
 * executed again and faults again, so that the core and the report show the place itself.
 *
 * The handler has a stack of its own in each thread, since the thread's may be what has overflowed.
 * It lies in the thread's own memory and ends with it. The sanitizers have such stacks, too, and
 * would unmap this one.
 */
#include "faults.h"

#include <signal.h>
#include <unistd.h>

#include "util.h"

#define STACK_SIZE 32768 /* the registers that the kernel saves there have up to 12 KiB */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

static const int watched[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

static struct handover_header *header;
static struct sigaction before[ARRAY_SIZE(watched)];

static __thread struct {
	uint64_t unique; /* of the request that the thread works on, or 0 */
	uint32_t opcode;
	bool has_stack;
	char stack[STACK_SIZE] __attribute__((aligned(16)));
} work;

static struct handover_fault *find(struct handover_header *mount, uint64_t unique)
{
	for (size_t i = 0; i < HANDOVER_FAULTS_MAX; i++)
		if (__atomic_load_n(&mount->faults[i].unique, __ATOMIC_ACQUIRE) == unique)
			return &mount->faults[i];
	return NULL;
}

/* ---- in the handler: no call but system calls */

static struct handover_fault *take_oldest(void)
{
	struct handover_fault *oldest = &header->faults[0];

	for (size_t i = 1; i < HANDOVER_FAULTS_MAX; i++)
		if (header->faults[i].restarts < oldest->restarts)
			oldest = &header->faults[i];
	return oldest;
}

/* Of two threads that fault at a time, one may stay unmarked until its next fault. */
static void mark(void)
{
	struct handover_fault *fault = find(header, work.unique);

	if (!fault) {
		fault = find(header, 0);
		if (!fault)
			fault = take_oldest();
		fault->count = 0;
		fault->opcode = work.opcode;
		__atomic_store_n(&fault->unique, work.unique, __ATOMIC_RELEASE);
	}
	fault->count++;
	fault->restarts = header->restarts;
}

/* Whether the thread did it itself. abort(3) sends its signal, but to its own process. */
static bool is_own(const siginfo_t *info)
{
	return info->si_code > 0 || (info->si_signo == SIGABRT && info->si_pid == getpid());
}

static void handle(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (work.unique && is_own(info))
		mark();
	for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
		if (watched[i] == number)
			sigaction(number, &before[i], NULL);
	if (info->si_code <= 0)
		raise(number); /* nothing would send it again; it waits until this function returns */
}

/* ---- */

void faults_watch(struct handover *handover)
{
	struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigemptyset(&action.sa_mask);
	header = handover_mount(handover);
	for (size_t i = 0; i < HANDOVER_FAULTS_MAX; i++)
		__atomic_fetch_add(&header->faults[i].unused, 0, __ATOMIC_RELAXED);
	for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
		sigaction(watched[i], &action, &before[i]);
}

static void make_stack(void)
{
	const stack_t stack = { .ss_sp = work.stack, .ss_size = sizeof(work.stack) };

	work.has_stack = true;
	if (!HAS_SANITIZER)
		sigaltstack(&stack, NULL);
}

void faults_begin(uint64_t unique, uint32_t opcode)
{
	if (!work.has_stack)
		make_stack();
	work.opcode = opcode;
	work.unique = unique;
}

void faults_end(void)
{
	work.unique = 0;
}

unsigned faults_count(struct handover *handover, uint64_t unique)
{
	const struct handover_fault *fault = unique ? find(handover_mount(handover), unique) : NULL;

	return fault ? fault->count : 0;
}

void faults_forget(struct handover *handover, uint64_t unique)
{
	struct handover_fault *fault = unique ? find(handover_mount(handover), unique) : NULL;

	if (fault)
		__atomic_store_n(&fault->unique, 0, __ATOMIC_RELEASE);
}
