/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handover: memory that a daemon leaves to the next one, which maps it too.
 *
 * Where /dev/fuse is stored (fdstore.h), the mount outlives its daemon, whichever instruction that
 * ends at, and the kernel goes on using the nodeids and handles that it was given. So each of them
 * is written down here before it is sent to the kernel: in a slot of a memfd, which is stored
 * together with /dev/fuse. The next daemon makes nodes and handles of the slots (tree_restore.c).
 *
 * The first member of a slot is a number, and the slot is valid while that is not 0. The number is
 * written last and cleared first, so a slot that was half-written at a SIGKILL is invalid. Each
 * kind of slot has one size and a limited count; an object for which there was no slot does not
 * survive its daemon. Nothing here is ever synced: it ends with the boot, as the mount does.
 *
 * The structs are a format, the layout: every version of revertfs with the same HANDOVER_LAYOUT
 * reads them, and what was left in an earlier layout is converted (layout.h).
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
 * A file handle of name_to_handle_at(2): with it the inode is opened again, whatever its names are
 * by then.
 */
#define HANDOVER_FILE_MAX 64
struct handover_file {
	uint32_t length; /* 0: its filesystem has no file handles */
	int32_t type;
	unsigned char bytes[HANDOVER_FILE_MAX];
};

#define HANDOVER_LAYOUT 2               /* goes up with any change of what follows: layout.h */
#define HANDOVER_UNKNOWN ((uint32_t)-1) /* a uid or gid that was not noted; nobody has it */

struct handover_node {
	uint64_t id;
	uint64_t lookups;
	uint64_t serial;
	uint64_t device, inode; /* of a file or a scratch */
	/*
	 * Of a file: the nodeid of the directory in which it was last seen. Of a view:
	 * view_contents().
	 */
	uint64_t parent;
	uint32_t kind;
	uint32_t fixed; /* enum node_fixed; of a view or scratch: 1 when it is for onlookers */
	int32_t backing_id;
	uint8_t was_protected, is_image;
	uint8_t labelled;  /* a view: chown or chmod was called on it, the next three say with what */
	uint8_t restoring; /* tree_restore.c: it is being restored, or it is not known where it lies */
	uint32_t label_uid, label_gid, label_mode;
	uint32_t owner; /* the uid that it counts to */
	struct handover_file file;
	/* A file's last name, a scratch's disk, a view's image or layer, a directory of views. */
	char name[NAME_MAX + 1];
};

/*
 * Of the opener's supplementary groups, those that have room: to know fewer only lessens its
 * rights.
 */
#define HANDOVER_GROUPS_MAX 32
struct handover_handle {
	uint64_t number;
	uint64_t opened_by; /* the request that asked for it */
	uint64_t node;
	uint32_t kind;
	int32_t flags;     /* of open(2) */
	uint32_t uid, gid; /* of the opener */
	uint32_t group_count;
	uint32_t groups[HANDOVER_GROUPS_MAX]; /* of a handle of the control file */
	/*
	 * A write by it that began before an upgrade from layout 1: the opener is not known, and
	 * the write goes on nevertheless, whenever it comes again. Of a view or scratch: struct
	 * onlooker's `seen`, when it is an onlooker's.
	 */
	uint64_t vouched;
};

/* A request that must not be done twice, and what the daemon found before it did it (replay.h). */
struct handover_request {
	uint64_t unique;
	uint64_t device, inode;             /* the file of that name; 0, 0: there was none */
	uint64_t other_device, other_inode; /* the same of a second name */
	uint32_t restarts;                  /* of the daemon that noted it */
	uint32_t line;                      /* of a write of several commands: which command (once.h) */
	uint8_t is_disk;                    /* a disk had the name */
	uint8_t has_snapshot;               /* the disk had the snapshot that the command names; its head had a name */
	uint8_t unused[2];
	char head[36]; /* the disk's head */
};

/* The control file's answer on a handle, which its caller may not have read yet. */
#define HANDOVER_ANSWER_MAX 8000
struct handover_answer {
	uint64_t handle;
	int64_t start; /* the offset in the control file at which it begins */
	uint32_t length;
	char text[HANDOVER_ANSWER_MAX];
};

/*
 * What was decided for each disk of a prepare or release, before any was changed (replay.h). It
 * lies in the slot of an answer, whose handle no handle has: daemons that do not know it drop it.
 */
