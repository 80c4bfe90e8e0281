/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether another process writes a file is found out in time, whatever that process does.
 */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filesystem.h"
#include "io.h"
#include "util.h"

/* What all files lie on, as far as statfs(2) says; 0: what they do. */
static long filesystem_type;

/* In place of the C library's. */
int fstatfs(int fd, struct statfs *buffer)
{
	long r = syscall(SYS_fstatfs, fd, buffer);

	if (r == 0 && filesystem_type)
		buffer->f_type = filesystem_type;
	return (int)r;
}

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

/*
 * Without a delegation NFS refuses a lease with the errno that elsewhere means a writer; SMB does
 * without an oplock. FUSE tells of this host's own.
 */
TEST(where_a_lease_is_refused_for_no_reason_there_is_no_writer)
{
	static const long types[] = { 0x6969, 0xff534d42, 0xfe534d42 };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		filesystem_type = types[i];
		check_int(ask_while_held(O_RDWR, -1), 0);
	}
	filesystem_type = 0x65735546;
	check_errno(ask_while_held(O_RDWR, -1), EBUSY);
	filesystem_type = 0;
}

/* The numbers are linux/magic.h's, and statfs(2)'s of what this host has. */
TEST(which_filesystems_other_hosts_may_see)
{
	static const struct {
		long type;
		const char *name;
	} known[] = { { 0x6969, "NFS" },      { 0x65735546, "FUSE" },  { 0x00c36400, "CephFS" }, { 0xfe534d42, "SMB" },
		      { 0x01161970, "GFS2" }, { 0x7461636f, "OCFS2" }, { 0xef53, NULL },         { 0x58465342, NULL },
		      { 0x9123683e, NULL },   { 0x01021994, NULL },    { 0x794c7630, NULL },     { 0x2fc12fc1, NULL } };
	int fd = open(TEST_DIR, O_PATH | O_CLOEXEC);

	check(!filesystem_shared(fd));
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		filesystem_type = known[i].type;
		if (known[i].name)
			check_str(filesystem_shared(fd), known[i].name);
		else
			check(!filesystem_shared(fd));
	}
	filesystem_type = 0;
	close(fd);
}
