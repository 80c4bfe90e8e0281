/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file's text is HOST PID RANDOM, filled up with blanks, so that one write(2) replaces it.
 */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "filesystem.h"
#include "log.h"
#include "util.h"

#define TEXT_LENGTH (GUARD_OWNER_SIZE - 1)

static void describe_self(char owner[GUARD_OWNER_SIZE])
{
	struct utsname host;
	uint64_t random;
	char text[TEXT_LENGTH];

	while (getrandom(&random, sizeof(random), 0) != sizeof(random))
		;
	if (uname(&host) < 0)
		strcpy(host.nodename, "?");
	snprintf(text, sizeof(text), "%.64s %d %016llx", host.nodename, (int)getpid(), (unsigned long long)random);
	snprintf(owner, GUARD_OWNER_SIZE, "%-*s\n", TEXT_LENGTH - 1, text);
}

/* Not what this host remembers of the file. */
static int read_text(int lock, char owner[GUARD_OWNER_SIZE])
{
	ssize_t n;

	posix_fadvise(lock, 0, 0, POSIX_FADV_DONTNEED);
	n = pread(lock, owner, TEXT_LENGTH, 0);
	owner[n < 0 ? 0 : n] = '\0';
	return n < 0 ? -errno : 0;
}

/* -EBUSY: another has it. */
static int take_again(int lock)
{
	if (flock(lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK ? -EBUSY : -errno;
}

int guard_begin(struct guard *guard, const char *what, int lock)
{
	int r;

	*guard = (struct guard){ .what = what, .lock = lock, .filesystem = filesystem_shared(lock) };
	describe_self(guard->owner);
	r = pwrite_all(lock, guard->owner, TEXT_LENGTH, 0);
	if (!guard->filesystem)
		return 0; /* the text is for people */
	if (r == 0 && fsync(lock) < 0)
		r = -errno;
	return r < 0 ? r : take_again(lock);
}

static void describe(const char *owner, char text[GUARD_OWNER_SIZE])
{
	char host[65];
	int pid;

	if (sscanf(owner, "%64s %d ", host, &pid) == 2 && text_is_clean(host))
		snprintf(text, GUARD_OWNER_SIZE, "pid %d on host '%s'", pid, host);
}

/* The other host may not have written yet who it is. */
static int lose(struct guard *guard)
{
	char owner[GUARD_OWNER_SIZE], other[GUARD_OWNER_SIZE] = "";

	if (read_text(guard->lock, owner) == 0 && strcmp(owner, guard->owner) != 0)
		describe(owner, other);
	if (!atomic_exchange(&guard->lost, true))
		log_error("the lock on the %s is lost: its filesystem (%s) has given it to another host%s%s",
			  guard->what, guard->filesystem, *other ? ", as it seems to " : "", other);
	return -ESTALE;
}

int guard_check(struct guard *guard)
{
	char owner[GUARD_OWNER_SIZE];
	int r;

	if (guard->lock < 0 || !guard->filesystem)
		return 0;
	if (atomic_load(&guard->lost))
		return -ESTALE;
	r = take_again(guard->lock);
	if (r == -EBUSY)
		return lose(guard);
	if (r == 0)
		r = read_text(guard->lock, owner);
	if (r == 0 && strcmp(owner, guard->owner) != 0)
		return lose(guard);
	return r;
}

void guard_read_owner(int lock, char text[GUARD_OWNER_SIZE])
{
	char owner[GUARD_OWNER_SIZE];

	text[0] = '\0';
	if (read_text(lock, owner) == 0)
		describe(owner, text);
}
