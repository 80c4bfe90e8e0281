/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * revertctl: one command for people, over the control file, and over virsh where a domain is meant.
 *
 * The table below is all of it: parsing, help and completion follow it. A subcommand prints its
 * results. A sentence about what failed is printed here, once, on stderr; with --json also on
 * stdout, as the object that the control file would answer.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "help.h"
#include "json.h"
#include "named_domain.h"
#include "program.h"
#include "subcommands.h"
#include "verbs.h"
#include "version.h"

/*
 * In the order of the help. clang-format would make columns of the names, and each new one would
 * move all.
 */
/* clang-format off */
static const struct subcommand *const subcommands[] = {
	&status_subcommand,
	&tree_subcommand,
	&protect_subcommand,
	&unprotect_subcommand,
	&reset_subcommand,
	&commit_subcommand,
	&undo_subcommand,
	&snapshot_subcommand,
	&revert_subcommand,
	&delete_subcommand,
	&clone_subcommand,
	&export_subcommand,
	&fold_subcommand,
	&cancel_subcommand,
	&set_subcommand,
	&adopt_subcommand,
	&disown_subcommand,
	&commit_once_subcommand,
	&discard_next_subcommand,
	&doctor_subcommand,
	&complete_subcommand,
	NULL,
};
/* clang-format on */

static int exit_status(int error)
{
	switch (error) {
	case -ENOTCONN:
	case -ETIMEDOUT:
		return EXIT_UNREACHABLE;
	case -EBUSY:
		return EXIT_BUSY;
	case -EINTR:
		return EXIT_INTERRUPTED;
	default:
		return EXIT_REFUSED;
	}
}

static void print_failure(const struct context *context, int error, const struct sentence *why)
{
	CLEANUP(json_putp) struct json_object *answer = context->json ? json_object_new_object() : NULL;

	fprintf(stderr, "revertctl: %s\n", why->text);
	if (!answer)
		return;
	json_set_bool(answer, "ok", false);
	json_set_string(answer, "errno", error_name(error));
	json_set_string(answer, "error", why->text);
	print_json(answer);
}

static bool wants_disk(const struct subcommand *subcommand)
{
	return strncmp(subcommand->words, "NAME", 4) == 0 && (subcommand->words[4] == ' ' || !subcommand->words[4]);
}

static int run(const struct context *context, const struct arguments *arguments)
{
	struct sentence error = { "" };
	int r = arguments->subcommand->run(context, arguments, &error);

	if (r == -ENOENT && wants_disk(arguments->subcommand))
		named_domain_explain(context, arguments, &error);
	if (r < 0) {
		print_failure(context, r, &error);
		r = exit_status(r);
	}
	/* Results that could not be written are no success: a program may wait for them. */
	if (fflush(stdout) != 0 && r == 0)
		return EXIT_REFUSED;
	return r;
}

int main(int argc, char **argv)
{
	struct context context = { .subcommands = subcommands };
	struct sentence error = { "" };
	struct arguments arguments;
	int r = arguments_parse(argc, (const char *const *)argv, &context, &arguments, &error);

	program_expect_children();
	signal(SIGPIPE, SIG_IGN);
	if (r < 0) {
		print_failure(&context, r, &error);
		fprintf(stderr, "'revertctl%s%s --help' says how it is meant.\n", arguments.subcommand ? " " : "",
			arguments.subcommand ? arguments.subcommand->name : "");
		return EXIT_USAGE;
	}
	if (arguments.version)
		printf("revertctl %s\n", REVERTFS_VERSION);
	else if (arguments.help && arguments.subcommand)
		help_subcommand(stdout, arguments.subcommand);
	else if (arguments.help)
		help_program(stdout, subcommands);
	else
		return run(&context, &arguments);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_REFUSED;
}
