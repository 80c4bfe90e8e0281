/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a subcommand is: a row of the table in main.c, from which come parsing, --help and
 * completion.
 *
 * To add one, write its run() in a file of its own, declare its row in subcommands.h, and name it
 * in main.c.
 */
#ifndef REVERTFS_CTL_CLI_SUBCOMMAND_H
#define REVERTFS_CTL_CLI_SUBCOMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

/* The exit status; what a script can tell apart. `doctor` has its own, as monitoring wants them. */
enum {
	EXIT_REFUSED = 1,       /* refused or failed; the sentence says what was left */
	EXIT_USAGE = 2,         /* not a command line */
	EXIT_UNREACHABLE = 3,   /* no daemon, no libvirt, or none that answers */
	EXIT_BUSY = 4,          /* in use, in a session, held: later it may work */
	EXIT_INTERRUPTED = 130, /* by Ctrl-C; what ran was cancelled */
};

/*
 * An option "--name" or "--name=VALUE"; the value may be the next argument, too, but for one that
 * need not be there, which is called "[=VALUE]". A list ends with an empty one.
 */
struct option_spec {
	const char *name;
	const char *value; /* what the value is called in the help; NULL: it takes none */
	const char *help;  /* what it does, in a few words; a newline begins another line of help */
	/*
	 * Verbs of the daemon: "force=yes", or "format=" before the value; NULL: not the daemon's.
	 */
	const char *setting;
};

struct arguments; /* arguments.h */
struct subcommand;

/* What all of them share. */
struct context {
	const char *mount;   /* --mount, or NULL: to be found */
	const char *connect; /* --connect, or NULL: virsh's default */
	bool json;           /* --json: an object on stdout, whatever happens */
	const struct subcommand *const *subcommands;
};

struct subcommand {
	const char *name;
	/*
	 * The words after it, as the usage shows them: "NAME POINT", "[NAME]", "DOMAIN...". What
	 * they are called tells the completion what they are: NAME a disk, POINT a snapshot of it,
	 * DOMAIN a libvirt domain, others files or nothing.
	 */
	const char *words;
	const char *help; /* one line */
	const struct option_spec *options;
	/*
	 * 0; or a positive exit status, when everything has been said; or a negative errno with a
	 * sentence, which main.c shows. With context->json, results are one JSON object on stdout,
	 * and main.c makes one of the sentence.
	 */
	int (*run)(const struct context *context, const struct arguments *arguments, struct sentence *error);
	const char *done; /* verbs of the daemon: what to say of the disk when it is done */
};

#endif
