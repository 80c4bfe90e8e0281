/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls that a program in a box may not make: sockets, other processes, modes, owners
 * and attributes of files, opening a file for nothing but to empty it, mounts and namespaces.
 * Landlock does not cover these, or has not always. All others are allowed, since programs and
 * libraries change which ones they use.
 */
#ifndef REVERTFS_BASE_BOX_FILTER_H
#define REVERTFS_BASE_BOX_FILTER_H

#include <linux/filter.h>
#include <stddef.h>

#define BOX_FILTER_MAX 512
#define BOX_SELF_MAX 4

struct box_filter {
	struct sock_filter code[BOX_FILTER_MAX];
	size_t length;
	size_t self[BOX_SELF_MAX]; /* the instructions that compare with the process's own pid */
	size_t self_count;
};

void box_filter_make(struct box_filter *filter);

/*
 * Have the kernel obey the filter, in this process and its children: async-signal-safe. The process
 * has given up new privileges (PR_SET_NO_NEW_PRIVS). 0 or a negative errno.
 */
int box_filter_enter(struct box_filter *filter);

#endif
