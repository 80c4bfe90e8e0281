/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One loop over three descriptors: what the daemon says (NOTIFY_SOCKET), signals, and /dev/fuse, which shows an error when
 * the mount is gone.
 *
 *   the daemon ends with 0            it was asked to, or somebody unmounted: the keeper ends too
 *   the daemon ends in any other way  it is started again: at once when it had been serving, else after a while that doubles
 *   the first one never serves        its exit status is the keeper's
 *   SIGTERM, SIGINT                   are the daemon's; where there is none, one is started for it, since unmounting takes one
 *   SIGHUP, SIGUSR1                   the daemon is asked to let a new one take over
 *
 * The socket has a name that everybody can write to, so only what root says counts.
 */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "background.h"
#include "fdstore.h"
#include "log.h"
#include "util.h"

#define ENVIRONMENT "REVERTFS_KEEPER"
#define BACKGROUND "background"
#define MESSAGE_MAX 4096
#define FIRST_FD 3
#define DELAY_FIRST_MS 100
#define DELAY_MAX_MS 10000

struct keeper {
	char **arguments; /* the daemon's */
	char program[PATH_MAX];
	bool in_background;
	int ready_fd;
	int directory; /* where the command was given: paths may be relative to it */
	int socket, signals;
	char socket_name[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	sigset_t old_mask;
	struct fdstore store;
	pid_t daemon;    /* 0 while there is none */
	bool serves;     /* the daemon that runs has said READY */
	bool has_served; /* one has */
	int signal;      /* for the next daemon, or 0 */
	int delay_ms;    /* before the next start */
	int status;      /* of the end */
	bool ended;
};

bool keeper_is_parent(bool *ret_in_background)
{
	const char *value = getenv(ENVIRONMENT);

	*ret_in_background = value && strcmp(value, BACKGROUND) == 0;
	return value != NULL;
}

/* ---- what the daemon says */

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
	keeper->store.entries[keeper->store.count++] = (struct fdstore_entry){ copy, steal_fd(fd) };
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
			background_ready(steal_fd(&keeper->ready_fd));
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

/* Room for what comes with a datagram: who sent it, and a descriptor. */
union ancillary {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
};

static void look_at_ancillary(struct msghdr *datagram, bool *ret_trusted, int *ret_fd)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(datagram); header; header = CMSG_NXTHDR(datagram, header)) {
		struct ucred sender;

		if (header->cmsg_level != SOL_SOCKET)
			continue;
		if (header->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&sender, CMSG_DATA(header), sizeof(sender));
			*ret_trusted = sender.uid == 0;
		} else if (header->cmsg_type == SCM_RIGHTS && header->cmsg_len >= CMSG_LEN(sizeof(int))) {
			close_fdp(ret_fd);
			memcpy(ret_fd, CMSG_DATA(header), sizeof(*ret_fd));
		}
	}
}

static void listen_to_daemon(struct keeper *keeper)
{
	char message[MESSAGE_MAX + 1];
	struct iovec text = { .iov_base = message, .iov_len = MESSAGE_MAX };
	union ancillary ancillary;
	ssize_t n;

	do {
		struct msghdr datagram = { .msg_iov = &text,
					   .msg_iovlen = 1,
					   .msg_control = &ancillary,
					   .msg_controllen = sizeof(ancillary) };
		CLEANUP(close_fdp) int fd = -1;
		bool trusted = false;

		n = recvmsg(keeper->socket, &datagram, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n < 0)
			break;
		look_at_ancillary(&datagram, &trusted, &fd);
		message[n] = '\0';
		if (trusted)
			obey(keeper, message, &fd);
	} while (n > 0);
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
	setenv("NOTIFY_SOCKET", keeper->socket_name, 1);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof(number), "%zu", keeper->store.count);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

/* First above all the numbers that they are to have, so that placing one overwrites no other. */
static int place_descriptors(struct keeper *keeper)
{
	struct fdstore *store = &keeper->store;

	for (size_t i = 0; i < store->count; i++) {
		store->entries[i].fd = fcntl(store->entries[i].fd, F_DUPFD_CLOEXEC, FIRST_FD + FDSTORE_MAX);
		if (store->entries[i].fd < 0)
			return -errno;
	}
	for (size_t i = 0; i < store->count; i++)
		if (dup2(store->entries[i].fd, FIRST_FD + (int)i) < 0)
			return -errno;
	return 0;
}

