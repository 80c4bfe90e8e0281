/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Showing what there is, once, or every second.
 */
#ifndef REVERTFS_CTL_DAEMON_SHOW_H
#define REVERTFS_CTL_DAEMON_SHOW_H

#include <stdio.h>

#include "arguments.h"
#include "draw.h"

/* What is shown, of which disk. */
struct view {
	const struct context *context;
	struct style style;
	const char *word; /* as it was named, or NULL */
	char *(*draw)(struct json_object *disk, const struct style *style);
	/*
	 * Shows a word that is no disk (NULL: nobody does): as show(), and *other_shown is set; 0
	 * alone where it is nothing else either.
	 */
	int (*show_other)(const struct view *view, FILE *out, struct sentence *error);
	bool *other_shown;
	bool is_no_disk; /* do not look for a disk */
	bool looks;      /* at the disk's image, before */
	int json_flags;
};

struct view view_of(const struct context *context, const struct arguments *arguments);

/* Of all mounts, of one, of one disk. As run() of a subcommand (subcommand.h). */
int show(const struct view *view, FILE *out, struct sentence *error);

/* The same again and again, until Ctrl-C. */
int show_watch(struct view *view);

#endif
