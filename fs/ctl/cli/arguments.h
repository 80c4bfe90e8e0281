/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: options of all, a subcommand, its words and its options, in any order.
 */
#ifndef REVERTFS_CTL_CLI_ARGUMENTS_H
#define REVERTFS_CTL_CLI_ARGUMENTS_H

#include "subcommand.h"

#define ARGUMENTS_MAX 256

/* An option as it was given; texts are borrowed from argv and the table. */
struct given_option {
	const struct option_spec *spec;
	const char *value; /* NULL where it takes none */
};

struct arguments {
	const struct subcommand *subcommand; /* NULL: none was named */
	const char *words[ARGUMENTS_MAX];
	size_t word_count;
	struct given_option options[ARGUMENTS_MAX];
	size_t option_count;
	bool help, version;
};

/*
 * Parse argv; --mount, --connect and --json go into the context. -EINVAL with a sentence that says
 * what is wrong; words and options are checked against the subcommand's row. Options are not
 * permuted behind "--".
 */
int arguments_parse(int argc, const char *const *argv, struct context *context, struct arguments *ret_arguments,
		    struct sentence *error);

/*
 * The option's value (of the last, where it was given twice), or NULL; whether it was given at all.
 */
const char *arguments_value(const struct arguments *arguments, const char *option);
bool arguments_has(const struct arguments *arguments, const char *option);

/* Step through an option that may be repeated: begin with *place 0; NULL at the end. */
const char *arguments_next(const struct arguments *arguments, const char *option, size_t *place);

/*
 * A whole number of the option, `otherwise` where it was not given; -EINVAL with a sentence when it
 * is none, or not within the bounds.
 */
int arguments_number(const struct arguments *arguments, const char *option, unsigned least, unsigned most,
		     unsigned otherwise, unsigned *ret_number, struct sentence *error);

/* The options that every subcommand takes; for the help and the completion. */
extern const struct option_spec common_options[];

#endif
