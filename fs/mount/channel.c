/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Either this file opens /dev/fuse, mounts, and answers the kernel's first message (handshake.c),
 * or an earlier daemon has done so and left the descriptor. Then libfuse is given the descriptor as
 * "/dev/fd/N", which it neither mounts nor unmounts; so what libfuse would do besides (mtab,
 * fusermount, unmounting by path whatever lies there by then) does not happen. libfuse must see an
 * INIT before anything else. It is given the kernel's once more, under a request number that the
 * kernel does not know: the kernel refuses its reply with ENOENT, which libfuse ignores.
 *
 * A fixed number of threads reads requests from the descriptor, each into a buffer of its own. The
 * buffers are locked in memory: otherwise a SIGKILL that comes while the kernel copies a request to
 * a page that is not there leaves the request half-copied, and the guest gets an error. Threads are
 * ended by cancelling, and can be cancelled only while they wait for a request. The main thread
 * waits in channel_run(), in poll(2), for the end or for a signal.
 *
 * Where the mount is left to the next daemon, the threads end after answering the requests that
 * they have read, and nothing else is touched. Otherwise the mount goes first and the threads a
 * moment later: unmounting writes back dirty pages of memory maps, which needs the threads.
 */
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lock.h"
#include "log.h"
#include "mountinfo.h"
#include "notification.h"

#define THREADS 16
#define DRAIN_TIMEOUT_MS 1000
#define BUFFER_SIZE ((size_t)HANDSHAKE_MAX_WRITE + HANDSHAKE_MESSAGE_ROOM)
#define UNKNOWN_UNIQUE (1ULL << 62) /* the kernel counts up from 2 */

struct channel {
	const struct options *options;
	struct ops *ops;
	struct fuse_session *session;
	struct handshake handshake;
	int fd;        /* /dev/fuse; borrowed from the session, or -1 */
	char *buffers; /* one for each thread */
	int ended_fd;  /* an eventfd: readable when a thread has seen the end of the connection */
	dev_t device;  /* of the mount, by which it is recognised */
	bool mounted;
	bool adopted; /* from an earlier daemon */
	pthread_t threads[THREADS];
	unsigned thread_count;
	pthread_mutex_t gate; /* the threads begin when it is free */
};

/* ---- mounting */

static char *mount_data(const struct options *options, int fd)
{
	char *more = options->mount_data;

	return format_text("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions%s%s", fd,
			   more ? "," : "", more ? more : "");
}

static int mount_fuse(struct channel *channel, int fd, struct sentence *error)
{
	const struct options *options = channel->options;
	CLEANUP(freep) char *data = mount_data(options, fd);
	bool ours;
	int r;

	if (!data)
		return report(error, -ENOMEM, "out of memory");
	if (mount(options->images, options->mount, "fuse.revertfs", MS_NOSUID | MS_NODEV | options->mount_flags, data) <
	    0)
		return report(error, -errno, "cannot mount on '%s': %m", options->mount);
	channel->mounted = true;
	r = mountinfo_find(options->mount, &channel->device, &ours);
	return r < 0 ? report(error, r, "cannot find the mount on '%s': %s", options->mount, error_text(r)) : 0;
}

/* Only where this mount is the topmost at its path: a mount that somebody put over it stays. */
static void unmount(struct channel *channel)
{
	const char *path = channel->options->mount;
	dev_t device;
	bool ours;

	if (!channel->mounted)
		return;
	channel->mounted = false;
	if (mountinfo_find(path, &device, &ours) < 0 || device != channel->device)
		return;
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		log_warning("cannot unmount '%s': %s", path, error_text(-errno));
}

static int add_arguments(struct fuse_args *arguments, const struct options *options)
{
	CLEANUP(freep) char *list = NULL;
	int r = fuse_opt_add_arg(arguments, "revertfs");

	for (size_t i = 0; r == 0 && i < options->fuse_options.count; i++)
		r = fuse_opt_add_opt_escaped(&list, options->fuse_options.items[i]);
	if (r == 0 && options->debug)
		r = fuse_opt_add_opt(&list, "debug");
	if (r == 0 && list) {
		r = fuse_opt_add_arg(arguments, "-o");
		if (r == 0)
			r = fuse_opt_add_arg(arguments, list);
	}
	return r < 0 ? -ENOMEM : 0;
}

