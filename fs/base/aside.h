/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of snapshots that revertfs makes by itself, when it seals something aside instead of
 * throwing it away: WORD-TIME. The daemon gives them, and revertctl tells them from an
 * administrator's own. Here are names alone, no disks; the two programs share no other folder.
 */
#ifndef REVERTFS_BASE_ASIDE_H
#define REVERTFS_BASE_ASIDE_H

#include <stdbool.h>

/* The WORD of each. */
#define ASIDE_BEFORE_REVERT "before-revert" /* a scratch with data, at an undo or revert */
#define ASIDE_CRASH "crash"                 /* a leftover of a disk with leftover=keep */
#define ASIDE_SAVED "saved"                 /* the hold of a saved guest that was started afresh */
#define ASIDE_SNAPSHOTS "snapshots"         /* a scratch with internal snapshots, at a reset */
#define ASIDE_UNCOMMITTED "uncommitted"     /* what was to be committed, and could not be */
#define ASIDE_UNDECIDED "undecided"         /* what may have been to be committed: the flag could not be read */
#define ASIDE_UNDONE "undone"               /* the head that an undo or revert left */
#define ASIDE_UNSYNCED "unsynced"           /* the same, but the host crashed before it was synced */
#define ASIDE_UNHOOKED "unhooked"           /* written without a session */

/* Whether it begins as one of these names does. */
bool aside_is_name(const char *snapshot);

#endif
