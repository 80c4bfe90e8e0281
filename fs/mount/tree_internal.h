/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the tree share; no other file includes this. Calls between them run one way:
 * tree_names.c calls tree_open.c, both call tree.c and tree_attributes.c, which know each other,
 * and all of them and tree_restore.c call tree_admin.c.
 */
#ifndef REVERTFS_MOUNT_TREE_INTERNAL_H
#define REVERTFS_MOUNT_TREE_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "handle.h"
#include "mount_limits.h"
#include "node.h"
#include "passthrough.h"
#include "tree.h"

#define ADMIN_NAME ".revertfs"

struct notifier;

struct tree {
	const struct options *options;
	struct disks *disks;
	struct handover *handover;
	int images_fd;
	dev_t device; /* of the images directory itself */
	struct limits limits;
	struct node_table *nodes;
	struct notifier *notifier; /* NULL: not connected */
	struct handle_table *handles;
	struct passthrough passthrough;
	pthread_mutex_t labels;               /* held while a view's label is changed and noted */
	bool xattrs;                          /* the images' filesystem has those of every namespace */
	bool acls;                            /* ... and POSIX ACLs */
	atomic_uint_least64_t told_of_server; /* when the log was last told of a server that is refused; monotonic ms */
	atomic_uint_least64_t control_serial; /* how often the control file was looked up */
	bool left_behind;                     /* tree_left_behind() */
	atomic_int scratch_xattrs;            /* the scratches' filesystem has xattrs: 1 yes, -1 no, 0 not asked yet */
};

/* ---- tree.c */

/*
 * The node that a name in a directory of the mount leads to, with a reference. `who` asks for it.
 */
int tree_find(struct tree *tree, struct node *directory, const char *name, const struct requester *who,
	      struct node **ret_node);

/*
 * To be asked where the path of a name in a directory leads to a disk: whether the directory lies
 * where it was last seen. It may have been moved beneath the mount, and another have its name. 0 or
 * -ESTALE, after which the kernel looks for it again.
 */
int tree_check_place(const struct tree *tree, const struct node *directory, const char *path);

/*
 * The node of a file that was found or made as `name`, with a reference; the descriptor is
 * consumed. -EACCES where a filesystem of another user than root begins there.
 */
int tree_node_of_file(struct tree *tree, struct node *directory, const char *name, int fd, const struct stat *st,
		      uid_t uid, struct node **ret_node);

/* Fill the entry for the kernel and count the lookup. */
int tree_tell(struct tree *tree, struct node *node, struct entry *ret_entry);

/* The inode number that the mount shows for a real file. */
uint64_t tree_inode(const struct tree *tree, dev_t device, ino_t inode);

bool tree_is_protected(struct tree *tree, const struct node *node);

/*
 * To be asked before a file is opened, or what it holds is changed: a file that `-o protect=` names
 * is protected first, which may start a process. 0; -ESTALE when it has become a disk, so that the
 * kernel looks its name up again; another errno.
 */
int tree_protect_due(struct tree *tree, const struct node *node);

/* ---- tree_attributes.c */

int tree_node_attributes(struct tree *tree, struct node *node, struct stat *ret_stat);

/* ---- tree_open.c */

/*
 * The disk or view that a guest's descriptors on a node are counted to, besides their user. NULL:
 * none; an onlooker's are counted to him alone, as those of any file.
 */
const char *tree_counted_to(const struct node *node);

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
int admin_find(struct tree *tree, struct node *directory, const char *name, const struct requester *who,
	       struct node **ret_node);
void admin_attributes(struct tree *tree, const struct node *node, struct stat *ret_stat);
int admin_list(struct tree *tree, const struct node *directory, struct listing *listing);
int admin_open(struct tree *tree, const struct node *node, uid_t uid, int flags, struct handle **ret_handle);
int admin_reopen(struct tree *tree, const struct node *node, struct handle *handle); /* of an earlier daemon */
int admin_read(struct handle *handle, size_t size, off_t offset, struct piece *ret_piece);

#endif
