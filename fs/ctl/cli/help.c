/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two columns, 80 characters wide together: what a thing is called, and what it does.
 */
#include "help.h"

#include <string.h>

#include "arguments.h"

#define LEFT_WIDTH 26

/*
 * A name that is too long for its column has a line of its own. A newline in the help begins
 * another line.
 */
static void print_row(FILE *stream, const char *left, const char *help)
{
	fprintf(stream, "  %-*s", LEFT_WIDTH - 2, left);
	if (strlen(left) > LEFT_WIDTH - 3)
		fprintf(stream, "\n%*s", LEFT_WIDTH, "");
	for (; *help; help++) {
		fputc(*help, stream);
		if (*help == '\n')
			fprintf(stream, "%*s", LEFT_WIDTH, "");
	}
	fputc('\n', stream);
}

static void print_options(FILE *stream, const struct option_spec *options)
{
	for (; options && options->name; options++) {
		char left[128];

		snprintf(left, sizeof(left), "--%s%s%s", options->name,
			 options->value && options->value[0] != '[' ? "=" : "", options->value ? options->value : "");
		print_row(stream, left, options->help);
	}
}

void help_program(FILE *stream, const struct subcommand *const *subcommands)
{
	fprintf(stream, "Usage: revertctl [--mount=DIR] [--connect=URI] [--json] SUBCOMMAND ...\n"
			"Disks of KVM guests that go back to a known state at every power cycle.\n\n");
	for (; *subcommands; subcommands++) {
		char left[128];

		snprintf(left, sizeof(left), "%s %s", (*subcommands)->name, (*subcommands)->words);
		print_row(stream, left, (*subcommands)->help);
	}
	fprintf(stream, "\nOptions of all:\n");
	print_options(stream, common_options);
	fprintf(stream, "\nExit status: 0 done, 1 refused or failed, 2 not a command line, 3 nobody\n"
			"answers, 4 in use, 130 interrupted. 'revertctl SUBCOMMAND --help' says more, and\n"
			"so does revertctl(8).\n");
}

void help_subcommand(FILE *stream, const struct subcommand *subcommand)
{
	fprintf(stream, "Usage: revertctl %s%s%s%s\n%s\n", subcommand->name, *subcommand->words ? " " : "",
		subcommand->words, subcommand->options && subcommand->options->name ? " [OPTION...]" : "",
		subcommand->help);
	if (subcommand->options && subcommand->options->name) {
		fputc('\n', stream);
		print_options(stream, subcommand->options);
	}
}
