/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One loop over three descriptors: the daemon's messages, signals, and /dev/fuse, which reports an
 * error when the mount is gone. The daemon sends what it would send to systemd, but on a socket
 * that it is started with (notify.h): to a socket with a name, others could write.
 *
 *   the daemon exits with 0           it was told to end, or somebody unmounted: so does the keeper
 *   the daemon ends in any other way  another is started: at once if this one had been serving;
 *                                     otherwise after a delay that doubles each time
 *   the first daemon never serves     the keeper ends with its exit status
 *   SIGTERM, SIGINT                   are passed on to the daemon. Where none runs, one is started
 *                                     and gets the signal, since only a daemon unmounts. Where that
 *                                     dies too, or hangs, the keeper ends: with /dev/fuse closed,
 *                                     the kernel fails all that waits for an answer
 *   SIGHUP, SIGUSR1                   the daemon is asked to leave the mount to a new one
 */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemonize.h"
#include "fdstore.h"
#include "log.h"
#include "notify.h"
#include "util.h"

#define ENVIRONMENT "REVERTFS_KEEPER"
#define BACKGROUND "background"
#define MESSAGE_MAX 4096
#define FIRST_FD 3
#define DELAY_FIRST_MS 100
#define DELAY_MAX_MS 10000
#define END_MS 90000 /* a daemon that is told to end waits for what was asked of it, a minute at most */

struct keeper {
	char **arguments; /* the daemon's */
	char program[PATH_MAX];
	bool in_background;
	int ready_fd;
	int directory; /* the working directory of the command: paths may be relative to it */
	int socket, signals;
	int daemon_socket; /* the other end, for each daemon */
	sigset_t old_mask;
	struct fdstore store;
	pid_t daemon;    /* 0 while there is none */
	bool serves;     /* the daemon that runs has said READY */
	bool has_served; /* this or an earlier daemon has */
	int signal;      /* SIGTERM or SIGINT, once it was received: every later daemon gets it; else 0 */
	bool is_last;    /* the daemon was started with that signal */
	uint64_t end_by; /* monotonic ms: after the signal, when the keeper ends whatever happens; else 0 */
	int delay_ms;    /* between a daemon's end and the next start */
	uint64_t start;  /* monotonic ms: when the next one is started */
	int status;      /* what the keeper exits with */
	bool ended;
};

bool keeper_is_parent(bool *ret_in_background)
{
	const char *value = getenv(ENVIRONMENT);

	*ret_in_background = value && strcmp(value, BACKGROUND) == 0;
	return value != NULL;
}

/* ---- messages of the daemon */

static void close_entry(struct keeper *keeper, size_t i)
{
	struct fdstore_entry *entry = &keeper->store.entries[i];

	close(entry->fd);
	free(entry->name);
	*entry = keeper->store.entries[--keeper->store.count];
}

static void drop(struct keeper *keeper, const char *name)
{
	for (size_t i = keeper->store.count; i--;)
		if (strcmp(keeper->store.entries[i].name, name) == 0)
			close_entry(keeper, i);
}

static void put(struct keeper *keeper, const char *name, int *fd)
{
	char *copy = keeper->store.count < FDSTORE_MAX ? strdup(name) : NULL;

	if (!copy) {
		log_warning("the keeper has no room for descriptor '%s'", name);
		return;
	}
	drop(keeper, name);
	keeper->store.entries[keeper->store.count++] = (struct fdstore_entry){ .name = copy, .fd = steal_fd(fd) };
}

static bool has_line(const char *message, const char *line)
{
	const char *at = strstr(message, line);

	return at && (at == message || at[-1] == '\n') && (!at[strlen(line)] || at[strlen(line)] == '\n');
}

