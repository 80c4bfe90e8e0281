/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodeids: the numbers by which the kernel speaks of files, and what each stands for.
 *
 * A nodeid comes from a counter and is never used twice, so a number can outlive its node: it then
 * means nothing (-ESTALE, the kernel looks the name up again) instead of something else. The kernel
 * may use a nodeid from the LOOKUP that told it until it has forgotten as many lookups; that count
 * only decides when memory is given back. Should it ever be too low, the answer is -ESTALE, and too
 * high costs one node.
 *
 * Each node is written down for the next daemon (handover.h) before its number is told. Of a node
 * that an earlier daemon left, the count is doubtful, for what that daemon had read and not yet
 * counted is lost: the kernel is asked instead whether it still has it.
 */
#ifndef REVERTFS_MOUNT_NODE_H
#define REVERTFS_MOUNT_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "disk.h"
#include "handover.h"
#include "passthrough.h"
#include "view.h"

#define NODE_ROOT 1 /* the kernel's number for the root of every mount */

enum node_kind {
	NODE_FILE,             /* anything that lies in the images directory */
	NODE_SCRATCH,          /* what a disk's name served when it was looked up */
	NODE_VIEW,             /* .revertfs/images/NAME or .revertfs/layers/ID */
	NODE_IMAGES_DIRECTORY, /* a directory of .revertfs/images, by its path beneath that */
	NODE_FIXED,            /* .revertfs and what is always in it; `fixed` says which */
};

enum node_fixed {
	FIXED_DIRECTORY,
	FIXED_CONTROL,
	FIXED_STATUS,
	FIXED_STATUS_JSON,
	FIXED_LAYERS,
};

/* Set by the constructor and never changed, but for what the table's lock guards. */
struct node {
	uint64_t id;
	enum node_kind kind;
	enum node_fixed fixed;

	/*
	 * NODE_FILE: what it is, and a descriptor opened with O_PATH that pins the inode, so that
	 * its number stays its own.
	 */
	dev_t device; /* of a scratch, too */
	ino_t inode;
	mode_t type;
	int fd;

	uint64_t serial; /* NODE_SCRATCH, NODE_VIEW: of the thing itself; NODE_FIXED: see node_of_fixed() */
	struct disk *disk;
	struct view *view;
	char *path; /* NODE_IMAGES_DIRECTORY */

	/* Guarded by the table's lock from here on. */
	/*
	 * NODE_FILE: a protected image when last looked up, so under another name than the disk's.
	 */
	bool was_protected;
	struct node *parent; /* NODE_FILE, directories: where it was last seen, a reference; NULL at the root */
	char *name;          /* and as what */
	/*
	 * NODE_SCRATCH: held while a descriptor is open, so that a reset frees the space at once.
	 */
	struct scratch *pinned;
	unsigned opens;      /* descriptors on it, of any kind of node */
	uint64_t lookups;    /* the kernel's count */
	unsigned references; /* ours: requests at work, handles, children */
	struct node *next_by_id, *next_by_key;
	struct handover_node *noted; /* where it is written down; NULL: nowhere */
	bool inherited;              /* an earlier daemon's, so that the count is doubtful */
	bool stored;                 /* `fd` is in the descriptor store */

	struct passthrough_file passthrough; /* guarded by the lock of struct passthrough */
};

struct node_table;

/* `root_fd` is the images directory, `handover` where nodes are written down; both are borrowed. */
int node_table_new(int root_fd, struct handover *handover, struct node_table **ret_table);

/* Whether the kernel has a node is asked here, without a lock held. */
void node_table_connect(struct node_table *table, bool (*knows)(void *context, uint64_t id), void *context);
unsigned node_count(struct node_table *table);
void node_table_free(struct node_table *table); /* NULL is fine */

/* The node of a number, with a reference, or NULL. */
struct node *node_get(struct node_table *table, uint64_t id);
struct node *node_ref(struct node_table *table, struct node *node);
void node_put(struct node_table *table, struct node *node); /* NULL is fine */

/*
 * The node of a thing, found or made, with a reference. What is handed over (a descriptor, a
 * reference on a scratch or view) is the node's or gone when the call returns, whether it fails or
 * not. `noted` is where an earlier daemon wrote it down: then it has the number from there; NULL
 * for all others.
 */
int node_of_file(struct node_table *table, int fd, const struct stat *st, struct handover_node *noted,
		 struct node **ret_node);
int node_of_scratch(struct node_table *table, struct scratch *scratch, struct handover_node *noted,
		    struct node **ret_node);
int node_of_view(struct node_table *table, struct view *view, struct handover_node *noted, struct node **ret_node);
int node_of_views(struct node_table *table, const char *path, struct handover_node *noted, struct node **ret_node);

/* Several nodes may stand for the same fixed file: one for each serial. */
int node_of_fixed(struct node_table *table, enum node_fixed fixed, uint64_t serial, struct handover_node *noted,
		  struct node **ret_node);

/*
 * Drop all inherited nodes that the kernel does not have and nobody refers to. To be called once,
 * when what is open is there again.
 */
void node_drop_unknown(struct node_table *table);

/* The kernel has been told of it, or has forgotten it that often. */
void node_looked_up(struct node_table *table, struct node *node);
void node_forget(struct node_table *table, uint64_t id, uint64_t lookups);

/*
 * A file was seen as `name` in `parent`, where it is, or is not, a protected image under another
 * name. -ESTALE when that contradicts what is known of the directories above.
 */
int node_seen(struct node_table *table, struct node *node, struct node *parent, const char *name, bool is_protected);
bool node_was_protected(struct node_table *table, struct node *node);

/*
 * The path beneath the images directory of `name` in a directory; the caller frees. NULL when out
 * of memory.
 */
char *node_path(struct node_table *table, struct node *directory, const char *name);

/*
 * The scratch of a NODE_SCRATCH, with a reference: the one it was made for, or NULL when the disk
 * has another by now and nobody has this one open.
 */
struct scratch *node_scratch(struct node_table *table, struct node *node);

/* A descriptor on it is open: its scratch (NULL for other nodes) is kept until node_closed(). */
void node_opened(struct node_table *table, struct node *node, struct scratch *scratch);
void node_closed(struct node_table *table, struct node *node);

/*
 * A name of this file is about to go, the last one perhaps: where it is open, its inode goes into
 * the descriptor store, so that those who have it open still find it in the next daemon.
 */
void node_loses_name(struct node_table *table, dev_t device, ino_t inode);
char *node_store_name(uint64_t id); /* its name there; the caller frees */

/* The inode number that the mount shows for what is ours, and no real file has. */
uint64_t node_own_inode(enum node_kind kind, uint64_t serial);

#endif
