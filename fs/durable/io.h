/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every durable byte: what is synced, linked, renamed or unlinked in the state directory goes
 * through these functions and no others, which `make lint` checks.
 *
 * So this is the one place where tests inject failures, kills and power cuts: the build with
 * REVERTFS_FAULTS calls fault_before() and fault_after() around each step (tests/fault). All
 * functions block for as long as the medium takes. They return 0 or a negative errno. A name is a
 * single component, in the directory whose descriptor comes before it.
 */
#ifndef REVERTFS_DURABLE_IO_H
#define REVERTFS_DURABLE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum io_event {
	IO_WRITE,            /* a whole new file is written; `name` in `directory` */
	IO_SYNC,             /* fd */
	IO_SYNC_DIRECTORY,   /* directory */
	IO_LINK,             /* fd becomes `name` in `directory` */
	IO_RENAME,           /* `name` in `directory` becomes `to_name` in `to_directory` */
	IO_UNLINK,           /* `name` in `directory` */
	IO_REMOVE_DIRECTORY, /* `name` in `directory` */
	IO_SET_XATTR,        /* fd; `name` is the xattr's */
	IO_REMOVE_XATTR,     /* fd; `name` is the xattr's */
};

/* One step. A member that its event does not use is -1 or NULL. */
struct io_step {
	enum io_event event;
	int fd;
	int directory;
	const char *name;
	int to_directory;
	const char *to_name;
};

#ifdef REVERTFS_FAULTS
/*
 * tests/fault: a negative errno from fault_before() makes the step fail without being done; else
 * fault_after() is told how it went, by 0 or a negative errno.
 */
int fault_before(const struct io_step *step);
void fault_after(const struct io_step *step, int result);
#endif

int io_sync(int fd);
int io_sync_directory(int directory);

/* An xattr of an open file; not synced: io_sync() of the file does that. */
int io_set_xattr(int fd, const char *name, const void *value, size_t size);
int io_remove_xattr(int fd, const char *name);

/*
 * Have the kernel begin to write the file's dirty pages, so that a later sync is short. Promises
 * nothing; the sync reports errors.
 */
void io_start_write_back(int fd);

/* Give an open file one more name. -EXDEV when the directory lies on another filesystem. */
int io_link(int fd, int directory, const char *name);

/* Replaces a file that has the new name already. The directories are not synced. */
int io_rename(int directory, const char *name, int to_directory, const char *to_name);

/*
 * As io_rename(), within one directory, for data that need not reach the medium. It exchanges the
 * two files and removes the old one: ext4 writes a file out that is renamed over another, which
 * takes several times as long. A crash may leave the old file as `name`.
 */
int io_rename_unsynced(int directory, const char *name, const char *to_name);

/* As io_rename(), but -EEXIST when the name is taken. */
int io_rename_new(int directory, const char *name, int to_directory, const char *to_name);

/* 0 too when there is no such name. Not synced. */
int io_unlink(int directory, const char *name);

/* -ENOTEMPTY when the directory is not empty. Not synced. */
int io_remove_directory(int directory, const char *name);

/* Open a directory, made with mode 0700 where it is not there. A descriptor or a negative errno. */
int io_directory(int parent, const char *name);

/*
 * Replace a small file: write `name`.new, sync it, rename it over `name`, sync the directory.
 * Without `durable` nothing is synced: after a power cut the file may be torn, and its reader has
 * to expect that.
 */
int io_replace(int directory, const char *name, const void *data, size_t length, bool durable);

/*
 * Open a regular file of the state directory as io_open_beneath() does (beneath.h). -EBADMSG for
 * whatever else has the name: a FIFO, a device, a symlink is told from its inode and never opened,
 * so it is neither waited for nor made to do anything.
 */
int io_open_file(int directory, const char *name, int flags);

/*
 * Make a new empty file of mode 0600, open for reading and writing, in the place of whatever has
 * the name (-EISDIR: a directory). A descriptor or a negative errno.
 */
int io_create_file(int directory, const char *name);

/*
 * -EBUSY when a process has the file open for writing and keeps it so for half a second; 0 when
 * none has, or the filesystem cannot tell, as NFS and SMB cannot. Processes of other hosts are seen
 * nowhere. `fd` may be O_PATH.
 */
int io_check_no_writer(int fd);

/*
 * Make the empty file `to` share the blocks of `from`; not synced. -EOPNOTSUPP: try
 * io_copy_sparse().
 */
int io_reflink(int from, int to);

/* Copy a file's data to the empty file `to` and keep the holes; not synced. */
int io_copy_sparse(int from, int to);

#endif