#define HANDOVER_DECISION (1ULL << 63)
#define HANDOVER_DECIDED_MAX 35
struct handover_decided {
	uint64_t device, inode; /* of the disk's directory in the state directory */
	/* What is to be done: numbers of the enums in session/participant.h. */
	uint8_t start, leftover; /* a prepare */
	uint8_t outcome;         /* a release */
	uint8_t failed;          /* ... that could not do it; the session is over nevertheless */
	uint8_t consumed;        /* a prepare: what arms the session is used up */
	uint8_t unused[3];
	char target[64]; /* a release: of the session */
	char name[136];  /* under which something is sealed aside */
};
struct handover_decision {
	uint64_t request;        /* HANDOVER_DECISION, and the request's number */
	uint32_t restarts, line; /* as of a request */
	uint32_t count;
	uint32_t announced; /* a restore had been announced */
	struct handover_decided disks[HANDOVER_DECIDED_MAX];
};

/* A restore that was announced (session.h). */
struct handover_announcement {
	uint64_t when; /* monotonic ms, the same clock for every daemon of a boot */
	char uuid[40];
};

/* How many nodes and handles there are slots for. */
#define HANDOVER_NODES (1U << 20)
#define HANDOVER_HANDLES (1U << 17)

enum handover_kind {
	HANDOVER_NODE,
	HANDOVER_HANDLE,
	HANDOVER_REQUEST,
	HANDOVER_ANSWER,
	HANDOVER_ANNOUNCEMENT,
	HANDOVER_KINDS
};

/*
 * A request at which a daemon took a fault (faults.h). A handler of signals fills the slot.
 */
#define HANDOVER_FAULTS_MAX 64
struct handover_fault {
	uint64_t unique; /* of the request; 0: the slot is free */
	uint32_t count;  /* of daemons that took one */
	uint32_t opcode;
	uint32_t restarts; /* of the last of them */
	uint32_t unused;
};

/* About the mount. The members up to `used` keep their places in all layouts. */
struct handover_header {
	char magic[8];
	uint32_t layout;
	uint32_t restarts;             /* how many daemons there were before this one */
	uint64_t id;                   /* of the mount, for all of its daemons; random, so no other mount has it */
	uint32_t last_backing_id;      /* the largest that the kernel has given (passthrough.h) */
	uint32_t used[HANDOVER_KINDS]; /* slots of each kind that were ever taken; all behind them are empty */
	uint64_t device;               /* of the mount */
	struct handshake handshake;    /* the kernel's first message, and what it was granted */
	char images[PATH_MAX], mount[PATH_MAX], state[PATH_MAX];
	uint32_t converted; /* `restarts` of the daemon that converted it from an earlier layout, or 0 */
	struct handover_fault faults[HANDOVER_FAULTS_MAX];
};

struct handover;

/* Make an empty one for a fresh mount. 0 or a negative errno. */
int handover_new(struct handover **ret_handover);

/*
 * Map the handover that an earlier daemon left, and count one more restart in it. The descriptor is
 * consumed. -EPROTO with a sentence when it is damaged or of another layout: see layout_take().
 */
int handover_adopt(int fd, struct handover **ret_handover, struct sentence *error);
void handover_free(struct handover *handover); /* unmaps it; the next daemon still finds the slots. NULL is fine */

int handover_fd(const struct handover *handover); /* borrowed */
struct handover_header *handover_mount(struct handover *handover);

/*
 * The first of the numbers that this daemon may give: no earlier daemon of the mount has given one
 * from here on.
 */
uint64_t handover_first_number(struct handover *handover);

/*
 * Take an empty slot; all its bytes are 0. NULL when there is none: then the object does not
 * survive the daemon, and all else works. The caller fills the slot and makes it valid by writing
 * its first member with handover_publish(). handover_give() invalidates the slot and gives it back.
 */
void *handover_take(struct handover *handover, enum handover_kind kind);
void handover_give(struct handover *handover, enum handover_kind kind, void *slot); /* NULL is fine */
void handover_publish(uint64_t *first, uint64_t value);

/* Call `visit` for each valid slot, which it may give back. */
void handover_visit(struct handover *handover, enum handover_kind kind, void (*visit)(void *context, void *slot),
		    void *context);

/* Whether a handle on this file is written down: it was open when the earlier daemon ended. */
bool handover_has_open(struct handover *handover, dev_t device, ino_t inode);

/* Note the file handle of a descriptor, which may be of any kind; length 0 where there is none. */
void handover_file_note(int fd, struct handover_file *ret_file);

/*
 * Open (O_PATH) the inode of a file handle in the filesystem in which `directory` lies. -ESTALE
 * when the inode is gone.
 */
int handover_file_open(const struct handover_file *file, int directory);

#endif