static void obey(struct keeper *keeper, char *message, int *fd)
{
	char *name = strstr(message, "FDNAME=");

	if (has_line(message, "READY=1")) {
		keeper->serves = keeper->has_served = true;
		keeper->delay_ms = 0;
		if (keeper->ready_fd >= 0)
			daemonize_ready(steal_fd(&keeper->ready_fd));
		return;
	}
	if (!name)
		return;
	name += strlen("FDNAME=");
	if (has_line(message, "FDSTORE=1") && *fd >= 0) {
		name[strcspn(name, "\n")] = '\0';
		put(keeper, name, fd);
	} else if (has_line(message, "FDSTOREREMOVE=1")) {
		name[strcspn(name, "\n")] = '\0';
		drop(keeper, name);
	}
}

/* The descriptor that came with a datagram, or -1. */
static int take_descriptor(struct msghdr *datagram)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(datagram);
	int fd = -1;

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static void listen_to_daemon(struct keeper *keeper)
{
	char message[MESSAGE_MAX + 1];
	struct iovec text = { .iov_base = message, .iov_len = MESSAGE_MAX };
	union {
		struct cmsghdr header;
		char room[CMSG_LEN(sizeof(int))];
	} ancillary;

	for (;;) {
		struct msghdr datagram = { .msg_iov = &text,
					   .msg_iovlen = 1,
					   .msg_control = &ancillary,
					   .msg_controllen = sizeof(ancillary.room) };
		CLEANUP(close_fdp) int fd = -1;
		ssize_t n = recvmsg(keeper->socket, &datagram, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

		if (n < 0)
			break;
		fd = take_descriptor(&datagram);
		message[n] = '\0';
		obey(keeper, message, &fd);
	}
}

/* ---- starting a daemon */

static void set_environment(struct keeper *keeper)
{
	char names[FDSTORE_MAX * 32] = "", number[24];
	size_t length = 0;

	for (size_t i = 0; i < keeper->store.count && length < sizeof(names); i++)
		length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s", i ? ":" : "",
					   keeper->store.entries[i].name);
	setenv(ENVIRONMENT, keeper->in_background ? BACKGROUND : "foreground", 1);
	snprintf(number, sizeof(number), "%zu", FIRST_FD + keeper->store.count);
	setenv(NOTIFY_DESCRIPTOR, number, 1);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof(number), "%zu", keeper->store.count);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

/*
 * The daemon wants its descriptors at FIRST_FD and up, with the socket behind them. They are first
 * copied above all these numbers, so that putting one in its place overwrites no other.
 */
static int place_descriptors(struct keeper *keeper)
{
	struct fdstore *store = &keeper->store;
	int above = FIRST_FD + (int)store->count + 1;

	keeper->daemon_socket = fcntl(keeper->daemon_socket, F_DUPFD_CLOEXEC, above);
	for (size_t i = 0; i < store->count; i++) {
		store->entries[i].fd = fcntl(store->entries[i].fd, F_DUPFD_CLOEXEC, above);
		if (store->entries[i].fd < 0)
			return -errno;
	}
	for (size_t i = 0; i < store->count; i++)
		if (dup2(store->entries[i].fd, FIRST_FD + (int)i) < 0)
			return -errno;
	return dup2(keeper->daemon_socket, above - 1) < 0 ? -errno : 0;
}

/*
 * SIGTERM, SIGINT and SIGUSR1 stay blocked in the daemon, which reads them from a signalfd. One
 * that comes before the daemon has that must wait for it, not kill it.
 */
