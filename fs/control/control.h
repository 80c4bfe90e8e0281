/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control file: lines in, one JSON object out. Nothing here knows FUSE, so a test can drive it.
 */
#ifndef REVERTFS_CONTROL_CONTROL_H
#define REVERTFS_CONTROL_CONTROL_H

#include <stddef.h>

#include "caller.h"
#include "disks.h"

#define CONTROL_WRITE_MAX 65536 /* bytes in one write */

/*
 * Do the lines of one write, in order, stopping at the first that fails. Blocks until they are
 * done, for as long as a fold takes; -EINTR when interrupted meanwhile (what was queued goes on).
 * Returns 0 or the negative errno of the line that failed; *ret_answer is the JSON object for the
 * last line done, with a newline, NULL only when out of memory; the caller frees it.
 */
int control_run(struct disks *disks, struct caller *caller, const char *text, size_t length, char **ret_answer);

/*
 * The answer to lines that were not looked at: -EPERM, say, since their writer has no say here. The
 * errno is returned; *ret_answer as for control_run().
 */
int control_refuse(const struct caller *caller, int r, const struct sentence *error, char **ret_answer);

/* Have every control_run() that waits look at its caller's `interrupted` again. */
void control_wake(struct disks *disks);

/* What reading the control file shows: the commands, one a line. A static text. */
const char *control_help(void);

#endif
