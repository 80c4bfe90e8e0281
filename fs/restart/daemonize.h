/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Going into the background. The command returns when the mount answers, or fails with the reason
 * why it never will.
 */
#ifndef REVERTFS_RESTART_DAEMONIZE_H
#define REVERTFS_RESTART_DAEMONIZE_H

/*
 * Fork. In the child, which is the daemon, this returns 0 at once, with a descriptor for
 * daemonize_ready(); its stderr is still the command's, so that a failure can be explained there.
 * In the parent it returns 1 as soon as the child is ready or has ended; *ret_status is the exit
 * status for the command. A negative errno when nothing was forked.
 */
int daemonize_enter(int *ret_ready_fd, int *ret_status);

/*
 * daemonize_ready() has the parent exit and closes the descriptor; both drop the terminal: stderr
 * goes to /dev/null.
 */
void daemonize_ready(int ready_fd);
void daemonize_leave_terminal(void);

#endif
