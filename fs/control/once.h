/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that must not be done twice, where a daemon is killed before it has answered and the
 * kernel asks the next one again (replay.h).
 *
 * Most may be: a second reset finds a pristine disk. Of the others it is noted, before they begin,
 * what they are about to change; whether that has changed tells whether they were done. Nothing
 * else can have changed it meanwhile: the state directory is what the killed daemon left.
 */
#ifndef REVERTFS_CONTROL_ONCE_H
#define REVERTFS_CONTROL_ONCE_H

#include "disk.h"
#include "replay.h"

/* What tells that a command was done. */
enum effect {
	EFFECT_NONE,           /* nothing: it may be done again */
	EFFECT_NEW_SCRATCH,    /* commit: the scratch has become a layer */
	EFFECT_NEW_HEAD,       /* undo: the head is another, and what was the head is still there, and not folding */
	EFFECT_MAKES_DISK,     /* protect, clone */
	EFFECT_REMOVES_DISK,   /* unprotect */
	EFFECT_MAKES_SNAPSHOT, /* snapshot */
	EFFECT_REMOVES_SNAPSHOT,
	EFFECT_MAKES_FILE, /* export */
};

struct once_command {
	enum effect effect;
	unsigned line;        /* of the write that it came in, from 0 */
	const char *name;     /* the disk; of a clone, the new one */
	const char *snapshot; /* or NULL */
	const char *file;     /* or NULL */
};

/*
 * How many lines of the write an earlier daemon has done for certain, and has answered had it come
 * to that.
 */
unsigned once_lines_done(struct disks *disks, struct replay *replay);

/* What can still be told of what was made: "" where it is not known, or nothing was. */
struct once_result {
	char layer[LAYER_ID_SIZE];            /* commit, snapshot */
	char snapshot[SNAPSHOT_NAME_MAX + 1]; /* undo: under which the old head is kept */
};

/*
 * Whether this line was done, when it is the one that the earlier daemon was at; then *ret_result
 * is set. Else it is noted, to be done now.
 */
bool once_was_done(struct disks *disks, struct replay *replay, const struct once_command *command,
		   struct once_result *ret_result);

#endif