static void become_daemon(struct keeper *keeper)
{
	set_environment(keeper);
	if (fchdir(keeper->directory) < 0 || place_descriptors(keeper) < 0)
		_exit(EXIT_FAILURE);
	sigprocmask(SIG_SETMASK, &keeper->old_mask, NULL);
	execv(keeper->program, keeper->arguments);
	log_error("'%s' cannot be started: %s", keeper->program, error_text(-errno));
	_exit(EXIT_FAILURE);
}

static void wait_longer(struct keeper *keeper)
{
	keeper->delay_ms = keeper->delay_ms ? keeper->delay_ms * 2 : DELAY_FIRST_MS;
	if (keeper->delay_ms > DELAY_MAX_MS)
		keeper->delay_ms = DELAY_MAX_MS;
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
	if (keeper->signal)
		kill(child, keeper->signal);
}

/* ---- signals */

static void end(struct keeper *keeper, int status)
{
	keeper->ended = true;
	keeper->status = status;
}

static void daemon_ended(struct keeper *keeper, int status)
{
	bool exited = WIFEXITED(status);

	keeper->daemon = 0;
	listen_to_daemon(keeper); /* its last words */
	if (exited && WEXITSTATUS(status) == 0)
		end(keeper, EXIT_SUCCESS);
	else if (!keeper->has_served)
		end(keeper, exited ? WEXITSTATUS(status) : EXIT_FAILURE);
	if (keeper->ended)
		return;
	if (!keeper->serves)
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
		keeper->delay_ms = 0;
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

/* Without a daemon nobody else sees that the mount is gone. */
static void turn(struct keeper *keeper)
{
	struct pollfd fds[] = {
		{ .fd = keeper->socket, .events = POLLIN },
		{ .fd = keeper->signals, .events = POLLIN },
		{ .fd = keeper->daemon ? -1 : fuse_fd(keeper) },
	};
	int n = poll(fds, ARRAY_SIZE(fds), keeper->daemon ? -1 : keeper->delay_ms);

	if (n < 0)
		return;
	if (fds[0].revents)
		listen_to_daemon(keeper);
	if (fds[1].revents)
		read_signals(keeper);
	if (fds[2].revents & (POLLERR | POLLHUP))
		end(keeper, EXIT_SUCCESS);
	else if (n == 0 && !keeper->daemon)
		start_daemon(keeper);
}

static int open_socket(struct keeper *keeper)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(address);
	int on = 1;

	keeper->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* With nothing but the family, the kernel chooses an abstract name. */
	if (keeper->socket < 0 || setsockopt(keeper->socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(keeper->socket, (struct sockaddr *)&address, sizeof(address.sun_family)) < 0 ||
	    getsockname(keeper->socket, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	length -= (socklen_t)offsetof(struct sockaddr_un, sun_path);
	memcpy(keeper->socket_name, address.sun_path, length);
	keeper->socket_name[0] = '@';
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

/* By its path, not by /proc/self/exe: an upgrade puts another file there. */
static int find_program(struct keeper *keeper)
{
	ssize_t n = readlink("/proc/self/exe", keeper->program, sizeof(keeper->program) - 1);

	if (n < 0)
		return -errno;
	keeper->program[n] = '\0';
	keeper->directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return keeper->directory < 0 ? -errno : 0;
}

/* "-f" makes the daemon stay what its keeper has started. */
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
	close_fdp(&keeper->signals);
	close_fdp(&keeper->directory);
	close_fdp(&keeper->ready_fd);
	free(keeper->arguments);
}

int keeper_run(char **argv, bool in_background, int ready_fd)
{
	struct keeper keeper = { .in_background = in_background,
				 .ready_fd = ready_fd,
				 .directory = -1,
				 .socket = -1,
				 .signals = -1,
				 .status = EXIT_FAILURE };
	int r = find_program(&keeper);

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
