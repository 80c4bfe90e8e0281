/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Completion for the shells: what could stand at the end of an unfinished command line.
 *
 * What the table of subcommands knows is found here. Files, disks and the like are for the caller.
 */
#ifndef REVERTFS_CTL_CLI_COMPLETION_H
#define REVERTFS_CTL_CLI_COMPLETION_H

#include "subcommand.h"

/*
 * What the caller is to list as well. COMPLETE_POINTS: the snapshots of unfinished->disk.
 * COMPLETE_REMAINS: domains, also those that have just a file for the hook, and disks.
 */
enum completion_kind {
	COMPLETE_NOTHING,
	COMPLETE_FILES,
	COMPLETE_DISKS,
	COMPLETE_POINTS,
	COMPLETE_DOMAINS,
	COMPLETE_REMAINS,
	COMPLETE_DISKS_AND_DOMAINS,
	COMPLETE_MOUNTS
};

/* A list of texts, owned. */
struct candidates {
	char **items;
	size_t count;
};

/*
 * What was understood of an unfinished line. Texts are borrowed from the words. Must not be copied:
 * in_front may point to the buffer.
 */
struct unfinished {
	enum completion_kind kind; /* what to list as well */
	const char *mount, *connect;
	const char *disk;     /* the first word of the subcommand */
	const char *prefix;   /* what has been typed of the value */
	const char *in_front; /* what stands in front of each candidate: "--to=", or "" */
	char buffer[128];     /* for in_front */
};

/*
 * Understand the words of a line. The last word is being typed, and may be "". Adds the candidates
 * that the table knows and that begin with what was typed.
 */
void completion_parse(const struct subcommand *const *subcommands, const char *const *words, size_t count,
		      struct unfinished *ret_unfinished, struct candidates *candidates);

/* Add a candidate if it begins with what was typed. The text is copied. */
void candidates_add(struct candidates *candidates, const struct unfinished *unfinished, const char *text);
void candidates_clear(struct candidates *candidates); /* for CLEANUP() */

#endif