static void restore_signals(const struct keeper *keeper)
{
	sigset_t mask = keeper->old_mask;

	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

static void become_daemon(struct keeper *keeper)
{
	set_environment(keeper);
	if (fchdir(keeper->directory) < 0 || place_descriptors(keeper) < 0)
		_exit(EXIT_FAILURE);
	restore_signals(keeper);
	execv(keeper->program, keeper->arguments);
	log_error("'%s' cannot be started: %s", keeper->program, error_text(-errno));
	_exit(EXIT_FAILURE);
}

static void wait_longer(struct keeper *keeper)
{
	keeper->delay_ms = keeper->delay_ms ? keeper->delay_ms * 2 : DELAY_FIRST_MS;
	if (keeper->delay_ms > DELAY_MAX_MS)
		keeper->delay_ms = DELAY_MAX_MS;
	keeper->start = monotonic_ms() + (uint64_t)keeper->delay_ms;
}

static void start_daemon(struct keeper *keeper)
{
	pid_t child = fork();

	if (child == 0)
		become_daemon(keeper);
	keeper->serves = false;
	if (child < 0) {
		log_error("a daemon cannot be started: %s", error_text(-errno));
		wait_longer(keeper);
		return;
	}
	keeper->daemon = child;
	keeper->is_last = keeper->signal != 0;
	if (keeper->signal)
		kill(child, keeper->signal);
}

/* ---- signals */

static void end(struct keeper *keeper, int status)
{
	keeper->ended = true;
	keeper->status = status;
}

/* What waits for an answer of the mount fails when /dev/fuse is closed. */
static void let_go(struct keeper *keeper, const char *why)
{
	log_error("%s: the keeper ends, and whoever uses the mount gets errors", why);
	end(keeper, EXIT_FAILURE);
}

static void daemon_ended(struct keeper *keeper, int status)
{
	bool exited = WIFEXITED(status);

	keeper->daemon = 0;
	listen_to_daemon(keeper); /* messages that it sent right before its end */
	if (exited && WEXITSTATUS(status) == 0)
		end(keeper, EXIT_SUCCESS);
	else if (!keeper->has_served)
		end(keeper, exited ? WEXITSTATUS(status) : EXIT_FAILURE);
	else if (keeper->is_last)
		let_go(keeper, "the daemon died instead of unmounting");
	if (keeper->ended)
		return;
	if (!keeper->serves && !keeper->signal)
		wait_longer(keeper);
	if (!exited)
		log_warning("the daemon was ended by a signal (%s); another one takes over what is open",
			    sigdescr_np(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != KEEPER_AGAIN)
		log_warning("the daemon ended with status %d; another one takes over what is open",
			    WEXITSTATUS(status));
}

static void reap(struct keeper *keeper)
{
	int status;
	pid_t child;

	while ((child = waitpid(-1, &status, WNOHANG)) > 0)
		if (child == keeper->daemon)
			daemon_ended(keeper, status);
}

static void pass_on(struct keeper *keeper, int signal)
{
	if (signal == SIGTERM || signal == SIGINT) {
		keeper->signal = signal;
		keeper->start = 0;
		if (!keeper->end_by)
			keeper->end_by = monotonic_ms() + END_MS;
	} else {
		signal = SIGUSR1;
	}
	if (keeper->daemon)
		kill(keeper->daemon, signal);
}

static void read_signals(struct keeper *keeper)
{
	struct signalfd_siginfo info;

	while (!keeper->ended && read(keeper->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(keeper);
		else
			pass_on(keeper, (int)info.ssi_signo);
	}
}

/* ---- the loop */

static int fuse_fd(const struct keeper *keeper)
{
	for (size_t i = 0; i < keeper->store.count; i++)
		if (strcmp(keeper->store.entries[i].name, FDSTORE_FUSE) == 0)
			return keeper->store.entries[i].fd;
	return -1;
}

/* In ms until the given time; -1 where there is none. */
static int time_until(uint64_t time)
{
	uint64_t now = monotonic_ms();

	return time == 0 ? -1 : time > now ? (int)(time - now) : 0;
}

/* Until a daemon is to be started, or the keeper to end. */
static int time_left(const struct keeper *keeper)
{
	int until_end = time_until(keeper->end_by);
	int until_start = keeper->daemon ? -1 : keeper->start ? time_until(keeper->start) : 0;

	return until_start < 0 || (until_end >= 0 && until_end < until_start) ? until_end : until_start;
}

/* A daemon that hangs is killed; where even that takes time, the keeper does not wait for it. */
static void end_late(struct keeper *keeper)
{
	if (keeper->daemon)
		kill(keeper->daemon, SIGKILL);
	let_go(keeper, "the daemon does not end");
}

/*
 * The keeper watches /dev/fuse only while no daemon runs: otherwise the daemon notices an unmount.
 */
static void turn(struct keeper *keeper)
{
	struct pollfd fds[] = {
		{ .fd = keeper->socket, .events = POLLIN },
		{ .fd = keeper->signals, .events = POLLIN },
		{ .fd = keeper->daemon ? -1 : fuse_fd(keeper) },
	};

	if (poll(fds, ARRAY_SIZE(fds), time_left(keeper)) < 0)
		return;
	if (fds[0].revents)
		listen_to_daemon(keeper);
	if (fds[1].revents)
		read_signals(keeper);
	if (fds[2].revents & (POLLERR | POLLHUP))
		end(keeper, EXIT_SUCCESS);
	if (!keeper->ended && time_until(keeper->end_by) == 0)
		end_late(keeper);
	else if (!keeper->ended && !keeper->daemon && time_left(keeper) == 0)
		start_daemon(keeper);
}

static int open_socket(struct keeper *keeper)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	keeper->socket = ends[0];
	keeper->daemon_socket = ends[1];
	return 0;
}

static int open_signals(struct keeper *keeper)
{
	static const int caught[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD };
	sigset_t signals;

	sigemptyset(&signals);
	for (size_t i = 0; i < ARRAY_SIZE(caught); i++)
		sigaddset(&signals, caught[i]);
	if (sigprocmask(SIG_BLOCK, &signals, &keeper->old_mask) < 0)
		return -errno;
	keeper->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return keeper->signals < 0 ? -errno : 0;
}

/* The path, since executing /proc/self/exe itself would start the old file after an upgrade. */
static int find_program(struct keeper *keeper)
{
	ssize_t n = readlink("/proc/self/exe", keeper->program, sizeof(keeper->program) - 1);

	if (n < 0)
		return -errno;
	keeper->program[n] = '\0';
	return 0;
}

/* place_descriptors() has each descriptor of the store open three times. */
static void raise_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* The same with "-f": the daemon must stay the keeper's child and not go into the background. */
static int make_arguments(struct keeper *keeper, char **argv)
{
	static char foreground[] = "-f";
	size_t count = 0;

	while (argv[count])
		count++;
	keeper->arguments = calloc(count + 2, sizeof(*argv));
	if (!keeper->arguments)
		return -ENOMEM;
	keeper->arguments[0] = argv[0];
	keeper->arguments[1] = foreground;
	memcpy(keeper->arguments + 2, argv + 1, (count - 1) * sizeof(*argv));
	return 0;
}

static void clear(struct keeper *keeper)
{
	while (keeper->store.count)
		close_entry(keeper, keeper->store.count - 1);
	close_fdp(&keeper->socket);
	close_fdp(&keeper->daemon_socket);
	close_fdp(&keeper->signals);
	close_fdp(&keeper->directory);
	close_fdp(&keeper->ready_fd);
	free(keeper->arguments);
}

int keeper_run(char **argv, int directory, bool in_background, int ready_fd)
{
	struct keeper keeper = { .in_background = in_background,
				 .ready_fd = ready_fd,
				 .directory = directory,
				 .socket = -1,
				 .daemon_socket = -1,
				 .signals = -1,
				 .status = EXIT_FAILURE };
	int r = find_program(&keeper);

	raise_open_files();
	if (r == 0)
		r = make_arguments(&keeper, argv);
	if (r == 0)
		r = open_socket(&keeper);
	if (r == 0)
		r = open_signals(&keeper);
	if (r < 0)
		log_error("the keeper cannot be set up: %s", error_text(r));
	while (r == 0 && !keeper.ended)
		turn(&keeper);
	clear(&keeper);
	return keeper.status;
}
