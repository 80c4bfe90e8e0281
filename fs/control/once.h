/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that must not be done twice, although a daemon that is killed before it has answered
 * leaves the request to the next one (replay.h).
 *
 * Most commands may be done twice: a second reset finds a pristine disk. For each of the others it
 * is noted, before it begins, what it is about to change. When the next daemon finds that changed,
 * the command was done. Nothing else can have changed it meanwhile, for the state directory is what
 * the killed daemon left.
 */
#ifndef REVERTFS_CONTROL_ONCE_H
#define REVERTFS_CONTROL_ONCE_H

#include "caller.h"
#include "disk.h"
#include "replay.h"

/* What tells that a command was done. */
enum effect {
	EFFECT_NONE,           /* nothing: it may be done again */
	EFFECT_KEEPS,          /* revert: it may be done again, and then once_add_kept() says what was kept */
	EFFECT_NEW_SCRATCH,    /* commit: the scratch has become a layer */
	EFFECT_NEW_HEAD,       /* undo: another layer is the head; the old head is there still, and not folding */
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
	const char *file;     /* or NULL: the path that an export is to be made at */
	const struct caller *caller;
};

/*
 * How many lines of the write an earlier daemon has done for certain: they need not be looked at.
 */
unsigned once_lines_done(struct disks *disks, struct replay *replay);

/* What can still be told of what was made: "" where it is not known, or nothing was. */
struct once_result {
	char layer[LAYER_ID_SIZE];     /* commit, snapshot */
	char consistency[TARGET_SIZE]; /* snapshot */
	struct move_result kept;       /* undo */
	struct sentence warning;       /* commit, snapshot */
};

/*
 * Where an undo or a revert comes again: what an earlier daemon has kept for it, if it is not in
 * the result already.
 */
void once_add_kept(struct disks *disks, struct replay *replay, const char *name, struct move_result *result);

/*
 * Whether an earlier daemon did this line: then *ret_result is set. Else what the line is about to
 * change is noted, and the caller does it.
 */
bool once_was_done(struct disks *disks, struct replay *replay, const struct once_command *command,
		   struct once_result *ret_result);

#endif
