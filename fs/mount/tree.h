/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mount as the kernel sees it: nodeids, names and handles on one side, files and disks on the
 * other.
 *
 * ops.c calls one function here for each request. Nodeids and handles are numbers (node.h,
 * handle.h), and nothing here knows FUSE's own types. All functions may be called from any thread;
 * they return 0 or a count, or a negative errno, and block as long as the files' filesystem does,
 * or a verb on the disk.
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

/* All but the tree is borrowed, and must outlive it. */
int tree_new(const struct options *options, int images_fd, struct disks *disks, struct handover *handover,
	     struct tree **ret_tree);
void tree_free(struct tree *tree); /* closes what is still open; NULL is fine */

/* Whether the kernel shall enforce ACLs: where the images' filesystem has them. */
bool tree_has_acls(const struct tree *tree);

/*
 * Set the connection to the kernel (borrowed), and whether that grants passthrough. To be called
 * before the first request. 0 or a negative errno. tree_disconnect(): no request will come any
 * more, and the descriptor is about to be closed; tree_free() does it too.
 */
int tree_connect(struct tree *tree, int fuse_fd, bool passthrough);
void tree_disconnect(struct tree *tree);

/*
 * Restore the nodes and handles that an earlier daemon of the mount wrote down (tree_restore.c). To
 * be called once, before the first request and before background work begins.
 */
void tree_restore(struct tree *tree, struct fdstore *store);

/*
 * Whether that has left a thread behind, in a filesystem that does not answer, which may use the
 * model for as long as the process lives.
 */
bool tree_left_behind(const struct tree *tree); /* NULL is fine */

/*
 * What may make a request about a file wait: a file's filesystem, by its device; a view, by its
 * number and the device of what it shows; a disk, by its number; or nothing outside the daemon.
 * These two never block.
 */
enum place_kind { PLACE_ADMIN, PLACE_FILE, PLACE_VIEW, PLACE_DISK };
struct place {
	enum place_kind kind;
	dev_t device;
	uint64_t number;
	bool is_onlookers; /* a view or disk, as onlookers have it (onlookers.h) */
};
struct place tree_place(struct tree *tree, uint64_t id);
struct place tree_place_of_name(struct tree *tree, uint64_t parent, const char *name, uid_t uid);

/* The request has been answered: the note that it must not be done twice (replay.h) goes. */
void tree_settle(struct tree *tree, struct replay *replay);

/* ---- names (tree.c) */

/*
 * The file that a name leads to. The lookup has been counted: where the reply does not reach the
 * kernel, tree_forget() takes it back.
 */
struct entry {
	uint64_t id;
	struct stat attributes;
	bool name_stays, attributes_stay; /* the same for as long as the mount: the kernel may cache them */
};

/*
 * `who` asks. -ENFILE when it has as many files in use as one user may. Where the name leads to
 * another filesystem, TREE_ELSEWHERE says so, with its device, before anything there is waited for;
 * not where `ret_device` is NULL.
 */
#define TREE_ELSEWHERE 1
int tree_look_up(struct tree *tree, uint64_t parent, const char *name, const struct requester *who,
		 struct entry *ret_entry, dev_t *ret_device);
void tree_forget(struct tree *tree, uint64_t id, uint64_t lookups);

/* ---- attributes (tree_attributes.c) */

int tree_attributes(struct tree *tree, uint64_t id, struct stat *ret_stat);
int tree_read_link(struct tree *tree, uint64_t id, char *text, size_t size);
int tree_statfs(struct tree *tree, uint64_t id, struct statvfs *ret_statvfs);

/* `handle` is that of the descriptor that ftruncate(2) was called on, or 0. */
int tree_change(struct tree *tree, uint64_t id, uint64_t handle, const struct change *change, struct stat *ret_stat);

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
	bool keep_cache;    /* the page cache stays valid, unless size or modification time have changed */
	bool no_flush;      /* close(2) need not be reported */
	int32_t backing_id; /* of the file that the kernel reads and writes itself; 0: the daemon does */
};

int tree_create(struct tree *tree, struct replay *replay, uint64_t parent, const char *name, int flags,
		const struct creation *creation, struct entry *ret_entry, struct opening *ret_opening);
int tree_open(struct tree *tree, const struct replay *replay, uint64_t id, int flags, const struct requester *opener,
	      struct opening *ret_opening);
int tree_open_directory(struct tree *tree, const struct replay *replay, uint64_t id, const struct requester *opener,
			struct opening *ret_opening);
void tree_close(struct tree *tree, uint64_t handle);

/*
 * Where this OPEN or CREATE was sent again: close what an earlier daemon opened for it. That
 * daemon's answer did not reach the kernel, so nobody else would ever close it. The functions above
 * do it; to be called for a request that none of them is called for.
 */
void tree_take_back(struct tree *tree, const struct replay *replay);

/*
 * What a read returns: bytes, or a range of a file to read them from. Valid until tree_read_done().
 */
struct piece {
	int fd; /* -1: bytes */
	off_t offset;
	char *bytes;
	size_t length;
	struct handle *handle;
};

int tree_read(struct tree *tree, uint64_t handle, size_t size, off_t offset, struct piece *ret_piece);
void tree_read_done(struct tree *tree, struct piece *piece);
/* With `kill`, here and below, the file also loses its suid and sgid bits. */
ssize_t tree_write(struct tree *tree, uint64_t handle, const void *data, size_t size, off_t offset, bool kill);
int tree_flush(struct tree *tree, uint64_t handle);
int tree_sync(struct tree *tree, uint64_t handle, bool data_only);
int tree_allocate(struct tree *tree, uint64_t handle, int mode, off_t offset, off_t length, bool kill);
off_t tree_seek(struct tree *tree, uint64_t handle, off_t offset, int whence);
ssize_t tree_copy(struct tree *tree, uint64_t from, off_t from_offset, uint64_t to, off_t to_offset, size_t length,
		  unsigned flags, bool kill);

/*
 * Call `visit` for each entry behind position `offset` (0: the start), until it returns false;
 * `next` is the position behind the entry.
 */
int tree_read_directory(struct tree *tree, uint64_t handle, off_t offset,
			bool (*visit)(void *context, const char *name, uint64_t inode, mode_t type, off_t next),
			void *context);

/*
 * What is written to the control file is not data but commands, for tree_control(): that runs them,
 * however long they take, and keeps the answer for whoever reads on the same handle. They have the
 * rights of who opened the handle or of `writer`, whichever are less (caller.h); `caller` is told
 * whose. -EBADF for any other handle. *ret_opener may be HANDOVER_UNKNOWN.
 */
bool tree_takes_commands(struct tree *tree, uint64_t handle, uid_t *ret_opener);
int tree_control(struct tree *tree, uint64_t handle, const struct requester *writer, struct caller *caller,
		 const char *text, size_t length, off_t offset);

#endif
