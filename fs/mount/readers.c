/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leader and followers. READERS threads wait in read(2), each with a buffer of its own. One that
 * has a request answers it, however long that takes; if it was the last that read, it calls another
 * one first. A thread that has answered goes back to reading, unless enough others read: then it
 * sits on the bench, where it is called from, and ends after a while.
 *
 *   waiting   threads that read, or were called to read and are about to. Never 0 for long: the
 *             thread that makes it 0 calls another
 *   called    of those, the ones that are still on the bench
 *   todo      errands that threads on the bench are to take, instead of reading
 *   benched   threads on the bench, and those that are being started
 *
 * How many may be at work is bounded by the lanes (delivery.h). A request whose lanes are full is
 * left there by its thread, which reads on; a thread whose request is done takes over what may go
 * on then.
 *
 * Threads are ended by cancelling, and can be cancelled only while they wait for a request. One
 * that is cancelled in the moment in which read(2) succeeds leaves a request in its buffer.
 */
#include "readers.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "buffers.h"
#include "delivery.h"
#include "lock.h"
#include "log.h"
#include "wire.h"

#define READERS 16
#define THREADS_MAX 4096 /* more than the lanes let work at a time, on several filesystems that hang */
#define STACK (512 * 1024)
#define BENCH_S 3
#define REQUEST_ENDS_MS 5000
#define COMMAND_ENDS_MS 30000
#define LOOK_AGAIN_MS 20
#define NO_MEMORY_MS 20
#define COMPLAINT_MS 60000

struct reader {
	struct readers *readers;
	pthread_t thread;
	struct courier courier;
	struct reader *next, **place; /* in readers->first; `place` is what points here */
};

struct readers {
	struct delivery *delivery;
	struct buffers *buffers;
	struct fuse_session *session;
	int fd;
	int ended_fd;
	pthread_attr_t attributes; /* of each thread */
	atomic_uint waiting;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct reader *first;
	unsigned count, benched, called, todos;
	struct errand *todo; /* by `next` */
	uint64_t complained; /* when the log was told that a thread is missing: monotonic ms, or 0 */
	atomic_bool stopping;
};

/* ---- the bench */

static void *serve(void *argument);

static struct wire_request *request_in(char *buffer)
{
	return (struct wire_request *)(void *)buffer;
}

static int start_thread_locked(struct readers *readers)
{
	struct reader *reader = readers->count < THREADS_MAX ? calloc(1, sizeof(*reader)) : NULL;
	int r;

	if (!reader)
		return -EAGAIN;
	reader->readers = readers;
	reader->courier.delivery = readers->delivery;
	r = -pthread_create(&reader->thread, &readers->attributes, serve, reader);
	if (r < 0) {
		free(reader);
		return r;
	}
	reader->next = readers->first;
	reader->place = &readers->first;
	if (reader->next)
		reader->next->place = &reader->next;
	readers->first = reader;
	readers->count++;
	readers->benched++;
	return 0;
}

/* Once a minute. */
static bool complains_locked(struct readers *readers)
{
	uint64_t now = monotonic_ms();
	bool complains = !readers->complained || now >= readers->complained + COMPLAINT_MS;

	if (complains)
		readers->complained = now;
	return complains;
}

/* Have one more thread read, or work on the errand. False when there is none. */
static bool call_another(struct readers *readers, struct errand *errand)
{
	bool complains = false;
	int r = 0;

	LOCKED (&readers->lock) {
		if (readers->benched <= readers->called + readers->todos)
			r = start_thread_locked(readers);
		if (r == 0 && errand) {
			errand->next = readers->todo;
			readers->todo = errand;
			readers->todos++;
		} else if (r == 0) {
			readers->called++;
			atomic_fetch_add(&readers->waiting, 1);
		}
		complains = r < 0 && complains_locked(readers);
		pthread_cond_signal(&readers->changed);
	}
	if (complains)
		log_warning("no thread can be started (%s): requests wait until others have been answered",
			    error_text(r));
	return r == 0;
}

static struct errand *take_todo_locked(struct readers *readers)
{
	struct errand *errand = readers->todo;

	if (errand) {
		readers->todo = errand->next;
		readers->todos--;
		errand->next = NULL;
	}
	return errand;
}

/*
 * Wait on the bench. True when the thread is called, to work on *ret_errand or, where that is NULL,
 * to read; else it is to end.
 */
static bool wait_for_call(struct readers *readers, struct errand **ret_errand)
{
	struct timespec until;
	bool called = false;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += BENCH_S;
	LOCKED (&readers->lock) {
		while (!readers->called && !readers->todo && !readers->stopping && r == 0)
			r = pthread_cond_timedwait(&readers->changed, &readers->lock, &until);
		readers->benched--;
		*ret_errand = take_todo_locked(readers);
		called = readers->called && !readers->stopping && !*ret_errand;
		if (called)
			readers->called--;
	}
	return called || *ret_errand;
}

