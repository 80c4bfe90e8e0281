/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where data is in a message, or goes into its buffer, it is worked on in the buffer. Any other
 * message is copied out first, into a parcel, and the buffer serves the next reader: a command may
 * run for hours. What has to wait in its lanes is a parcel, too.
 *
 * A lookup may turn out to lead into another filesystem than its directory's. Then it is done again
 * in that filesystem's lanes, before anything there was waited for.
 */
#include "delivery.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "errand.h"
#include "faults.h"
#include "lock.h"
#include "log.h"
#include "wire.h"

#define COMPLAINTS 16 /* uids of whom it is remembered that the log has them already */
#define COMPLAINT_MS 60000
#define NO_MEMORY_MS 20
#define NO_MEMORY_TRIES 100
#define DATA_SHARE 16 /* of the host's memory: a sixteenth may be data that is parked */

/* A message outside of a buffer, which waits or is worked on. */
struct parcel {
	struct errand errand;
	enum errand_kind kind;
	struct message message;
	char bytes[] __attribute__((aligned(8)));
};

struct complaint {
	uid_t uid;
	uint64_t at; /* monotonic ms; 0: none */
};

struct delivery {
	struct ops *ops;
	struct tree *tree;
	struct buffers *buffers;
	struct lanes *lanes;
	struct fuse_session *session;
	int fd;
	bool (*call)(void *context, struct errand *errand);
	void *context;

	pthread_mutex_t lock; /* guards all below */
	struct complaint complaints[COMPLAINTS];
	unsigned last_complaint;
};

static struct wire_request *request_in(char *buffer)
{
	return (struct wire_request *)(void *)buffer;
}

static void reply_error(const struct delivery *delivery, uint64_t unique, int error)
{
	struct wire_reply reply = { .length = sizeof(reply), .error = error, .unique = unique };

	if (write(delivery->fd, &reply, sizeof(reply)) < 0)
		log_debug("fuse", "request %llu: nobody waits for its answer", (unsigned long long)unique);
}

/* A request that is not done. What an earlier daemon opened for it is closed. */
static void drop(struct delivery *delivery, uint64_t unique, int error)
{
	const struct replay replay = { .unique = unique & ~WIRE_RESENT, .again = unique & WIRE_RESENT };

	tree_take_back(delivery->tree, &replay);
	reply_error(delivery, unique, error);
}

static bool complains_of_locked(struct delivery *delivery, uid_t uid)
{
	uint64_t now = monotonic_ms();

	for (size_t i = 0; i < COMPLAINTS; i++) {
		const struct complaint *complaint = &delivery->complaints[i];

		if (complaint->at && complaint->uid == uid && now < complaint->at + COMPLAINT_MS)
			return false;
	}
	delivery->complaints[delivery->last_complaint++ % COMPLAINTS] = (struct complaint){ uid, now };
	return true;
}

static void refuse(struct delivery *delivery, const struct wire_request *request, uint64_t unique)
{
	bool complains = false;

	LOCKED (&delivery->lock)
		complains = complains_of_locked(delivery, request->uid);
	if (complains)
		log_warning(
			"uid %u, pid %u: too many requests wait already; more are refused until some have been answered",
			request->uid, request->pid);
	drop(delivery, unique, errand_refusal(request));
}

/*
 * The reply to a READ is put together behind the message (ops_process()). Buffers come free as
 * others are answered.
 */
static bool put_in_buffer(struct courier *courier, struct parcel *parcel)
{
	for (int i = 0; !courier->buffer && i < NO_MEMORY_TRIES; i++) {
		courier->buffer = buffer_get(courier->delivery->buffers);
		if (!courier->buffer)
			poll(NULL, 0, NO_MEMORY_MS);
	}
	if (courier->buffer) {
		memcpy(courier->buffer, parcel->bytes, parcel->message.length);
		parcel->message.bytes = courier->buffer;
	}
	return courier->buffer != NULL;
}

/* Answer a message whose errand has entered its lanes. False when it has to go elsewhere. */
static bool process(struct courier *courier, struct message *message, enum errand_kind kind)
{
	struct delivery *delivery = courier->delivery;
	bool done;

	message->is_command = kind == ERRAND_COMMAND;
	atomic_store(&courier->at_command, message->is_command);
	atomic_store(&courier->unique, ((const struct wire_request *)message->bytes)->unique);
	done = ops_process(delivery->ops, delivery->session, message);
	atomic_store(&courier->unique, 0);
	if (courier->buffer)
		request_in(courier->buffer)->length = 0;
	return done;
}

/* Enter the parcel into its lanes. Consumed, unless it is to be worked on now. */
static bool enter(struct delivery *delivery, struct parcel *parcel)
{
	uint64_t unique = parcel->errand.unique;
	int r = lanes_enter(delivery->lanes, &parcel->errand);

	if (r == LANE_PARKED) {
		log_debug("fuse", "request %llu is parked", (unsigned long long)unique);
	} else if (r < 0) {
		refuse(delivery, (const struct wire_request *)(void *)parcel->bytes, unique);
		free(parcel);
	}
	return r == 0;
}

/* Work on the parcel, which is consumed. Returns what may go on now that it has left its lanes. */
static struct errand *deliver(struct courier *courier, struct parcel *parcel)
{
	struct delivery *delivery = courier->delivery;
	struct message *message = &parcel->message;
	const struct wire_request *request = (const struct wire_request *)(void *)parcel->bytes;
	struct errand *errands;
	bool done = true;

