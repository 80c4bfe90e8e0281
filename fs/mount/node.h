/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodeids: the numbers by which the kernel speaks of files, and the nodes that they stand for.
 *
 * A nodeid comes from a counter and is never used twice, so a number can outlive its node: it then
 * means nothing (-ESTALE, and the kernel looks the name up again) instead of something else. The
 * kernel may use a nodeid from the reply to a LOOKUP until it has forgotten as many lookups as it
 * was sent. That count only decides when memory is freed: where it is too low, the answer is
 * -ESTALE; where it is too high, one node stays.
 *
 * Each node is written down for the next daemon (handover.h) before the kernel gets its number. The
 * count of a node that was inherited from an earlier daemon may be wrong, since requests that the
 * daemon had read and not yet counted are lost; so the kernel is asked whether it still has the
 * node.
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
	NODE_SCRATCH,          /* the scratch that a disk had when its name was looked up */
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

/* Set by the constructor and not changed later, except for what a lock guards. */
struct node {
	uint64_t id;
	enum node_kind kind;
	enum node_fixed fixed;

	/*
	 * NODE_FILE: its identity, and a descriptor opened with O_PATH. While that is open, no
	 * other file gets the inode number.
	 */
	dev_t device; /* device and inode: of a NODE_SCRATCH, too */
	ino_t inode;
	mode_t type;
	int fd;

	uint64_t serial; /* NODE_SCRATCH, NODE_VIEW: the scratch's or view's; NODE_FIXED: see node_of_fixed() */
	struct disk *disk;
	struct view *view;
	char *path; /* NODE_IMAGES_DIRECTORY: beneath .revertfs/images */

	/* Guarded by the table's lock from here on. */
	/*
	 * NODE_FILE: it was a protected image when it was last looked up. The disk's own name leads
	 * to the scratch, so the image was reached by another name.
	 */
	bool was_protected;
	struct node *parent; /* NODE_FILE, directories: where it was last seen, a reference; NULL at the root */
	char *name;          /* ... and under which name */
	/*
	 * NODE_SCRATCH: a reference for as long as a descriptor is open. A node without one has
	 * none, so that a reset frees the space at once.
	 */
	struct scratch *pinned;
	unsigned opens;      /* open descriptors of the node, of whatever kind it is */
	uint64_t lookups;    /* that the kernel has not forgotten yet */
	unsigned references; /* the daemon's own: running requests, handles, children */
	struct node *next_by_id, *next_by_key;
	struct handover_node *noted; /* where it is written down, or NULL */
	bool inherited;              /* from an earlier daemon, so `lookups` may be wrong */
	bool stored;                 /* `fd` is in the descriptor store */

	struct passthrough_file passthrough; /* guarded by the lock of struct passthrough */
};

struct node_table;

/* `root_fd` is the images directory, `handover` where nodes are written down; both are borrowed. */
int node_table_new(int root_fd, struct handover *handover, struct node_table **ret_table);

/* `knows` asks the kernel whether it still has a node. It is called without a lock held. */
void node_table_connect(struct node_table *table, bool (*knows)(void *context, uint64_t id), void *context);
unsigned node_count(struct node_table *table);
void node_table_free(struct node_table *table); /* NULL is fine */

/* The node of a number, with a reference, or NULL. */
struct node *node_get(struct node_table *table, uint64_t id);
struct node *node_ref(struct node_table *table, struct node *node);
void node_put(struct node_table *table, struct node *node); /* NULL is fine */

/*
 * Find or make the node of a file, scratch and so on; *ret_node is a reference. The descriptor, or
 * the reference on a scratch or view, is consumed, also on failure. `noted` is where an earlier
 * daemon wrote the node down: the node then gets its number from there, and the slot is consumed.
 * NULL for all others.
 */
int node_of_file(struct node_table *table, int fd, const struct stat *st, struct handover_node *noted,
		 struct node **ret_node);
int node_of_scratch(struct node_table *table, struct scratch *scratch, struct handover_node *noted,
		    struct node **ret_node);
int node_of_view(struct node_table *table, struct view *view, struct handover_node *noted, struct node **ret_node);
int node_of_views(struct node_table *table, const char *path, struct handover_node *noted, struct node **ret_node);

/* Each serial makes another node of the same fixed file. */
int node_of_fixed(struct node_table *table, enum node_fixed fixed, uint64_t serial, struct handover_node *noted,
		  struct node **ret_node);

/*
 * Drop all inherited nodes that the kernel no longer has and nothing refers to. To be called once,
 * after nodes and handles have been restored.
 */
void node_drop_unknown(struct node_table *table);

/* Count one lookup that the kernel is about to be sent; count `lookups` that it has forgotten. */
void node_looked_up(struct node_table *table, struct node *node);
void node_forget(struct node_table *table, uint64_t id, uint64_t lookups);

/*
 * Note that a file was found as `name` in `parent`, and whether it is a protected image. -ESTALE
 * when `parent` is recorded as lying beneath the file.
 */
int node_seen(struct node_table *table, struct node *node, struct node *parent, const char *name, bool is_protected);
bool node_was_protected(struct node_table *table, struct node *node);

/*
 * The path of `name` in a directory, relative to the images directory; the caller frees. NULL when
 * out of memory.
 */
char *node_path(struct node_table *table, struct node *directory, const char *name);

/*
 * The scratch that a NODE_SCRATCH was made for, with a reference. NULL when the disk has another by
 * now and no descriptor on this one is open.
 */
struct scratch *node_scratch(struct node_table *table, struct node *node);

/*
 * Count a descriptor; the node holds the scratch (NULL for other nodes) until the last
 * node_closed().
 */
void node_opened(struct node_table *table, struct node *node, struct scratch *scratch);
void node_closed(struct node_table *table, struct node *node);

/*
 * A name of this file, perhaps its last, is about to be removed. If the file is open, its
 * descriptor is put into the descriptor store, so that the next daemon can still serve it.
 */
void node_loses_name(struct node_table *table, dev_t device, ino_t inode);
char *node_store_name(uint64_t id); /* the descriptor's name there; the caller frees */

/*
 * The inode number that the mount shows for a scratch, a view or a fixed file; no real file has it.
 */
uint64_t node_own_inode(enum node_kind kind, uint64_t serial);

#endif
