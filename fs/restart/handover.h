/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a daemon leaves to the next one: a memory that both of them map.
 *
 * Where somebody keeps /dev/fuse (fdstore.h), the mount outlives its daemon, at whatever
 * instruction that ends, and the kernel goes on to use the nodeids and handles that it was told of.
 * So each is written down here before the kernel hears of it: in a slot of a memfd, which is kept
 * beside /dev/fuse. tree_restore.c makes nodes and handles of the slots again.
 *
 * A slot begins with a number that is never 0 while the slot means something. It is written last
 * and cleared first, so that a slot which a SIGKILL caught half-written means nothing. Slots of a
 * kind have one size and a largest number; where they run out, what has none does not survive its
 * daemon. Nothing here is ever synced: it ends with the boot, as the mount does.
 */
#ifndef REVERTFS_RESTART_HANDOVER_H
#define REVERTFS_RESTART_HANDOVER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "handshake.h"
#include "util.h"

/*
 * An inode, so that it can be opened again whatever has become of its names: open_by_handle_at(2).
 */
#define HANDOVER_FILE_MAX 64
struct handover_file {
	uint32_t length; /* 0: its filesystem has no such thing */
	int32_t type;
	unsigned char bytes[HANDOVER_FILE_MAX];
};

struct handover_node {
	uint64_t id;
	uint64_t lookups;
	uint64_t serial;
	uint64_t device, inode; /* of a file or a scratch */
	uint64_t parent;        /* of a file: where it was last seen, by its nodeid */
	uint32_t kind, fixed;
	int32_t backing_id;
	uint8_t was_protected, is_image;
	uint8_t labelled; /* a view's label */
	uint8_t restoring;
	uint32_t label_uid, label_gid, label_mode;
	struct handover_file file;
	char name[NAME_MAX +
		  1]; /* a file's last name, a scratch's disk, a view's image or layer, a directory of views */
};

struct handover_handle {
	uint64_t number;
	uint64_t opened_by; /* the request that asked for it */
	uint64_t node;
	uint32_t kind;
	int32_t flags; /* of open(2) */
};

/* A request that must not be done twice, and what was found before it was done (replay.h). */
struct handover_request {
	uint64_t unique;
	uint64_t device, inode;             /* what the name stood for; 0, 0: nothing */
	uint64_t other_device, other_inode; /* the same of a second name */
	uint32_t restarts;                  /* of the daemon that noted it */
	uint32_t line;                      /* of a write of several commands: which one (once.h) */
	uint8_t is_disk;                    /* the name was a disk's */
	uint8_t has_snapshot;               /* which had this snapshot */
	uint8_t announced;                  /* a prepare: a restore was expected */
	uint8_t unused;
	char head[36]; /* the disk's head; a prepare: how each disk starts */
};

/* What the control file answered on a handle, for whoever has not read it yet. */
#define HANDOVER_ANSWER_MAX 8000
struct handover_answer {
	uint64_t handle;
	int64_t start; /* where in the file it begins */
	uint32_t length;
	char text[HANDOVER_ANSWER_MAX];
};

/* A restore that was announced (session.h). */
struct handover_announcement {
	uint64_t when; /* monotonic ms, the same clock for every daemon of a boot */
	char uuid[40];
};

enum handover_kind {
	HANDOVER_NODE,
	HANDOVER_HANDLE,
	HANDOVER_REQUEST,
	HANDOVER_ANSWER,
	HANDOVER_ANNOUNCEMENT,
	HANDOVER_KINDS
};

/* Of the mount itself; the members up to `layout` stay where they are in all versions. */
struct handover_header {
	char magic[8];
	uint32_t layout;
	uint32_t restarts;             /* how many daemons there were before this one */
	uint64_t id;                   /* of this mount, as long as it lasts; by chance no other has it */
	uint32_t last_backing_id;      /* the largest that the kernel has given */
	uint32_t used[HANDOVER_KINDS]; /* slots that were ever used; those behind are empty */
	uint64_t device;               /* of the mount */
	struct handshake handshake;    /* what the kernel said once, and what it was answered */
	char images[PATH_MAX], mount[PATH_MAX], state[PATH_MAX];
};

struct handover;

/* Empty; `fd` of it is handover_fd(). */
int handover_new(struct handover **ret_handover);

/*
 * The one that an earlier daemon left, and `restarts` one more; the descriptor is consumed. -EPROTO
 * with a sentence when it is not one, or another version's.
 */
int handover_adopt(int fd, struct handover **ret_handover, struct sentence *error);
void handover_free(struct handover *handover); /* unmapped; the slots stay. NULL is fine */

int handover_fd(const struct handover *handover); /* borrowed */
struct handover_header *handover_mount(struct handover *handover);

/* Numbers that no earlier daemon of this mount has given: they count up from here. */
uint64_t handover_first_number(struct handover *handover);

/*
 * An empty slot, zeroed, the caller's until handover_give(); NULL when there is none, which the
 * caller can live with. What it is published by is the caller's first store to its first member,
 * with handover_publish().
 */
void *handover_take(struct handover *handover, enum handover_kind kind);
void handover_give(struct handover *handover, enum handover_kind kind, void *slot); /* NULL is fine */
void handover_publish(uint64_t *first, uint64_t value);

/* Call `visit` for each slot that means something. It may give the slot back. */
void handover_visit(struct handover *handover, enum handover_kind kind, void (*visit)(void *context, void *slot),
		    void *context);

/* Whether somebody had this file open, in the mount, when the earlier daemon ended. */
bool handover_has_open(struct handover *handover, dev_t device, ino_t inode);

/* The inode of a descriptor, of any kind. */
void handover_file_note(int fd, struct handover_file *ret_file);

/*
 * A descriptor (O_PATH) on it, found in the filesystem that `directory` lies in; -ESTALE when it is
 * gone.
 */
int handover_file_open(const struct handover_file *file, int directory);

#endif
