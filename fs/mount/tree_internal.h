/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files that make up the tree share: tree.c, tree_names.c, tree_open.c, tree_restore.c and
 * tree_admin.c. Nobody else includes this.
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
	bool xattrs; /* the images' filesystem can do all of them */
	bool acls;
	atomic_uint_least64_t control_serial; /* how often the control file was looked up */
	atomic_int scratch_xattrs;            /* the same of the scratches': 1 yes, -1 no, 0 not asked yet */
};

/* ---- tree.c */

/* What lies under a name of the images directory, seen as the mount shows it, with a reference. */
int tree_find(struct tree *tree, struct node *directory, const char *name, struct node **ret_node);

/* The node of a file that was found or made as `name`; the descriptor is consumed. */
int tree_node_of_file(struct tree *tree, struct node *directory, const char *name, int fd, const struct stat *st,
		      struct node **ret_node);

/* Attributes and a counted lookup. */
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

void tree_take_back(struct tree *tree, const struct replay *replay);

/*
 * The handle becomes the kernel's: how its file is read and written is settled, and it gets its
 * number.
 */
void tree_tell_opening(struct tree *tree, const struct replay *replay, struct handle *handle,
		       struct opening *ret_opening);

/* ---- tree_admin.c: .revertfs and all beneath it */

bool admin_is_directory(const struct node *node);
int admin_find(struct tree *tree, struct node *directory, const char *name, struct node **ret_node);
void admin_attributes(struct tree *tree, const struct node *node, struct stat *ret_stat);
int admin_list(struct tree *tree, const struct node *directory, struct listing *listing);
int admin_open(struct tree *tree, const struct node *node, int flags, struct handle **ret_handle);
int admin_reopen(struct tree *tree, const struct node *node, struct handle *handle); /* after a restart */
int admin_read(struct handle *handle, size_t size, off_t offset, struct piece *ret_piece);

#endif
