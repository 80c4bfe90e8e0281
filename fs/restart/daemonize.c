/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fork comes before anything is opened, locked or started, since neither threads nor fcntl(2)
 * locks survive it. The parent reads a pipe: one byte means that the child is ready; the end of the
 * pipe without a byte means that the child has failed.
 */
#include "daemonize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "util.h"

static int wait_for_child(pid_t child, int fd)
{
	int status;
	ssize_t n;
	char byte;

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		return EXIT_SUCCESS;
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return EXIT_FAILURE;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

static void redirect(int flags, int fd)
{
	CLEANUP(close_fdp) int null = open("/dev/null", flags | O_CLOEXEC);

	if (null < 0 || dup2(null, fd) < 0)
		log_warning("cannot redirect descriptor %d to /dev/null: %s", fd, error_text(-errno));
}

int daemonize_enter(int *ret_ready_fd, int *ret_status)
{
	int pipe_fds[2];
	pid_t child;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child < 0) {
		int error = -errno;

		close(pipe_fds[0]);
		close(pipe_fds[1]);
		return error;
	}
	if (child > 0) {
		close(pipe_fds[1]);
		*ret_status = wait_for_child(child, pipe_fds[0]);
		close(pipe_fds[0]);
		return 1;
	}
	close(pipe_fds[0]);
	setsid();
	if (chdir("/") < 0)
		log_warning("cannot change to '/': %s", error_text(-errno));
	redirect(O_RDONLY, STDIN_FILENO);
	redirect(O_WRONLY, STDOUT_FILENO);
	log_to_syslog();
	*ret_ready_fd = pipe_fds[1];
	return 0;
}

void daemonize_leave_terminal(void)
{
	redirect(O_WRONLY, STDERR_FILENO);
}

void daemonize_ready(int ready_fd)
{
	daemonize_leave_terminal();
	if (write(ready_fd, "r", 1) < 0)
		log_warning("the command that started the daemon has not waited until the mount is ready: %s",
			    error_text(-errno));
	close(ready_fd);
}
