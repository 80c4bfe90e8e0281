/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mount as the kernel sees it: nodeids, names and handles on one side, files and disks on the
 * other.
 *
 * ops.c calls one function here for each request. Nodeids and handles are numbers (node.h,
 * handle.h), and nothing here knows of FUSE's own types. All functions may be called from any
 * thread; they return 0, a count or a descriptor, or a negative errno. Those with `nonblock` return
 * TREE_WOULD_WAIT where they would wait for a disk, to be called again without.
 */
#ifndef REVERTFS_MOUNT_TREE_H
#define REVERTFS_MOUNT_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include "control.h"
#include "disk.h"
#include "fdstore.h"
#include "file.h"
#include "options.h"
#include "replay.h"

struct tree;

#define TREE_WOULD_WAIT 1 /* no errno: -EAGAIN may come from the filesystem beneath */

/* `images_fd` and the others are borrowed, and outlive the tree. */
int tree_new(const struct options *options, int images_fd, struct disks *disks, struct handover *handover,
	     struct tree **ret_tree);
void tree_free(struct tree *tree); /* closes what is still open; NULL is fine */

/* Whether the kernel shall enforce ACLs: where the images' filesystem has them. */
bool tree_has_acls(const struct tree *tree);

/*
 * The connection to the kernel (borrowed). Where it has granted passthrough it reads and writes
 * open files by itself wherever it can, and clearing suid bits is the tree's business. To be called
 * before the first request; -1 when there is none any more.
 */
void tree_connect(struct tree *tree, int fuse_fd, bool passthrough);

/*
 * Put back what the kernel has open, and what it knows, as the handover says (tree_restore.c). To
 * be called once, before the first request and before background work begins, on a mount that an
 * earlier daemon has left.
 */
void tree_restore(struct tree *tree, struct fdstore *store);

/*
 * Requests that must not be done twice are noted (replay.h). The kernel has been answered: it is no
 * longer needed.
 */
void tree_settle(struct tree *tree, struct replay *replay);

/* ---- names and attributes (tree.c) */

/*
 * What a name leads to. The lookup has been counted: tree_forget() it when the kernel was not told
 * after all.
 */
struct entry {
	uint64_t id;
	struct stat attributes;
	bool name_stays, attributes_stay; /* for as long as the daemon runs: the kernel need not ask again */
};

int tree_look_up(struct tree *tree, uint64_t parent, const char *name, struct entry *ret_entry);
void tree_forget(struct tree *tree, uint64_t id, uint64_t lookups);
int tree_attributes(struct tree *tree, uint64_t id, struct stat *ret_stat);
int tree_read_link(struct tree *tree, uint64_t id, char *text, size_t size);
int tree_statfs(struct tree *tree, uint64_t id, struct statvfs *ret_statvfs);

/* `handle` is the one that ftruncate(2) was called on, or 0. */
int tree_change(struct tree *tree, uint64_t id, uint64_t handle, const struct change *change, bool nonblock,
		struct stat *ret_stat);

ssize_t tree_get_xattr(struct tree *tree, uint64_t id, const char *name, void *value, size_t size);
ssize_t tree_list_xattrs(struct tree *tree, uint64_t id, char *names, size_t size);
int tree_set_xattr(struct tree *tree, struct replay *replay, uint64_t id, const char *name, const void *value,
		   size_t size, int flags);
int tree_remove_xattr(struct tree *tree, struct replay *replay, uint64_t id, const char *name);

/* ---- changes of names (tree_names.c) */

int tree_make_node(struct tree *tree, struct replay *replay, uint64_t parent, const char *name,
		   const struct creation *creation, struct entry *ret_entry);
int tree_make_directory(struct tree *tree, struct replay *replay, uint64_t parent, const char *name,
			const struct creation *creation, struct entry *ret_entry);
int tree_make_symlink(struct tree *tree, struct replay *replay, uint64_t parent, const char *name, const char *target,
		      const struct creation *creation, struct entry *ret_entry);
int tree_link(struct tree *tree, struct replay *replay, uint64_t id, uint64_t parent, const char *name,
	      struct entry *ret_entry);
int tree_unlink(struct tree *tree, struct replay *replay, uint64_t parent, const char *name);
int tree_remove_directory(struct tree *tree, struct replay *replay, uint64_t parent, const char *name);
int tree_rename(struct tree *tree, struct replay *replay, uint64_t parent, const char *name, uint64_t new_parent,
		const char *new_name, unsigned flags);

/* ---- open files (tree_open.c) */

struct opening {
	uint64_t handle;
	bool direct_io;     /* not through the kernel's page cache */
	bool keep_cache;    /* what is in the page cache stays, unless size or time have changed */
	bool no_flush;      /* close(2) is nothing that we want to know of */
	int32_t backing_id; /* the kernel reads and writes this file itself; 0: we do */
};

int tree_create(struct tree *tree, struct replay *replay, uint64_t parent, const char *name, int flags,
		const struct creation *creation, struct entry *ret_entry, struct opening *ret_opening);
int tree_open(struct tree *tree, const struct replay *replay, uint64_t id, int flags, bool nonblock,
	      struct opening *ret_opening);
int tree_open_directory(struct tree *tree, const struct replay *replay, uint64_t id, struct opening *ret_opening);
void tree_close(struct tree *tree, uint64_t handle);

/* Something to be read: a place in a file, or bytes. Good until tree_read_done(). */
struct piece {
	int fd; /* -1: bytes */
	off_t offset;
	char *bytes;
	size_t length;
	struct handle *handle;
};

int tree_read(struct tree *tree, uint64_t handle, size_t size, off_t offset, struct piece *ret_piece);
void tree_read_done(struct tree *tree, struct piece *piece);
/* With `kill`, here and below, the file loses its suid and sgid bits. */
ssize_t tree_write(struct tree *tree, uint64_t handle, const void *data, size_t size, off_t offset, bool kill);
int tree_flush(struct tree *tree, uint64_t handle);
int tree_sync(struct tree *tree, uint64_t handle, bool data_only);
int tree_allocate(struct tree *tree, uint64_t handle, int mode, off_t offset, off_t length, bool kill);
off_t tree_seek(struct tree *tree, uint64_t handle, off_t offset, int whence);
ssize_t tree_copy(struct tree *tree, uint64_t from, off_t from_offset, uint64_t to, off_t to_offset, size_t length,
		  unsigned flags, bool kill);

/*
 * Call `visit` for each entry from position `offset` on until it returns false; `next` is the
 * position behind the entry.
 */
int tree_read_directory(struct tree *tree, uint64_t handle, off_t offset,
			bool (*visit)(void *context, const char *name, uint64_t inode, mode_t type, off_t next),
			void *context);

/*
 * What is written to the control file is not data but commands, for tree_control(): that runs them,
 * however long they take, and keeps the answer for whoever reads on the same handle. -EBADF for any
 * other handle.
 */
bool tree_takes_commands(struct tree *tree, uint64_t handle);
int tree_control(struct tree *tree, uint64_t handle, struct caller *caller, const char *text, size_t length,
		 off_t offset);

#endif
