/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user's program for a finished export, which may upload it.
 *
 * The program is found in PATH unless its name has a slash, and gets two arguments: the file, and
 * its sidecar. There is no shell and no deadline. The program has its caller's environment, with
 * what is known of the file in REVERTFS_... variables, and its caller's stdin, stdout and stderr;
 * where stdout is for JSON, its stdout is stderr.
 */
#ifndef REVERTFS_CTL_LIVE_POST_HOOK_H
#define REVERTFS_CTL_LIVE_POST_HOOK_H

#include "util.h"

struct post_hook_file {
	const char *file; /* absolute */
	const char *disk;
	/* NULL: unknown, or there is none */
	const char *domain, *target, *snapshot, *format, *consistency, *sha256;
};

/*
 * Whether the program is there, before anything is exported for it: 0, or -ENOENT with a sentence.
 */
int post_hook_check(const char *program, struct sentence *error);

/* Run the program and wait for its end. -EIO with a sentence when it fails; the file stays. */
int post_hook_run(const char *program, const struct post_hook_file *file, bool stdout_is_taken, struct sentence *error);

#endif
