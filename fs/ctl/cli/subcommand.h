/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A subcommand: a row of the table in main.c. Parsing, --help and completion follow from the rows.
 *
 * To add a subcommand, write its run() in a file of its own, declare its row in subcommands.h, and
 * name it in main.c.
 */
#ifndef REVERTFS_CTL_CLI_SUBCOMMAND_H
#define REVERTFS_CTL_CLI_SUBCOMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

/*
 * The exit statuses, which scripts can tell apart. `doctor` has its own, as monitoring wants them.
 */
enum {
	EXIT_REFUSED = 1,       /* refused or failed; the sentence says what is left */
	EXIT_USAGE = 2,         /* not a command line */
	EXIT_UNREACHABLE = 3,   /* no daemon or no libvirt, or it does not answer */
	EXIT_BUSY = 4,          /* in use, in a session, held: it may work later */
	EXIT_INTERRUPTED = 130, /* by Ctrl-C; what ran was cancelled */
};

/*
 * An option "--name" or "--name=VALUE". The value may also be the next argument, unless it is
 * optional: then it is called "[=VALUE]". A list of options ends with an empty one.
 */
struct option_spec {
	const char *name;
	const char *value; /* what the value is called in the help; NULL: it takes none */
	const char *help;  /* what it does, in a few words; a newline begins another line of help */
	/*
	 * What the option becomes in a command to the daemon: "force=yes", or "format=" in front of
	 * the value. NULL: the daemon is not told.
	 */
	const char *setting;
};

struct arguments; /* arguments.h */
struct subcommand;

/* What every subcommand is given. */
struct context {
	const char *mount;   /* --mount, or NULL: to be found */
	const char *connect; /* --connect, or NULL: virsh's default */
	bool json;           /* --json: an object on stdout, whatever happens */
	const struct subcommand *const *subcommands;
};

struct subcommand {
	const char *name;
	/*
	 * The words behind the name, as the usage shows them: "NAME POINT", "[NAME]", "DOMAIN...".
	 * What a word is called tells the completion what it is: NAME a disk, POINT a snapshot of
	 * that disk, DOMAIN a libvirt domain, NAME|DOMAIN either, others files or nothing.
	 */
	const char *words;
	const char *help; /* one line */
	const struct option_spec *options;
	/*
	 * Returns 0; or a positive exit status, when everything has been said; or a negative errno
	 * with a sentence, which main.c shows. With context->json, results are one JSON object on
	 * stdout, and main.c makes one of the sentence.
	 */
	int (*run)(const struct context *context, const struct arguments *arguments, struct sentence *error);
	const char *done; /* verbs of the daemon: what is said of the disk afterwards */
};

#endif
