/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the tree share; no other file includes this. Calls between them run one way:
 * tree_names.c calls tree_open.c and tree.c, tree_open.c calls tree.c, and all of them and
 * tree_restore.c call tree_admin.c.
 */
#ifndef REVERTFS_MOUNT_TREE_INTERNAL_H
#define REVERTFS_MOUNT_TREE_INTERNAL_H

#include <errno.h>
#include <stdatomic.h>

#include "handle.h"
#include "node.h"
#include "passthrough.h"
#include "tree.h"

#define ADMIN_NAME ".revertfs"

struct tree {
	const struct options *options;
	struct disks *disks;
	struct handover *handover;
	int fuse_fd; /* -1: not connected */
	int images_fd;
	dev_t device; /* of the images directory itself */
	struct node_table *nodes;
	struct handle_table *handles;
	struct passthrough passthrough;
	bool xattrs;                          /* the images' filesystem has those of every namespace */
	bool acls;                            /* ... and POSIX ACLs */
	atomic_uint_least64_t control_serial; /* how often the control file was looked up */
	atomic_int scratch_xattrs;            /* the scratches' filesystem has xattrs: 1 yes, -1 no, 0 not asked yet */
};

/* ---- tree.c */

/* The node that a name in a directory of the mount leads to, with a reference. */
int tree_find(struct tree *tree, struct node *directory, const char *name, struct node **ret_node);

/*
 * The node of a file that was found or made as `name`, with a reference; the descriptor is
 * consumed.
 */
int tree_node_of_file(struct tree *tree, struct node *directory, const char *name, int fd, const struct stat *st,
		      struct node **ret_node);

/* Fill the entry for the kernel and count the lookup. */
int tree_tell(struct tree *tree, struct node *node, struct entry *ret_entry);

int tree_node_attributes(struct tree *tree, struct node *node, struct stat *ret_stat);

/* The inode number that the mount shows for a real file. */
uint64_t tree_inode(const struct tree *tree, dev_t device, ino_t inode);

bool tree_is_protected(struct tree *tree, const struct node *node);

/*
 * scratch_open() and view_open() say -EAGAIN where they would wait and must not. Their result is
 * translated right behind the call, before it can be mixed up with the errno of a file.
 */
static inline int tree_or_would_wait(int r, bool nonblock)
{
	return nonblock && r == -EAGAIN ? TREE_WOULD_WAIT : r;
}

/* ---- tree_open.c */

/*
 * Where this OPEN or CREATE was sent again: close what an earlier daemon opened for it. That
 * daemon's answer did not reach the kernel, so nobody else would ever close it.
 */
void tree_take_back(struct tree *tree, const struct replay *replay);

/*
 * The last step of an open: decide how the file is read and written, and give the handle, which is
 * consumed, its number.
 */
void tree_tell_opening(struct tree *tree, const struct replay *replay, struct handle *handle,
		       struct opening *ret_opening);

/*
 * ---- tree_admin.c: .revertfs and all beneath it; the handles' content is guarded by their locks
 */

bool admin_is_directory(const struct node *node);
int admin_find(struct tree *tree, struct node *directory, const char *name, struct node **ret_node);
void admin_attributes(struct tree *tree, const struct node *node, struct stat *ret_stat);
int admin_list(struct tree *tree, const struct node *directory, struct listing *listing);
int admin_open(struct tree *tree, const struct node *node, int flags, struct handle **ret_handle);
int admin_reopen(struct tree *tree, const struct node *node, struct handle *handle); /* of an earlier daemon */
int admin_read(struct handle *handle, size_t size, off_t offset, struct piece *ret_piece);

#endif