	if (request->opcode == WIRE_READ && !put_in_buffer(courier, parcel))
		reply_error(delivery, parcel->errand.unique, -ENOMEM);
	else
		done = process(courier, message, parcel->kind);
	errands = lanes_leave(delivery->lanes, &parcel->errand);
	if (done) {
		free(parcel);
		return errands;
	}
	message->crosses = true;
	errand_goes_elsewhere(&parcel->errand, request, message->elsewhere);
	if (!enter(delivery, parcel))
		return errands;
	parcel->errand.next = errands;
	return &parcel->errand;
}

/* Deliver the first here and the others by threads of their own, as far as there are some. */
void delivery_work(struct courier *courier, struct errand *errands)
{
	while (errands) {
		struct parcel *parcel = (struct parcel *)errands; /* the errand is its first member */
		struct errand *rest = errands->next, **end = &rest;

		parcel->errand.next = NULL;
		while (rest) {
			struct errand *next = rest->next;

			if (!courier->delivery->call(courier->delivery->context, rest))
				break;
			rest = next;
		}
		while (*end)
			end = &(*end)->next;
		*end = deliver(courier, parcel);
		errands = rest;
	}
}

/* NULL when there is no memory for it. Else the buffer serves the next reader. */
static struct parcel *parcel_new(struct courier *courier, size_t length)
{
	struct parcel *parcel = malloc(sizeof(*parcel) + length);

	if (!parcel)
		return NULL;
	memcpy(parcel->bytes, courier->buffer, length);
	parcel->message = (struct message){ .bytes = parcel->bytes, .length = length };
	buffer_put(courier->delivery->buffers, steal_pointer(&courier->buffer));
	return parcel;
}

/* Data is worked on in the buffer, unless it has to wait. */
static bool answer_in_buffer(struct courier *courier, size_t length, struct errand *errand)
{
	struct message message = { .bytes = courier->buffer, .length = length };

	if (lanes_try(courier->delivery->lanes, errand) != 0)
		return false;
	process(courier, &message, ERRAND_DATA);
	delivery_work(courier, lanes_leave(courier->delivery->lanes, errand));
	return true;
}

/* A parked request whose caller no longer wants it. */
static bool interrupt_parked(struct delivery *delivery, const struct wire_request *request)
{
	const struct wire_interrupt *interrupt = (const struct wire_interrupt *)request;
	struct errand *errand = NULL;

	if (request->opcode == WIRE_INTERRUPT)
		errand = lanes_take(delivery->lanes, interrupt->unique);
	if (errand)
		drop(delivery, interrupt->unique, -EINTR);
	free(errand);
	return errand != NULL;
}

/* What the tree is asked for it may be what the request crashes the daemon by. */
static enum errand_kind choose_lanes(const struct delivery *delivery, const struct wire_request *request,
				     struct errand *ret_errand)
{
	enum errand_kind kind;

	faults_begin(request->unique & ~WIRE_RESENT, request->opcode);
	kind = errand_of(delivery->tree, request, ret_errand);
	faults_end();
	return kind;
}

void delivery_answer(struct courier *courier, size_t length)
{
	struct delivery *delivery = courier->delivery;
	const struct message message = { .bytes = courier->buffer, .length = length };
	const struct wire_request *request = request_in(courier->buffer);
	struct parcel *parcel = NULL;
	struct errand errand;
	enum errand_kind kind;

	if (ops_gives_up(delivery->ops, delivery->session, &message) || interrupt_parked(delivery, request))
		return;
	kind = choose_lanes(delivery, request, &errand);
	/* Without memory for a parcel, it stays in the buffer until its lanes have room. */
	for (int i = 0; i < NO_MEMORY_TRIES && !parcel; i++) {
		if (i)
			poll(NULL, 0, NO_MEMORY_MS);
		if (kind == ERRAND_DATA && answer_in_buffer(courier, length, &errand))
			return;
		parcel = parcel_new(courier, length);
	}
	if (!parcel) {
		drop(delivery, errand.unique, -ENOMEM);
		return;
	}
	parcel->errand = errand;
	parcel->kind = kind;
	if (enter(delivery, parcel))
		delivery_work(courier, &parcel->errand);
}

void delivery_give_up(struct delivery *delivery, struct courier *courier)
{
	uint64_t unique = atomic_load(&courier->unique);

	if (unique)
		reply_error(delivery, unique, -EIO);
}

void delivery_give_up_parked(struct delivery *delivery)
{
	struct errand *errand;

	while ((errand = lanes_take_any(delivery->lanes))) {
		reply_error(delivery, errand->unique, -EIO);
		free(errand);
	}
}

void delivery_connect(struct delivery *delivery, struct fuse_session *session, int fuse_fd)
{
	delivery->session = session;
	delivery->fd = fuse_fd;
}

static size_t data_max(void)
{
	return (size_t)sysconf(_SC_PHYS_PAGES) / DATA_SHARE * (size_t)sysconf(_SC_PAGESIZE);
}

int delivery_new(const struct delivery_needs *needs, struct delivery **ret_delivery)
{
	struct delivery *delivery = calloc(1, sizeof(*delivery));
	int r;

	if (!delivery)
		return -ENOMEM;
	pthread_mutex_init(&delivery->lock, NULL);
	delivery->ops = needs->ops;
	delivery->tree = ops_tree(needs->ops);
	delivery->buffers = needs->buffers;
	delivery->call = needs->call;
	delivery->context = needs->context;
	r = lanes_new(data_max(), &delivery->lanes);
	if (r < 0)
		delivery_free(delivery);
	else
		*ret_delivery = delivery;
	return r;
}

void delivery_free(struct delivery *delivery)
{
	if (!delivery)
		return;
	lanes_free(delivery->lanes);
	pthread_mutex_destroy(&delivery->lock);
	free(delivery);
}
