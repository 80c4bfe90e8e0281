/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: common options, a subcommand, its words and its options, in any order.
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
 * Parse argv. --mount, --connect and --json go into the context; words and options are checked
 * against the subcommand's row. An option may also be spelt as its setting, behind all words:
 * "force=yes". What follows "--" is a word, also where it looks like an option.
 * -EINVAL or -E2BIG with a sentence that says what is wrong.
 */
int arguments_parse(int argc, const char *const *argv, struct context *context, struct arguments *ret_arguments,
		    struct sentence *error);

/*
 * The option's value, or NULL; the last one where the option was given twice. And whether the
 * option was given at all.
 */
const char *arguments_value(const struct arguments *arguments, const char *option);
bool arguments_has(const struct arguments *arguments, const char *option);

/*
 * Step through the values of an option that may be repeated: begin with *place 0; NULL at the end.
 */
const char *arguments_next(const struct arguments *arguments, const char *option, size_t *place);

/*
 * The option's value as a whole number; `otherwise` where the option was not given. -EINVAL with a
 * sentence for what is no number from `least` to `most`.
 */
int arguments_number(const struct arguments *arguments, const char *option, unsigned least, unsigned most,
		     unsigned otherwise, unsigned *ret_number, struct sentence *error);

/* The options that every subcommand takes; for the help and the completion. */
extern const struct option_spec common_options[];

#endif
