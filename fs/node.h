/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodeids: the numbers by which the kernel speaks of files, and what each stands for.
 *
 * A nodeid comes from a counter and is never used twice, so a number can outlive its node: it then means nothing
 * (-ESTALE, the kernel looks the name up again) instead of something else. The kernel may use a
 * nodeid from the LOOKUP that told it until it has forgotten as many lookups; that count only decides when memory is
 * given back. Should it ever be too low, the answer is -ESTALE, and too high costs one node.
 */
#ifndef REVERTFS_NODE_H
#define REVERTFS_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "disk.h"
#include "passage.h"
#include "view.h"

#define NODE_ROOT 1 /* the kernel's number for the root of every mount */

enum node_kind {
	NODE_FILE,    /* anything that lies in the images directory */
	NODE_SCRATCH, /* what a disk's name served when it was looked up */
	NODE_VIEW,    /* .revertfs/images/NAME or .revertfs/layers/ID */
	NODE_VIEWS,   /* a directory of .revertfs/images, by its path beneath that */
	NODE_FIXED,   /* .revertfs and what is always in it; `fixed` says which */
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

	/* NODE_FILE: what it is, and a descriptor opened with O_PATH that pins the inode, so that its number stays its own. */
	dev_t device;
	ino_t inode;
	mode_t type;
	int fd;

	uint64_t serial; /* NODE_SCRATCH, NODE_VIEW: of the thing itself; NODE_FIXED: see node_of_fixed() */
	struct disk *disk;
	struct view *view;
	char *path; /* NODE_VIEWS */

	/* Guarded by the table's lock from here on. */
	bool was_protected; /* NODE_FILE: a protected image when last looked up, so under another name than the disk's */
	struct node *parent; /* NODE_FILE, directories: where it was last seen, a reference; NULL at the root */
	char *name;          /* and as what */
	struct scratch
		*pinned;  /* NODE_SCRATCH: held while a descriptor is open, so that a reset frees the space at once */
	unsigned opens;   /* how many there are */
	uint64_t lookups; /* the kernel's count */
	unsigned references; /* ours: requests at work, handles, children */
	struct node *next_by_id, *next_by_key;

	struct passage passage; /* guarded by struct passages */
};

struct node_table;

/* `root_fd` is the images directory, borrowed. */
int node_table_new(int root_fd, struct node_table **ret_table);
void node_table_free(struct node_table *table); /* NULL is fine */

/* The node of a number, with a reference, or NULL. */
struct node *node_get(struct node_table *table, uint64_t id);
struct node *node_ref(struct node_table *table, struct node *node);
void node_put(struct node_table *table, struct node *node); /* NULL is fine */

/*
 * The node of a thing, found or made, with a reference. What is handed over (a descriptor, references on a disk or
 * view) is the node's or gone when the call returns, whether it fails or not.
 */
int node_of_file(struct node_table *table, int fd, const struct stat *st, struct node **ret_node);
int node_of_scratch(struct node_table *table, struct disk *disk, uint64_t serial, struct node **ret_node);
int node_of_view(struct node_table *table, struct view *view, struct node **ret_node);
int node_of_views(struct node_table *table, const char *path, struct node **ret_node);

/* Several nodes may stand for the same fixed file: one for each serial. */
int node_of_fixed(struct node_table *table, enum node_fixed fixed, uint64_t serial, struct node **ret_node);

/* The kernel has been told of it, or has forgotten it that often. */
void node_looked_up(struct node_table *table, struct node *node);
void node_forget(struct node_table *table, uint64_t id, uint64_t lookups);

/*
 * A file was seen as `name` in `parent`, where it is, or is not, a protected image under another name. -ESTALE when that
 * contradicts what is known of the directories above.
 */
int node_seen(struct node_table *table, struct node *node, struct node *parent, const char *name, bool is_protected);
bool node_was_protected(struct node_table *table, struct node *node);

/* The path beneath the images directory of `name` in a directory; the caller frees. NULL when out of memory. */
char *node_path(struct node_table *table, struct node *directory, const char *name);

/*
 * The scratch of a NODE_SCRATCH, with a reference: the one it was made for, or NULL when the disk has another by now and nobody
 * has this one open. node_opened() keeps it until node_closed().
 */
struct scratch *node_scratch(struct node_table *table, struct node *node);
void node_opened(struct node_table *table, struct node *node, struct scratch *scratch);
void node_closed(struct node_table *table, struct node *node);

#endif
