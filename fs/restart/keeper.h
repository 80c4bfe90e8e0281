/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keeper: a process that does for a daemon what systemd would, where there is none (`-o
 * keeper`).
 *
 * It keeps the descriptors that the daemon stores (fdstore.h) and starts a new one, with these,
 * whenever one ends unasked; so it does little, allocates next to nothing, and never touches a
 * file. The daemon is its child, in the same program started anew, so that a new version is taken
 * up.
 */
#ifndef REVERTFS_RESTART_KEEPER_H
#define REVERTFS_RESTART_KEEPER_H

#include <stdbool.h>

/*
 * The exit status of a daemon that wants to be started again, and leaves its mount. Not 0: systemd
 * takes it for a failure too.
 */
#define KEEPER_AGAIN 75

/*
 * Be the keeper of daemons that are started with these arguments, in this directory (consumed):
 * paths may be relative to it. `ready_fd` is for daemonize_ready(), or -1. Returns what to exit
 * with, when the last daemon has ended, or the first could not start (it has said why).
 */
int keeper_run(char **argv, int directory, bool in_background, int ready_fd);

/* In the daemon: whether it has a keeper, and whether that has no terminal. */
bool keeper_is_parent(bool *ret_in_background);

#endif
