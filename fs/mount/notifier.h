/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that asks and tells the kernel about nodes, and answers no requests.
 *
 * The write(2) of a notification can wait: for the kernel to release an inode, whose pages are
 * written back first, by requests to this daemon. On a thread that answers requests it could wait
 * for itself. It needs no queue: what there is to ask is fetched from the table of nodes, a few
 * hundred at a time.
 */
#ifndef REVERTFS_MOUNT_NOTIFIER_H
#define REVERTFS_MOUNT_NOTIFIER_H

struct node_table;
struct notifier;

/* Both are borrowed. 0 or a negative errno. */
int notifier_start(struct node_table *nodes, int fuse_fd, struct notifier **ret_notifier);

/*
 * Waits for the thread's end: call it while requests are answered, or none can come. NULL is fine.
 */
void notifier_stop(struct notifier *notifier);

#endif