static int make_session(struct channel *channel, struct sentence *error)
{
	struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);

	if (add_arguments(&arguments, channel->options) == 0)
		channel->session =
			fuse_session_new(&arguments, ops_table(), sizeof(struct fuse_lowlevel_ops), channel->ops);
	fuse_opt_free_args(&arguments);
	if (!channel->session)
		return report(error, -EINVAL, "libfuse does not accept the options; 'revertfs -h' lists them");
	return 0;
}

/* Give libfuse the connection, whose first message was answered without it. */
static int give_to_libfuse(struct channel *channel, int *fd, struct sentence *error)
{
	struct handshake copy = channel->handshake;
	struct fuse_buf message = { .mem = &copy.init, .size = copy.init_length };
	char path[32];

	snprintf(path, sizeof(path), "/dev/fd/%d", *fd);
	if (fuse_session_mount(channel->session, path) < 0)
		return report(error, -EIO, "libfuse does not take the connection");
	channel->fd = steal_fd(fd);
	copy.init.request.unique = UNKNOWN_UNIQUE;
	ops_process(channel->ops, channel->session, &message);
	if (fuse_session_exited(channel->session))
		return report(error, -EPROTO, "libfuse does not understand the kernel's first message");
	return 0;
}

/* Where a limit on locked memory forbids the lock, the daemon serves all the same. */
static int make_buffers(struct channel *channel, struct sentence *error)
{
	void *memory = mmap(NULL, THREADS * BUFFER_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		return report(error, -errno, "no memory for requests: %m");
	channel->buffers = memory;
	/*
	 * A fork would make the pages copy-on-write, and the kernel might move them into a huge
	 * page: both make them inaccessible for a moment.
	 */
	madvise(memory, THREADS * BUFFER_SIZE, MADV_DONTFORK);
	madvise(memory, THREADS * BUFFER_SIZE, MADV_NOHUGEPAGE);
	if (mlock(memory, THREADS * BUFFER_SIZE) < 0)
		log_warning(
			"the memory for requests cannot be locked (%s): a request that is being read when the daemon is killed may fail",
			error_text(-errno));
	return 0;
}

static int set_up(struct channel *channel, struct sentence *error)
{
	int r = make_session(channel, error);

	if (r == 0)
		r = make_buffers(channel, error);
	if (r < 0)
		return r;
	channel->ended_fd = eventfd(0, EFD_CLOEXEC);
	return channel->ended_fd < 0 ? report(error, -errno, "cannot make an eventfd: %m") : 0;
}

/* What the next daemon needs besides /dev/fuse. */
static void write_down(const struct channel *channel, struct handover *handover)
{
	struct handover_header *mount = handover_mount(handover);

	mount->device = channel->device;
	mount->handshake = channel->handshake;
	snprintf(mount->images, sizeof(mount->images), "%s", channel->options->images);
	snprintf(mount->mount, sizeof(mount->mount), "%s", channel->options->mount);
	snprintf(mount->state, sizeof(mount->state), "%s", channel->options->state);
}

static int open_and_mount(struct channel *channel, const struct wishes *wishes, struct handover *handover,
			  struct sentence *error)
{
	CLEANUP(close_fdp) int fd = -1;
	int r;

	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return report(error, -errno, "cannot open /dev/fuse: %m%s",
			      errno == ENOENT ? "; is the kernel's module loaded (modprobe fuse)?" : "");
	r = mount_fuse(channel, fd, error);
	if (r == 0)
		r = handshake_answer(fd, wishes, &channel->handshake, error);
	if (r < 0)
		return r;
	write_down(channel, handover);
	return give_to_libfuse(channel, &fd, error);
}

/* Go on with the mount that an earlier daemon left. */
static int take_over(struct channel *channel, int fuse_fd, struct handover *handover, struct sentence *error)
{
	const struct handover_header *mount = handover_mount(handover);
	CLEANUP(close_fdp) int fd = fuse_fd;

	channel->handshake = mount->handshake;
	channel->device = mount->device;
	channel->mounted = true;
	if (channel->handshake.init_length > sizeof(channel->handshake.init))
		return report(error, -EPROTO, "what an earlier daemon wrote down is damaged");
	channel->adopted = true;
	log_debug("fuse", "the connection of an earlier daemon is adopted: restart %u, granted flags %#llx",
		  mount->restarts, (unsigned long long)mount->handshake.granted);
	return give_to_libfuse(channel, &fd, error);
}

int channel_fd(const struct channel *channel)
{
	return channel->fd;
}

bool channel_has_passthrough(const struct channel *channel)
{
	return channel->handshake.granted & WIRE_PASSTHROUGH;
}

bool channel_can_resend(const struct channel *channel)
{
	return channel->handshake.granted & WIRE_HAS_RESEND;
}

static struct channel *channel_new(const struct options *options, struct ops *ops)
{
	struct channel *channel = calloc(1, sizeof(*channel));

	if (channel)
		*channel = (struct channel){
			.options = options, .ops = ops, .ended_fd = -1, .fd = -1, .gate = PTHREAD_MUTEX_INITIALIZER
		};
	return channel;
}

int channel_mount(const struct options *options, const struct wishes *wishes, struct ops *ops,
		  struct handover *handover, struct channel **ret_channel, struct sentence *error)
{
	struct channel *channel = channel_new(options, ops);
	int r = channel ? set_up(channel, error) : report(error, -ENOMEM, "out of memory");

	if (r == 0)
		r = open_and_mount(channel, wishes, handover, error);
	if (r < 0)
		channel_free(channel);
	else
		*ret_channel = channel;
	return r;
}

int channel_adopt(const struct options *options, int fuse_fd, struct ops *ops, struct handover *handover,
		  struct channel **ret_channel, struct sentence *error)
{
	struct channel *channel = channel_new(options, ops);
	int r = channel ? set_up(channel, error) : report(error, -ENOMEM, "out of memory");

	if (r == 0)
		r = take_over(channel, fuse_fd, handover, error);
	else
		close(fuse_fd);
	if (r < 0)
		channel_free(channel);
	else
		*ret_channel = channel;
	return r;
}

/* ---- serving */

/* What one serving thread needs. */
struct server {
	struct channel *channel;
	char *buffer;
};

/* The request in a thread's buffer; its length is 0 while the buffer holds none. */
static struct wire_request *request_in(char *buffer)
{
	return (struct wire_request *)(void *)buffer;
}

/* The length of a request, 0 when there will be no more, or a negative errno. */
static ssize_t receive(const struct server *server)
{
	ssize_t n;

	request_in(server->buffer)->length = 0;
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	n = read(server->channel->fd, server->buffer, BUFFER_SIZE);
	if (n < 0)
		n = errno == ENODEV ? 0 : -errno;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return n;
}

/* ENOENT: the request was aborted while it was being read. */
static bool is_passing(ssize_t error)
{
	return error == -EINTR || error == -EAGAIN || error == -ENOENT;
}

/*
 * Without ASan: a cancelled thread does not return from its functions, so their marks would stay on
 * the stack, and ASan would take them for errors.
 */
__attribute__((no_sanitize_address)) static void *serve(void *argument)
{
	struct server server = *(struct server *)argument;
	struct channel *channel = server.channel;
	uint64_t one = 1;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	free(argument);
	pthread_mutex_lock(&channel->gate);
	pthread_mutex_unlock(&channel->gate);
	while (!fuse_session_exited(channel->session)) {
		ssize_t n = receive(&server);
		struct fuse_buf message = { .mem = server.buffer, .size = n > 0 ? (size_t)n : 0 };

		if (is_passing(n))
			continue;
		if (n < 0)
			log_error("no more requests can be read: %s", error_text((int)n));
		if (n <= 0)
			break;
		ops_process(channel->ops, channel->session, &message);
		request_in(server.buffer)->length = 0;
	}
	fuse_session_exit(channel->session);
	if (write(channel->ended_fd, &one, sizeof(one)) < 0)
		log_error("cannot say that the connection has ended: %s", error_text(-errno));
	return NULL;
}

static int start_threads(struct channel *channel, struct sentence *error)
{
	for (unsigned i = 0; i < THREADS; i++) {
		struct server *server = malloc(sizeof(*server));
		int r = ENOMEM;

		if (server) {
			*server = (struct server){ channel, channel->buffers + i * BUFFER_SIZE };
			r = pthread_create(&channel->threads[i], NULL, serve, server);
		}
		if (r) {
			free(server);
			return report(error, -r, "cannot start a thread: %s", error_text(-r));
		}
		channel->thread_count++;
	}
	return 0;
}

/*
 * A thread that is cancelled in the moment in which read(2) succeeds leaves a request in its
 * buffer.
 */
static void answer_rest(const struct channel *channel, char *buffer)
{
	struct fuse_buf message = { .mem = buffer, .size = request_in(buffer)->length };

	if (message.size >= sizeof(struct wire_request) && message.size <= BUFFER_SIZE)
		ops_process(channel->ops, channel->session, &message);
}

static void stop_threads(struct channel *channel)
{
	for (unsigned i = 0; i < channel->thread_count; i++)
		pthread_cancel(channel->threads[i]);
	for (unsigned i = 0; i < channel->thread_count; i++) {
		pthread_join(channel->threads[i], NULL);
		answer_rest(channel, channel->buffers + i * BUFFER_SIZE);
	}
	channel->thread_count = 0;
}

/*
 * Wait until the connection has ended or `stop_fd` (-1: none) is readable; a timeout of -1 is none.
 * Returns whether the connection has ended.
 */
static bool wait_for_end(struct channel *channel, int stop_fd, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = channel->ended_fd, .events = POLLIN },
		{ .fd = stop_fd, .events = POLLIN },
	};

	while (poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0 && errno == EINTR)
		;
	return fds[0].revents != 0;
}

