/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Real files by descriptor: what system calls do by path, done to exactly the file that an O_PATH
 * descriptor refers to. A descriptor that was opened for reading or writing will do as well.
 *
 * Nothing here follows a symlink: a name is one component and is opened with O_NOFOLLOW, and a
 * descriptor is reached by /proc/self/fd or AT_EMPTY_PATH, which act on a symlink itself. Functions
 * return 0, a count or a descriptor, or a negative errno. They block as long as the filesystem
 * does.
 */
#ifndef REVERTFS_FILES_FILE_H
#define REVERTFS_FILES_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "creator.h"

/*
 * Open an entry of a directory with O_PATH; the caller closes it. *ret_stat is what file_look()
 * says of it.
 */
int file_find(int directory, const char *name, struct stat *ret_stat);
int file_stat(int fd, struct stat *ret_stat);

/*
 * The same of the file that `name` leads to ("" is the descriptor's own), as far as the kernel
 * knows it without asking a server, which may hang: device, inode number and type are true, the
 * rest may be old.
 */
int file_look(int fd, const char *name, struct stat *ret_stat);

/*
 * Open the file that the descriptor refers to; the caller closes it. These flags are dropped: those
 * that are about making or finding a name; O_DIRECT, which would need aligned buffers; O_APPEND,
 * with which pwrite(2) ignores its offset, so that a write that is done twice, because a daemon was
 * killed, would append twice.
 */
int file_open(int fd, int flags);

int file_read_link(int fd, char *text, size_t size); /* NUL-terminated; -ENAMETOOLONG when it does not fit */

/* What one FUSE SETATTR changes: those members whose bit is set in `what`. */
enum {
	CHANGE_SIZE = 1 << 0,
	CHANGE_OWNER = 1 << 1, /* uid and gid; (uid_t)-1 and (gid_t)-1 change nothing */
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
	uid_t caller; /* who asks */
};
int file_change(int fd, const struct change *change);

/* Clear suid and sgid, as the kernel does when a caller without CAP_FSETID writes to a file. */
int file_kill_privileges(int fd);

ssize_t file_get_xattr(int fd, const char *name, void *value, size_t size);
ssize_t file_list_xattrs(int fd, char *names, size_t size);
int file_set_xattr(int fd, const char *name, const void *value, size_t size, int flags);
int file_remove_xattr(int fd, const char *name);

/* Whether the file's filesystem has xattrs of every namespace, and whether it has POSIX ACLs. */
bool file_has_xattrs(int fd);
bool file_has_acls(int fd);

/*
 * A new entry. It gets `mode`, less `umask` where the directory has no default ACL. The process
 * must have a umask of 0. file_create() returns a descriptor, and -EEXIST as with O_EXCL.
 */
struct creation {
	struct creator creator;
	mode_t mode; /* with the type, for file_make_node() */
	mode_t umask;
	dev_t device;
};
int file_create(int directory, const char *name, int flags, const struct creation *creation);
int file_make_node(int directory, const char *name, const struct creation *creation);
int file_make_directory(int directory, const char *name, const struct creation *creation);
int file_make_link(int directory, const char *name, const char *target, const struct creation *creation);

#endif
