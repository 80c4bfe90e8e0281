/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The groups of a process are in /proc/PID/status. The kernel names the thread that asks, which
 * waits for its answer; one that is killed meanwhile may leave its number to another. So all is
 * read by one descriptor of the process's directory, and believed only where the file says the same
 * uid and gid as the request. Reading that file waits for nothing.
 */
#include "caller.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATUS_MAX (1u << 20) /* a process has 65536 groups at most */

static char *read_status(pid_t pid)
{
	char path[32], *text;
	CLEANUP(close_fdp) int directory = -1;
	CLEANUP(close_fdp) int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return NULL;
	fd = openat(directory, "status", O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read_all(fd, STATUS_MAX, &text, NULL) == 0 ? text : NULL;
}

/* The numbers behind a key that begins with a newline. NULL where there is no such line. */
static const char *find_line(const char *status, const char *key)
{
	const char *line = strstr(status, key);

	return line ? line + strlen(key) : NULL;
}

/* The fourth of a line's numbers: what the process has towards filesystems. */
static bool filesystem_id_is(const char *status, const char *key, unsigned id)
{
	const char *line = find_line(status, key);
	unsigned real, effective, saved, filesystem;

	return line && sscanf(line, "%u %u %u %u", &real, &effective, &saved, &filesystem) == 4 && filesystem == id;
}

static void read_groups(const char *status, struct identity *identity)
{
	const char *at = find_line(status, "\nGroups:");
	char *end;

	while (at && identity->group_count < HANDOVER_GROUPS_MAX) {
		while (*at == ' ' || *at == '\t')
			at++;
		if (*at < '0' || *at > '9')
			break;
		identity->groups[identity->group_count++] = (gid_t)strtoul(at, &end, 10);
		at = end;
	}
}

struct identity identity_of(uid_t uid, gid_t gid, pid_t pid)
{
	struct identity identity = { .uid = uid, .gid = gid };
	CLEANUP(freep) char *status = pid > 0 ? read_status(pid) : NULL;

	if (status && filesystem_id_is(status, "\nUid:", uid) && filesystem_id_is(status, "\nGid:", gid))
		read_groups(status, &identity);
	return identity;
}

bool identity_has_group(const struct identity *identity, gid_t group)
{
	bool has = identity->gid == group;

	for (unsigned i = 0; i < identity->group_count; i++)
		has |= identity->groups[i] == group;
	return has;
}

/*
 * Asked as that user, with the groups that are known of him. A thread has ids and groups of its own
 * (libc's setgroups() would change those of all). It loses the capabilities over files when its
 * fsuid is no longer 0, and gets them back with 0 (capabilities(7)). The daemon has no
 * supplementary groups. setfsuid(2) returns the id before, and tells of no failure.
 */
bool identity_may(const struct identity *identity, int fd, int mode)
{
	bool may;

	if (syscall(SYS_setgroups, (size_t)identity->group_count, identity->groups) < 0)
		return false;
	setfsgid(identity->gid);
	setfsuid(identity->uid);
	may = syscall(SYS_faccessat2, fd, "", mode, AT_EACCESS | AT_EMPTY_PATH) == 0;
	may = (uid_t)setfsuid(0) == identity->uid && may;
	setfsgid(0);
	syscall(SYS_setgroups, (size_t)0, NULL);
	return may;
}

int identity_lesser(const struct identity *opener, const struct identity *writer, gid_t group,
		    struct identity *ret_identity, struct sentence *error)
{
	bool is_unknown = opener->uid == HANDOVER_UNKNOWN;

	if (is_unknown && writer->uid == 0)
		return report(
			error, -EPERM,
			"the control file was opened before revertfs was upgraded, and who did is not known: open it again");
	if (!is_unknown && writer->uid && opener->uid && writer->uid != opener->uid)
		return report(error, -EPERM,
			      "user %u opened the control file and user %u writes to it: open it yourself",
			      (unsigned)opener->uid, (unsigned)writer->uid);
	if (opener->uid == 0 && writer->uid && !(group && identity_has_group(writer, group)))
		return report(error, -EPERM,
			      "root opened the control file, but user %u, who writes to it, may not use it",
			      (unsigned)writer->uid);
	*ret_identity = is_unknown || opener->uid == 0 ? *writer : *opener;
	return 0;
}
