/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keeper: a process that does for a daemon what systemd would do, on hosts without systemd
 * (`-o keeper`).
 *
 * It holds the descriptors that the daemon stores (fdstore.h). Whenever a daemon ends unasked, it
 * starts another one with these descriptors. Everything depends on it, so it does little, allocates
 * next to nothing, and touches no file of the mount or the state directory. Each daemon is its
 * child, and runs the program file that is installed by then, which may be a newer version.
 */
#ifndef REVERTFS_RESTART_KEEPER_H
#define REVERTFS_RESTART_KEEPER_H

#include <stdbool.h>

/*
 * The exit status of a daemon that leaves its mount to the next one. It is not 0, so that systemd
 * (Restart=on-failure) starts that one too.
 */
#define KEEPER_AGAIN 75

/*
 * Keep daemons that are started with these arguments in this directory (a descriptor, consumed),
 * which their paths may be relative to. `ready_fd` is for daemonize_ready(), or -1. Returns when
 * the last daemon has ended, or the first could not start (it has said why), with the exit status.
 */
int keeper_run(char **argv, int directory, bool in_background, int ready_fd);

/* In the daemon: whether a keeper has started it, and whether that runs in the background. */
bool keeper_is_parent(bool *ret_in_background);

#endif