static void sit_down(struct reader *reader)
{
	buffer_put(reader->readers->buffers, steal_pointer(&reader->courier.buffer));
	LOCKED (&reader->readers->lock)
		reader->readers->benched++;
}

/* Whether the thread is to read again. Two that ask at once may both stay. */
static bool stays(struct readers *readers)
{
	if (atomic_load(&readers->stopping) || atomic_load(&readers->waiting) >= READERS)
		return false;
	atomic_fetch_add(&readers->waiting, 1);
	return true;
}

/* ---- reading and answering */

/*
 * The length of a request, 0 when there will be no more, or a negative errno. ENOENT: the request
 * was aborted while it was being read.
 */
static ssize_t receive(struct reader *reader)
{
	ssize_t n;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	n = read(reader->readers->fd, reader->courier.buffer, BUFFER_SIZE);
	if (n < 0)
		n = errno == ENODEV ? 0 : -errno;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return n;
}

static bool has_buffer(struct reader *reader)
{
	if (!reader->courier.buffer)
		reader->courier.buffer = buffer_get(reader->readers->buffers);
	if (reader->courier.buffer)
		request_in(reader->courier.buffer)->length = 0;
	return reader->courier.buffer != NULL;
}

/* Read no more, unless the thread is the last that does. */
static bool leaves_it_to_others(struct readers *readers)
{
	unsigned waiting = atomic_load(&readers->waiting);

	while (waiting > 1)
		if (atomic_compare_exchange_weak(&readers->waiting, &waiting, waiting - 1))
			return true;
	return atomic_load(&readers->stopping);
}

/* Where there is no memory for a buffer, who has one reads; else it is waited for. */
static bool is_ready(struct reader *reader)
{
	bool is = has_buffer(reader);

	while (!is && !leaves_it_to_others(reader->readers)) {
		poll(NULL, 0, NO_MEMORY_MS);
		is = has_buffer(reader);
	}
	return is;
}

/* Read one request and answer it. False when there will be no more. */
static bool read_and_answer(struct reader *reader)
{
	struct readers *readers = reader->readers;
	ssize_t n = receive(reader);

	if (atomic_fetch_sub(&readers->waiting, 1) == 1)
		call_another(readers, NULL);
	if (n > 0)
		delivery_answer(&reader->courier, (size_t)n);
	if (n > 0 || n == -EINTR || n == -EAGAIN || n == -ENOENT)
		return !fuse_session_exited(readers->session);
	if (n < 0)
		log_error("no more requests can be read: %s", error_text((int)n));
	return false;
}

static void say_that_it_has_ended(struct readers *readers)
{
	uint64_t one = 1;

	fuse_session_exit(readers->session);
	if (write(readers->ended_fd, &one, sizeof(one)) < 0)
		log_error("cannot say that the connection has ended: %s", error_text(-errno));
}

/* A thread that ends before it is told to; one that is told to is joined by readers_stop(). */
static void retire(struct reader *reader)
{
	struct readers *readers = reader->readers;
	bool is_joined = false;

	buffer_put(readers->buffers, steal_pointer(&reader->courier.buffer));
	buffers_trim(readers->buffers);
	/* Once it is out of the list, nobody waits for it, and all but itself may be freed. */
	LOCKED (&readers->lock) {
		is_joined = readers->stopping;
		if (!is_joined) {
			*reader->place = reader->next;
			if (reader->next)
				reader->next->place = reader->place;
			readers->count--;
		}
	}
	if (is_joined)
		return;
	pthread_detach(pthread_self());
	free(reader);
}

/*
 * Without ASan: a cancelled thread does not return from its functions, so their marks would stay on
 * the stack, and ASan would take them for errors.
 */
__attribute__((no_sanitize_address)) static void *serve(void *argument)
{
	struct reader *reader = argument;
	struct readers *readers = reader->readers;
	struct errand *errand;
	bool goes_on = true;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	while (goes_on && wait_for_call(readers, &errand)) {
		delivery_work(&reader->courier, errand);
		if (errand && !stays(readers)) {
			sit_down(reader);
			continue;
		}
		do {
			if (!is_ready(reader))
				break;
			goes_on = read_and_answer(reader);
		} while (goes_on && stays(readers));
		sit_down(reader);
	}
	if (!goes_on)
		say_that_it_has_ended(readers);
	retire(reader);
	return NULL;
}

/* ---- start and end */

int readers_start(struct readers *readers, struct fuse_session *session, int fuse_fd, struct sentence *error)
{
	int r = 0;

	readers->session = session;
	readers->fd = fuse_fd;
	delivery_connect(readers->delivery, session, fuse_fd);
	LOCKED (&readers->lock)
		while (r == 0 && readers->count < READERS)
			r = start_thread_locked(readers);
	return r < 0 ? report(error, r, "cannot start a thread: %s", error_text(r)) : 0;
}

