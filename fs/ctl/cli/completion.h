/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What could stand at the end of a command line: from the table, and from what there is.
 */
#ifndef REVERTFS_CTL_CLI_COMPLETION_H
#define REVERTFS_CTL_CLI_COMPLETION_H

#include "subcommand.h"

/* What a value can be, beyond what the table says; the second needs the first. */
enum completion_kind {
	COMPLETE_NOTHING,
	COMPLETE_FILES,
	COMPLETE_DISKS,
	COMPLETE_POINTS,
	COMPLETE_DOMAINS,
	COMPLETE_MOUNTS
};

/* A list of texts, owned. */
struct candidates {
	char **items;
	size_t count;
};

/* What was understood of an unfinished line. */
struct unfinished {
	enum completion_kind kind; /* what to list as well */
	const char *mount, *connect;
	const char *disk;     /* the first word, of which points are wanted */
	const char *prefix;   /* what has been typed of the value */
	const char *in_front; /* what must stand in front of each candidate: "--to=", or "" */
	char buffer[128];     /* for in_front */
};

/*
 * Take the words of a line, the last of which is just being typed (may be ""). Adds what the table
 * knows to the candidates, already without what does not fit. Pure.
 */
void completion_parse(const struct subcommand *const *subcommands, const char *const *words, size_t count,
		      struct unfinished *ret_unfinished, struct candidates *candidates);

/* Add one, if it fits what was typed; the text is copied. */
void candidates_add(struct candidates *candidates, const struct unfinished *unfinished, const char *text);
void candidates_clear(struct candidates *candidates); /* for CLEANUP() */

#endif
