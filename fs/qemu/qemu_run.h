/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One run of qemu-img, the only place that starts it.
 *
 * qemu-img follows a qcow2 header: to a data file, say, which it opens with root's rights. So right
 * before each run the header of every qcow2 file that it is to read is looked at
 * (qcow2_check_alone()), and it runs in a box (box.h), since the file's owner may change the header
 * meanwhile. Where the kernel has no Landlock, only a qcow2 file that nobody but root may write is
 * given to it. unboxed=yes gives up the box, and this too.
 */
#ifndef REVERTFS_QEMU_QEMU_RUN_H
#define REVERTFS_QEMU_QEMU_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"
#include "program.h"
#include "util.h"

/* One file of a chain, whose top comes first. The descriptors are borrowed. */
struct qemu_node {
	int fd;
	const char *format; /* "qcow2" or "raw" */
};

/* Whether qemu-img runs in a box: the kernel has Landlock, and the administrator wants it. */
bool qemu_is_boxed(const struct options *options);

/* At start: what is not as it should be goes to the log. */
void qemu_log_box(const struct options *options);

/*
 * program_run() for qemu-img. `chain` is what it is to read, `made` (NULL: nothing) what it makes;
 * all of these are handed over already. `cpu_s`: how much processor time it may take, 0 where that
 * depends on the data. Also -EBADMSG: a header leads elsewhere; -EACCES: others may write a file,
 * and there is no Landlock; -EPERM: Landlock is there and may not be used.
 */
int qemu_run(const struct options *options, struct program *run, const struct qemu_node *chain, size_t length,
	     const struct qemu_node *made, unsigned cpu_s, struct sentence *error);

#endif
