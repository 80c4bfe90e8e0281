/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user's program for a finished export: an upload, say.
 *
 * It is one program, found in PATH unless it has a slash, and gets two arguments: the file, and its
 * sidecar. No shell is involved, and there is no deadline. Its environment is the caller's, with
 * what is known of the file in REVERTFS_... variables; so are its stdin and stderr, and its stdout,
 * unless that is for JSON: then it is stderr.
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

/* Before anything is exported for it: whether it is there. */
int post_hook_check(const char *program, struct sentence *error);

/* Run it to its end. -EIO with a sentence when it fails; the file is left alone. */
int post_hook_run(const char *program, const struct post_hook_file *file, bool stdout_is_taken, struct sentence *error);

#endif
