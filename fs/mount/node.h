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
 *
 * The node of a file holds a descriptor for as long as the kernel knows it, which may be long after
 * the last use. So the nodes of files, and those of the control file, are counted to the user who
 * looked them up first (share.h); and of one who has many, those that only the kernel's cache
 * remembers are given back, the least recently looked up first. node_kernel.c has both questions to
 * the kernel, and notifier.h the thread that puts them.
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
#include "share.h"
#include "view.h"

#define NODE_ROOT 1 /* the kernel's number for the root of every mount */

enum node_kind {
	NODE_FILE,             /* anything that lies in the images directory */
	NODE_SCRATCH,          /* the scratch that a disk had when its name was looked up */
	NODE_VIEW,             /* .revertfs/images/NAME, .revertfs/layers/... */
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
	bool for_onlookers; /* NODE_SCRATCH, NODE_VIEW: whoever looked it up is an onlooker (onlookers.h) */

	/*
	 * NODE_FILE: its identity, and a descriptor opened with O_PATH. While that is open, no
	 * other file gets the inode number.
	 */
	dev_t device; /* device and inode: of a NODE_SCRATCH, too; NODE_VIEW: view_device() */
	ino_t inode;
	mode_t type;
	int fd;

	uid_t owner;     /* who looked it up, and pays for it, or HANDOVER_UNKNOWN */
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
	/*
	 * NODE_FILE, directories: where it was last seen, a reference. NULL: the root, or one that
	 * could not be found beneath it when it was restored.
	 */
	struct node *parent;
	char *name;        /* ... and under which name */
	unsigned children; /* nodes of which it is the parent */
	/*
	 * NODE_SCRATCH: a reference for as long as a descriptor is open. A node without one has
	 * none, so that a reset frees the space at once.
	 */
	struct scratch *pinned;
	unsigned opens;      /* open descriptors of the node, of whatever kind it is */
	uint64_t lookups;    /* that the kernel has not forgotten yet */
	uint64_t told;       /* by this daemon, or about to be, less all that it has forgotten since */
	unsigned references; /* the daemon's own: running requests, handles, children */
	struct node *next_by_id, *next_by_key;
	struct handover_node *noted; /* where it is written down, or NULL */
	bool inherited;              /* from an earlier daemon, so `lookups` may be wrong */
	bool loses_name;             /* its last name has gone or is just being removed */
	bool stored;                 /* `fd` is in the descriptor store, as far as that has been told */
	bool telling;                /* a thread tells the store about it, and will look again */
	bool doubtful;               /* in the list of those of which the kernel is to be asked */
	struct node *next_doubtful;
	struct stake stake; /* what the owner pays for it */

	struct passthrough_file passthrough; /* guarded by the lock of struct passthrough */
};

struct node_table;

/*
 * `root_fd` is the images directory, `handover` where nodes are written down; both are borrowed. At
 * most `limit` nodes are counted to users other than root, and `root_limit` to root.
 */
int node_table_new(int root_fd, struct handover *handover, uint64_t limit, uint64_t root_limit,
		   struct node_table **ret_table);

/*
 * `wake` is called when node_next_doubtful() or node_idle() may have something; with the table's
 * lock held, so that it must not call them. NULL: no longer, from the return on.
 */
void node_table_connect(struct node_table *table, void (*wake)(void *context), void *context);
unsigned node_count(struct node_table *table);
void node_table_free(struct node_table *table); /* NULL is fine */

/* The node of a number, with a reference, or NULL. */
struct node *node_get(struct node_table *table, uint64_t id);
struct node *node_ref(struct node_table *table, struct node *node);
void node_put(struct node_table *table, struct node *node); /* NULL is fine */

/* Call `look` for the node of a number, if there is one, with the table's lock held. */
void node_look(struct node_table *table, uint64_t id, void (*look)(void *context, const struct node *node),
	       void *context);

/*
 * Find or make the node of a file, scratch and so on; *ret_node is a reference. The descriptor, or
 * the reference on a scratch or view, is consumed, also on failure. `noted` is where an earlier
 * daemon wrote the node down: the node then gets its number from there, and the slot is consumed.
 * NULL for all others. -ENFILE when the node would be one too many of the owner's; an inherited one
 * is not refused.
 */
