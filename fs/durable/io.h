/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every durable byte: what is synced, linked, renamed or unlinked in the state directory goes
 * through here and nowhere else, which `make lint` checks.
 *
 * That makes it the one place where a test injects failures, kills and power cuts: the build with
 * REVERTFS_FAULTS calls fault_before() and fault_after() around each step (tests/fault). All
 * functions block for as long as the medium takes and return 0 or a negative errno. Names are
 * single components beneath the directory descriptor they come with.
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
};

/* One step; members that an event does not use are -1 or NULL. */
struct io_step {
	enum io_event event;
	int fd;
	int directory;
	const char *name;
	int to_directory;
	const char *to_name;
};

#ifdef REVERTFS_FAULTS
/* tests/fault: a negative errno from fault_before() makes the step fail without being done. */
int fault_before(const struct io_step *step);
void fault_after(const struct io_step *step);
#endif

int io_sync(int fd);
int io_sync_directory(int directory);

/*
 * Have the kernel begin to write what is dirty; nothing is promised, and an error comes back at the
 * sync.
 */
void io_start_write_back(int fd);

/* Give an open file another name. -EXDEV when the directory lies on another filesystem. */
int io_link(int fd, int directory, const char *name);

/* Replaces what has the name already. Not synced. */
int io_rename(int directory, const char *name, int to_directory, const char *to_name);

/*
 * The same within one directory, for what need not be on the medium: ext4 begins to write a file
 * that is renamed over another, and takes several times as long. A crash may leave the old file
 * under the new one's name.
 */
int io_rename_unsynced(int directory, const char *name, const char *to_name);

/* As io_rename(), but -EEXIST when the name is taken. */
int io_rename_new(int directory, const char *name, int to_directory, const char *to_name);

/* 0 also when there is no such name. */
int io_unlink(int directory, const char *name);

/* -ENOTEMPTY when there is something in it. */
int io_remove_directory(int directory, const char *name);

/*
 * Create a directory (mode 0700, an existing one is fine) and open it. A descriptor or a negative
 * errno.
 */
int io_directory(int parent, const char *name);

/*
 * Replace a record: write `name`.new, sync it, rename it over the old, sync the directory. Without
 * `durable` nothing is synced: the record may be torn after a power cut, and its reader must bear
 * that.
 */
int io_replace(int directory, const char *name, const void *data, size_t length, bool durable);

/*
 * Open beneath a directory: no symlink on the way, no way out, close-on-exec. `name` may have
 * several components. A descriptor or a negative errno (-ELOOP for a symlink, -EXDEV for a way
 * out).
 */
int io_open_beneath(int directory, const char *name, int flags);

/*
 * -EBUSY when any process has the file open for writing and keeps it for half a second, 0 when none
 * has or the filesystem cannot tell. `fd` is open for reading.
 */
int io_check_no_writer(int fd);

/*
 * Make the empty file `to` share the blocks of `from`. -EOPNOTSUPP where the filesystem cannot. Not
 * synced.
 */
int io_reflink(int from, int to);

/* Copy a file's data, holes kept, to the empty file `to`; not synced. */
int io_copy_sparse(int from, int to);

#endif
