/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Either this file opens /dev/fuse, mounts, and answers the kernel's first message (handshake.c),
 * or an earlier daemon has done so and left the descriptor. Then libfuse is given the descriptor as
 * "/dev/fd/N", which it neither mounts nor unmounts; so what libfuse would do besides (mtab,
 * fusermount, unmounting by path whatever lies there by then) does not happen. libfuse must see an
 * INIT before anything else. It is given the kernel's once more, under a request number that the
 * kernel does not know: the kernel refuses its reply with ENOENT, which libfuse ignores.
 *
 * The threads of readers.c read requests from the descriptor. The main thread waits in
 * channel_run(), in poll(2), for the end or for a signal.
 *
 * Where the mount is left to the next daemon, the threads end after answering the requests that
 * they have read, and nothing else is touched. Otherwise the mount goes first and the threads a
 * moment later: unmounting writes back dirty pages of memory maps, which needs the threads.
 */
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "log.h"
#include "mountinfo.h"
#include "notification.h"
#include "readers.h"

#define DRAIN_TIMEOUT_MS 1000
#define UNKNOWN_UNIQUE (1ULL << 62) /* the kernel counts up from 2 */

struct channel {
	const struct options *options;
	struct ops *ops;
	struct fuse_session *session;
	struct handshake handshake;
	struct readers *readers;
	int fd;       /* /dev/fuse; borrowed from the session, or -1 */
	dev_t device; /* of the mount, by which it is recognised */
	bool mounted;
	bool adopted; /* from an earlier daemon */
	bool hangs;   /* a thread that answers a request could not be ended */
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
	struct message message = { .bytes = &copy.init, .length = copy.init_length };
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

static int set_up(struct channel *channel, struct sentence *error)
{
	int r = make_session(channel, error);

	return r == 0 ? readers_new(channel->ops, &channel->readers, error) : r;
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
		*channel = (struct channel){ .options = options, .ops = ops, .fd = -1 };
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

/*
 * Wait until the connection has ended or `stop_fd` (-1: none) is readable; a timeout of -1 is none.
 * Returns whether the connection has ended.
 */
static bool wait_for_end(struct channel *channel, int stop_fd, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = readers_ended_fd(channel->readers), .events = POLLIN },
		{ .fd = stop_fd, .events = POLLIN },
	};

	while (poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0 && errno == EINTR)
		;
	return fds[0].revents != 0;
}

static void stop_threads(struct channel *channel, bool resent)
{
	if (!resent)
		ops_stop(channel->ops);
	channel->hangs = !readers_stop(channel->readers, resent);
	if (channel->hangs && !resent)
		log_warning("requests hang in a filesystem beneath '%s', and are left behind",
			    channel->options->images);
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
	if (r == 0)
		r = readers_start(channel->readers, channel->session, channel->fd, error);
	/*
	 * A keeper takes a first daemon that ends before it was ready for one that cannot start,
	 * and ends too. So nobody gets an answer, and relies on the mount, before the keeper knows.
	 */
	if (r == 0) {
		events->ready(events->context);
		readers_go(channel->readers);
	}
	if (r == 0 && wait_for_end(channel, events->stop_fd, -1)) {
		log_info("the mount on '%s' is gone", channel->options->mount);
	} else if (r == 0 && events->leaves(events->context)) {
		channel->mounted = false;
		stop_threads(channel, channel_can_resend(channel));
		return 1;
	}
	if (r == 0)
		events->ends(events->context);
	unmount(channel);
	wait_for_end(channel, -1, DRAIN_TIMEOUT_MS);
	stop_threads(channel, false);
	return r;
}

bool channel_hangs(const struct channel *channel)
{
	return channel && channel->hangs;
}

void channel_free(struct channel *channel)
{
	if (!channel)
		return;
	unmount(channel);
	readers_free(channel->readers);
	if (channel->session)
		fuse_session_destroy(channel->session);
	free(channel);
}
