/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Going into the background: the command returns when the mount answers, or with the reason why it
 * never will.
 */
#ifndef REVERTFS_RESTART_DAEMONIZE_H
#define REVERTFS_RESTART_DAEMONIZE_H

/*
 * Fork. In the child, which is the daemon, 0, with a descriptor for daemonize_ready(); stderr is
 * still the caller's, for the reason of a failure. In the parent, 1, when the child is ready or
 * gone: *ret_status is what to exit with.
 */
int daemonize_enter(int *ret_ready_fd, int *ret_status);

/* Let the parent go, and let go of the terminal. */
void daemonize_ready(int ready_fd);
void daemonize_leave_terminal(void);

#endif