void readers_go(struct readers *readers)
{
	for (unsigned i = 0; i < READERS; i++)
		call_another(readers, NULL);
}

int readers_ended_fd(const struct readers *readers)
{
	return readers->ended_fd;
}

/* Until when the thread is waited for. */
static uint64_t patience_ends(const struct reader *reader, uint64_t began, bool resent)
{
	if (!atomic_load(&reader->courier.at_command))
		return began + REQUEST_ENDS_MS;
	return resent ? began : began + COMMAND_ENDS_MS;
}

/* A request that nobody answered goes to a thread of its own, for it may hang. */
static bool has_rest(struct reader *reader)
{
	return reader->courier.buffer && request_in(reader->courier.buffer)->length >= sizeof(struct wire_request);
}

static void *answer_rest(void *argument)
{
	struct reader *reader = argument;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	delivery_answer(&reader->courier, request_in(reader->courier.buffer)->length);
	return NULL;
}

/* The thread has ended: what remains of it goes, and it itself, unless a rest was left. */
static void take_leave_locked(struct reader *reader, bool resent)
{
	struct readers *readers = reader->readers;

	if (!resent && has_rest(reader) && pthread_create(&reader->thread, NULL, answer_rest, reader) == 0)
		return;
	*reader->place = reader->next;
	if (reader->next)
		reader->next->place = reader->place;
	buffer_put(readers->buffers, reader->courier.buffer);
	free(reader);
}

/* Whether a thread is left that is to be waited for. */
static bool join_ended_locked(struct readers *readers, uint64_t began, bool resent)
{
	struct reader *next;
	bool waits = false;

	for (struct reader *reader = readers->first; reader; reader = next) {
		next = reader->next;
		if (pthread_tryjoin_np(reader->thread, NULL) == 0)
			take_leave_locked(reader, resent);
		else
			waits = waits || monotonic_ms() < patience_ends(reader, began, resent);
	}
	return waits;
}

static bool wait_for_ends(struct readers *readers, bool resent)
{
	uint64_t began = monotonic_ms();
	bool waits = true, all_have_ended = false;

	while (waits) {
		LOCKED (&readers->lock) {
			waits = join_ended_locked(readers, began, resent);
			all_have_ended = !readers->first;
		}
		if (waits)
			poll(NULL, 0, LOOK_AGAIN_MS);
	}
	return all_have_ended;
}

/* Their callers would wait for as long as the filesystem that the threads wait for hangs. */
static void give_up_locked(struct readers *readers)
{
	for (struct reader *reader = readers->first; reader; reader = reader->next)
		delivery_give_up(readers->delivery, &reader->courier);
	delivery_give_up_parked(readers->delivery);
}

bool readers_stop(struct readers *readers, bool resent)
{
	LOCKED (&readers->lock) {
		atomic_store(&readers->stopping, true);
		pthread_cond_broadcast(&readers->changed);
		for (struct reader *reader = readers->first; reader; reader = reader->next)
			pthread_cancel(reader->thread);
	}
	if (wait_for_ends(readers, resent))
		return true;
	if (!resent)
		LOCKED (&readers->lock)
			give_up_locked(readers);
	return false;
}

static bool call_for(void *readers, struct errand *errand)
{
	return call_another(readers, errand);
}

static int make_delivery(struct readers *readers, struct ops *ops, struct sentence *error)
{
	const struct delivery_needs needs = {
		.ops = ops, .buffers = readers->buffers, .call = call_for, .context = readers
	};
	int r = delivery_new(&needs, &readers->delivery);

	return r < 0 ? report(error, r, "out of memory") : 0;
}

int readers_new(struct ops *ops, struct readers **ret_readers, struct sentence *error)
{
	struct readers *readers = calloc(1, sizeof(*readers));
	int r;

	if (!readers)
		return report(error, -ENOMEM, "out of memory");
	pthread_mutex_init(&readers->lock, NULL);
	cond_init_monotonic(&readers->changed);
	pthread_attr_init(&readers->attributes);
	pthread_attr_setstacksize(&readers->attributes, STACK);
	readers->fd = -1;
	readers->ended_fd = eventfd(0, EFD_CLOEXEC);
	r = readers->ended_fd < 0 ? report(error, -errno, "cannot make an eventfd: %m")
				  : buffers_new(READERS, &readers->buffers, error);
	if (r == 0)
		r = make_delivery(readers, ops, error);
	if (r < 0)
		readers_free(readers);
	else
		*ret_readers = readers;
	return r;
}

void readers_free(struct readers *readers)
{
	if (!readers)
		return;
	delivery_free(readers->delivery);
	buffers_free(readers->buffers);
	close_fdp(&readers->ended_fd);
	pthread_attr_destroy(&readers->attributes);
	pthread_cond_destroy(&readers->changed);
	pthread_mutex_destroy(&readers->lock);
	free(readers);
}
