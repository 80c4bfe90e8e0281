/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A child's box: it can open the files that it was handed and the programs of the system, and
 * nothing else.
 *
 * qemu-img reads what guests and users wrote, as root. A header that leads to another file, or a
 * flaw in qemu-img, must not become root's right to read and write whatever there is. In the box:
 *
 *   files         Landlock: the handed descriptors, to write where they are open for writing; /usr,
 *                 /lib*, /nix and /gnu/store, the program and its interpreter to read and run;
 *                 /dev/null. No TCP, and no signals to others where the kernel can say so
 *   rights        no new privileges, no capability but CAP_DAC_OVERRIDE, without which a file of
 *                 another owner cannot be opened again by way of /proc/self/fd
 *   processes     those that it starts are in its process group, which none of them leaves: who
 *                 runs it kills that group when it has ended
 *   system calls  what Landlock does not cover (box_filter.h)
 *   limits        memory, and processor time where the caller says how much
 *
 * box_make() does what may fail or allocates, before fork(); box_enter() and, last before
 * execve(2), box_limit() are what the child does.
 * Landlock is in kernels from 5.13 on, unless it was left out or not chosen at boot. Facts are from
 * the kernel's Documentation/userspace-api/landlock.rst.
 */
#ifndef REVERTFS_BASE_BOX_H
#define REVERTFS_BASE_BOX_H

#include <stddef.h>
#include <stdint.h>

#include "box_filter.h"
#include "util.h"

struct box_limits {
	uint64_t memory; /* bytes of private memory; 0: no limit */
	unsigned cpu_s;  /* seconds of processor time; 0: no limit */
	int landlock;    /* use no later version of Landlock than this, as tests do; 0: the kernel's */
};

struct box {
	int ruleset; /* -1 where the kernel has no Landlock */
	struct box_limits limits;
	struct box_filter filter;
};

/*
 * The version of Landlock's interface; 0 when the kernel has none. A negative errno when it is
 * there and may not be used: -EPERM is a filter of system calls around this process, such as that
 * of a systemd unit.
 */
int box_landlock(void);

/* A box for the program at `path` with these files, which are borrowed. */
int box_make(struct box *box, const char *path, const int *files, size_t count, const struct box_limits *limits,
	     struct sentence *error);

/*
 * Step into the box, for good: async-signal-safe. The files keep their meaning whatever numbers
 * they are given later. A negative errno when the process is not in the box; it must then end.
 */
int box_enter(struct box *box);

/*
 * Set its limits: async-signal-safe. They count what the process has itself, too, and a sanitizer
 * may want more memory at any time, so nothing but execve(2) is to follow. A negative errno.
 */
int box_limit(const struct box *box);

/* For CLEANUP(): close what box_make() has opened. */
void box_clear(struct box *box);

#endif
