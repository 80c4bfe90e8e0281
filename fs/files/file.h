/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Real files by descriptor: what system calls offer by path, done to exactly the file that an
 * O_PATH descriptor stands for.
 *
 * Nothing here follows a symlink: a name is one component and is opened with O_NOFOLLOW; an
 * operation on the descriptor goes by /proc/self/fd or AT_EMPTY_PATH, so also on a symlink itself.
 * Every descriptor may be an ordinary one as well. Functions return 0, a count or a descriptor, or
 * a negative errno.
 */
#ifndef REVERTFS_FILES_FILE_H
#define REVERTFS_FILES_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "creator.h"

/* An entry of a directory, with O_PATH; *ret_stat is what it is. */
int file_find(int directory, const char *name, struct stat *ret_stat);
int file_stat(int fd, struct stat *ret_stat);

/*
 * Open what the descriptor stands for. Flags that belong to the making or the finding of the name
 * are left out, and O_DIRECT, which would want our buffers aligned, and O_APPEND, with which
 * pwrite(2) pays no heed to where the kernel wants it: a write that comes twice, for its daemon was
 * killed, would be there twice.
 */
int file_open(int fd, int flags);

int file_read_link(int fd, char *text, size_t size); /* NUL-terminated; -ENAMETOOLONG when it does not fit */

/* What setattr(2)'s relatives change; members count where their bit is set in `what`. */
enum {
	CHANGE_SIZE = 1 << 0,
	CHANGE_OWNER = 1 << 1, /* uid and gid, (uid_t)-1 and (gid_t)-1 leave as it is */
	CHANGE_MODE = 1 << 2,
	CHANGE_TIMES = 1 << 3, /* UTIME_NOW and UTIME_OMIT as in utimensat(2) */
	CHANGE_KILL = 1 << 4,  /* file_kill_privileges() */
};
struct change {
	unsigned what;
	off_t size;
	uid_t uid;
	gid_t gid;
	mode_t mode;
	struct timespec times[2];
};
int file_change(int fd, const struct change *change);

/*
 * Take suid and sgid from it, as the kernel does when somebody writes who has no right to leave
 * them.
 */
int file_kill_privileges(int fd);

ssize_t file_get_xattr(int fd, const char *name, void *value, size_t size);
ssize_t file_list_xattrs(int fd, char *names, size_t size);
int file_set_xattr(int fd, const char *name, const void *value, size_t size, int flags);
int file_remove_xattr(int fd, const char *name);

/* Whether all xattrs can be had here, and whether ACLs can. */
bool file_has_xattrs(int fd);
bool file_has_acls(int fd);

/*
 * A new entry. `umask` counts where the directory has no default ACL; the mode is otherwise exactly
 * what was asked for.
 */
struct creation {
	struct creator creator;
	mode_t mode; /* with the type, for file_make_node() */
	mode_t umask;
	dev_t device;
};
int file_create(int directory, const char *name, int flags, const struct creation *creation); /* -EEXIST as O_EXCL */
int file_make_node(int directory, const char *name, const struct creation *creation);
int file_make_directory(int directory, const char *name, const struct creation *creation);
int file_make_link(int directory, const char *name, const char *target, const struct creation *creation);

#endif
