/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sd_listen_fds_with_names(3) and FDSTORE=1 without the library.
 */
#include "fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "notify.h"
#include "util.h"

#define FIRST_FD 3

static size_t count_inherited(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	uint64_t number;

	if (!pid || !count || parse_size(pid, &number) < 0 || number != (uint64_t)getpid() ||
	    parse_size(count, &number) < 0)
		return 0;
	return number < FDSTORE_MAX ? (size_t)number : FDSTORE_MAX;
}

void fdstore_inherit(struct fdstore *store)
{
	const char *given = getenv("LISTEN_FDNAMES");
	CLEANUP(freep) char *names = strdup(given ? given : "");
	size_t count = count_inherited();
	char *rest = names;

	for (size_t i = 0; i < count; i++) {
		const char *name = rest ? strsep(&rest, ":") : NULL;
		int fd = FIRST_FD + (int)i;

		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			continue;
		store->entries[store->count++] = (struct fdstore_entry){ .name = strdup(name ? name : ""), .fd = fd };
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

static struct fdstore_entry *find(struct fdstore *store, const char *name)
{
	for (size_t i = 0; i < store->count; i++) {
		struct fdstore_entry *entry = &store->entries[i];

		if (entry->fd >= 0 && entry->name && strcmp(entry->name, name) == 0) {
			entry->used = true;
			return entry;
		}
	}
	return NULL;
}

int fdstore_find(struct fdstore *store, const char *name)
{
	const struct fdstore_entry *entry = find(store, name);

	return entry ? entry->fd : -1;
}

int fdstore_take(struct fdstore *store, const char *name)
{
	struct fdstore_entry *entry = find(store, name);

	return entry ? steal_fd(&entry->fd) : -1;
}

/* A name can be in the store twice, and dropping it drops both. */
static bool is_used(const struct fdstore *store, const char *name)
{
	for (size_t i = 0; i < store->count; i++)
		if (store->entries[i].used && store->entries[i].name && strcmp(store->entries[i].name, name) == 0)
			return true;
	return false;
}

void fdstore_drop_rest(struct fdstore *store)
{
	for (size_t i = 0; i < store->count; i++) {
		const struct fdstore_entry *entry = &store->entries[i];

		if (entry->name && !is_used(store, entry->name))
			fdstore_drop(entry->name);
	}
	for (size_t i = 0; i < store->count; i++) {
		close_fdp(&store->entries[i].fd);
		free(store->entries[i].name);
	}
	store->count = 0;
}

/*
 * systemd polls what it stores, and so drops a /dev/fuse whose mount is gone. It refuses what
 * cannot be polled, such as a descriptor opened with O_PATH, unless FDPOLL=0 tells it not to try.
 */
static int tell_store(const char *verb, const char *name, int fd)
{
	bool is_polled = strcmp(name, FDSTORE_FUSE) == 0;
	CLEANUP(freep) char *message = format_text("%s=1\nFDNAME=%s%s", verb, name, is_polled ? "" : "\nFDPOLL=0");
	int r = message ? notify_with(message, fd) : -ENOMEM;

	log_debug("fuse", "%s=1 '%s'", verb, name);
	if (r < 0)
		log_warning("the descriptor store cannot be told about '%s' (%s): the next daemon may miss it", name,
			    error_text(r));
	return r;
}

int fdstore_put(const char *name, int fd)
{
	return tell_store("FDSTORE", name, fd);
}

int fdstore_drop(const char *name)
{
	return tell_store("FDSTOREREMOVE", name, -1);
}

/*
 * The mark is a lock on the file. It belongs to an open file description of its own, which only the
 * store has in the end, so it is gone when the store has dropped the descriptor or never took it.
 */
int fdstore_put_marked(const char *name, int fd)
{
	struct flock mark = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	CLEANUP(close_fdp) int marked = -1;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	marked = open(path, O_RDWR | O_CLOEXEC);
	if (marked < 0 || fcntl(marked, F_OFD_SETLK, &mark) < 0)
		return fdstore_put(name, fd);
	return fdstore_put(name, marked);
}

bool fdstore_keeps(int fd)
{
	struct flock mark = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

	return fcntl(fd, F_OFD_GETLK, &mark) == 0 && mark.l_type != F_UNLCK;
}