int channel_run(struct channel *channel, const struct channel_events *events, struct sentence *error)
{
	int r = 0;

	/*
	 * The resend is asked for last, right before requests are read: the kernel drops a request
	 * that waits to be sent again when its caller is killed, though it may have been done.
	 */
	if (channel->adopted && channel_can_resend(channel)) {
		r = notification_resend(channel->fd);
		log_debug("fuse", "the kernel is asked to send unanswered requests again");
	}
	if (r < 0)
		report(error, r, "the kernel does not send again what was not answered: %s", error_text(r));
	/*
	 * A keeper takes a first daemon that ends before it was ready for one that cannot start,
	 * and ends too. So nobody gets an answer, and relies on the mount, before the keeper knows.
	 */
	LOCKED (&channel->gate) {
		if (r == 0)
			r = start_threads(channel, error);
		if (r == 0)
			events->ready(events->context);
	}
	if (r == 0 && wait_for_end(channel, events->stop_fd, -1)) {
		log_info("the mount on '%s' is gone", channel->options->mount);
	} else if (r == 0 && events->leaves(events->context)) {
		channel->mounted = false;
		stop_threads(channel);
		return 1;
	}
	unmount(channel);
	wait_for_end(channel, -1, DRAIN_TIMEOUT_MS);
	stop_threads(channel);
	return r;
}

void channel_free(struct channel *channel)
{
	if (!channel)
		return;
	unmount(channel);
	if (channel->session)
		fuse_session_destroy(channel->session);
	if (channel->ended_fd >= 0)
		close(channel->ended_fd);
	if (channel->buffers)
		munmap(channel->buffers, THREADS * BUFFER_SIZE);
	free(channel);
}
