/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether another process writes a file is found out in time, whatever that process does.
 */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "util.h"

/* Another process has the file open, with a lease that it does not give back: its pid. */
static pid_t hold(const char *path, int flags, int lease)
{
	int ready[2];
	pid_t child;
	char byte;

	check_int(pipe2(ready, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		int fd = open(path, flags | O_CLOEXEC);

		signal(SIGIO, SIG_IGN);
		if (fd < 0 || (lease >= 0 && fcntl(fd, F_SETLEASE, lease) < 0) || write(ready[1], "r", 1) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	check_int(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

/* What io_check_no_writer() says meanwhile, within less than the 45 s that a lease may be kept. */
static int ask_while_held(int flags, int lease)
{
	CLEANUP(freep) char *path = format_text("%s/file", TEST_DIR);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), r;
	uint64_t started;
	pid_t child;

	check(fd >= 0);
	close(fd);
	fd = open(path, O_PATH | O_CLOEXEC);
	child = hold(path, flags, lease);
	started = monotonic_ms();
	r = io_check_no_writer(fd);
	started = monotonic_ms() - started;
	close(fd);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	check(started < 20000);
	return r;
}

TEST(who_has_a_file_open_to_write_is_seen)
{
	check_errno(ask_while_held(O_RDWR, -1), EBUSY);
	check_int(ask_while_held(O_RDONLY, -1), 0);
}

TEST(a_write_lease_is_no_trap)
{
	check_errno(ask_while_held(O_RDWR, F_WRLCK), EBUSY);
}