int node_of_file(struct node_table *table, int fd, const struct stat *st, uid_t owner, struct handover_node *noted,
		 struct node **ret_node);
int node_of_scratch(struct node_table *table, struct scratch *scratch, bool for_onlookers, struct handover_node *noted,
		    struct node **ret_node);
int node_of_view(struct node_table *table, struct view *view, bool for_onlookers, struct handover_node *noted,
		 struct node **ret_node);
int node_of_views(struct node_table *table, const char *path, struct handover_node *noted, struct node **ret_node);

/* Whether a file has a node. That keeps its filesystem from being unmounted. */
bool node_is_known(struct node_table *table, dev_t device, ino_t inode);

/* Of the same view, the node for onlookers or the one for all others, with a reference; or NULL. */
struct node *node_twin(struct node_table *table, const struct node *node);

/* Each serial makes another node of the same fixed file. */
int node_of_fixed(struct node_table *table, enum node_fixed fixed, uint64_t serial, uid_t owner,
		  struct handover_node *noted, struct node **ret_node);

/*
 * Whether the owner may have one more: 0 or -ENFILE, which is told in the log. Waits for a moment
 * for idle ones to be given back; so it wants no lock held, the one on names included.
 */
int node_has_room(struct node_table *table, uid_t owner);

/*
 * node_kernel.c, for the notifier. A node of which the kernel is to be asked whether it still has
 * it, with a reference that node_correct() takes back; or NULL. *ret_lookups is for node_correct().
 */
struct node *node_next_doubtful(struct node_table *table, uint64_t *ret_lookups);
void node_correct(struct node_table *table, struct node *node, uint64_t lookups, bool known);

/* How far a look at the nodes of all who have too many has come; zeroed when it begins. */
struct idle_round {
	uint64_t from;   /* the owner whose nodes are looked at, or the least that may be next */
	uint64_t left;   /* of his nodes */
	bool found_some; /* somebody had too many */
	bool over;
};

/*
 * The numbers of at most `room` nodes that nothing of the daemon uses, of those who have too many:
 * of one after the other, the oldest first. It may find none of a few thousand and yet not be over.
 */
size_t node_idle(struct node_table *table, struct idle_round *round, uint64_t *ids, size_t room);

/*
 * Doubt all inherited nodes that nothing refers to: those that the kernel no longer has are
 * dropped. To be called once, after nodes and handles have been restored.
 */
void node_doubt_inherited(struct node_table *table);

/* Count one lookup that the kernel is about to be sent; count `lookups` that it has forgotten. */
void node_looked_up(struct node_table *table, struct node *node);
void node_forget(struct node_table *table, uint64_t id, uint64_t lookups);

/*
 * Note that a file was found as `name` in `parent`, and whether it is a protected image. -ESTALE
 * when `parent` is recorded as lying beneath the file; also when it lies thousands of levels deep,
 * and the file is a directory that was moved there and has nodes beneath it.
 */
int node_seen(struct node_table *table, struct node *node, struct node *parent, const char *name, bool is_protected);
bool node_was_protected(struct node_table *table, struct node *node);

/*
 * The path of `name` in a directory, by where that was last seen, relative to the images directory;
 * the caller frees. NULL where it is longer than any disk's name. -ESTALE when the directory is not
 * known to lie in the images directory; -ENOMEM.
 */
int node_path(struct node_table *table, const struct node *directory, const char *name, char **ret_path);

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
 * The last name of this file is about to be removed, or has not been removed after all. As long as
 * a file without a name is open, its descriptor is in the descriptor store, so that the next daemon
 * can still serve it. It may also be opened while the name is removed, or after that.
 */
void node_loses_name(struct node_table *table, dev_t device, ino_t inode);
void node_keeps_name(struct node_table *table, dev_t device, ino_t inode);

/*
 * A node was restored with a descriptor from the store; tell the store what has become of a node,
 * if it does not know: for one that was restored, to be called when its handles have been, too.
 */
void node_was_stored(struct node_table *table, struct node *node);
void node_settle_store(struct node_table *table, struct node *node);
char *node_store_name(uint64_t id); /* the descriptor's name there; the caller frees */

/*
 * The inode number that the mount shows for a scratch, a view or a fixed file; no real file has it.
 */
uint64_t node_own_inode(enum node_kind kind, uint64_t serial);

#endif
