/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * getopt_long(3) knows neither options that depend on a subcommand nor words between options, and
 * it accepts abbreviations. So arguments are parsed by hand, in one pass: a word is the subcommand
 * or one of its words; everything else is looked up in two tables of options.
 */
#include "arguments.h"

#include <errno.h>
#include <string.h>

const struct option_spec common_options[] = {
	{ "mount", "DIR", "the revertfs mount, where there are several", NULL },
	{ "connect", "URI", "the libvirt to talk to, as of virsh", NULL },
	{ "json", NULL, "one JSON object on stdout, also of what fails", NULL },
	{ "help", NULL, "what a subcommand does, and its options", NULL },
	{ "version", NULL, "which revertctl this is", NULL },
	{ 0 },
};

static const struct subcommand *find_subcommand(const struct context *context, const char *name)
{
	for (const struct subcommand *const *s = context->subcommands; *s; s++)
		if (strcmp((*s)->name, name) == 0)
			return *s;
	return NULL;
}

static const struct option_spec *find_in(const struct option_spec *options, const char *name, size_t length)
{
	for (; options && options->name; options++)
		if (strncmp(options->name, name, length) == 0 && options->name[length] == '\0')
			return options;
	return NULL;
}

static void take_common(const struct option_spec *spec, const char *value, struct context *context,
			struct arguments *arguments)
{
	if (strcmp(spec->name, "mount") == 0)
		context->mount = value;
	else if (strcmp(spec->name, "connect") == 0)
		context->connect = value;
	else if (strcmp(spec->name, "json") == 0)
		context->json = true;
	else if (strcmp(spec->name, "version") == 0)
		arguments->version = true;
	else
		arguments->help = true;
}

static int add_option(struct arguments *arguments, const struct option_spec *spec, const char *value,
		      struct sentence *error)
{
	if (arguments->option_count == ARGUMENTS_MAX)
		return report(error, -E2BIG, "too many options");
	arguments->options[arguments->option_count++] = (struct given_option){ spec, value };
	return 0;
}

/*
 * `argument` is "--name" or "--name=value". **next is the argument behind it, which is taken when
 * it is the value.
 */
static int take_option(const char *argument, const char *const **next, struct context *context,
		       struct arguments *arguments, struct sentence *error)
{
	const char *name = argument + 2, *equals = strchr(name, '='), *value = equals ? equals + 1 : NULL;
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const struct option_spec *common = find_in(common_options, name, length), *spec = common;

	if (!spec && arguments->subcommand)
		spec = find_in(arguments->subcommand->options, name, length);
	if (!spec)
		return report(error, -EINVAL, "'--%.*s' is no option of %s", (int)length, name,
			      arguments->subcommand ? arguments->subcommand->name
						    : "all subcommands; write it behind its subcommand");
	if (!spec->value && value)
		return report(error, -EINVAL, "'--%s' takes no value", spec->name);
	if (spec->value && !value && spec->value[0] != '[')
		value = *(*next) ? *(*next)++ : NULL;
	if (spec->value && !value && spec->value[0] != '[')
		return report(error, -EINVAL, "'--%s' wants a value: --%s=%s", spec->name, spec->name, spec->value);
	if (!common)
		return add_option(arguments, spec, value, error);
	take_common(spec, value, context, arguments);
	return 0;
}

/*
 * How many words a usage such as "NAME [POINT]" or "DOMAIN..." asks for at least, and at most.
 */
static size_t words_wanted(const char *usage, size_t *ret_most)
{
	size_t least = 0;

	*ret_most = 0;
	for (const char *p = usage; *p;) {
		size_t length = strcspn(p, " ");

		least += *p != '[';
		*ret_most += 1;
		if (strstr(p, "...") && strstr(p, "...") < p + length)
			*ret_most = ARGUMENTS_MAX;
		p += length;
		p += strspn(p, " ");
	}
	return least;
}

/*
 * The option that is spelt as the control file has it: "force=yes", or "format=" in front of a
 * value. NULL: none.
 */
static const struct option_spec *find_setting(const struct option_spec *options, const char *word,
					      const char **ret_value)
{
	for (; options && options->name; options++) {
		size_t length = options->setting ? strlen(options->setting) : 0;

		if (length == 0 || strncmp(word, options->setting, length) != 0)
			continue;
		*ret_value = options->value ? word + length : NULL;
		if (options->value || word[length] == '\0')
			return options;
	}
	return NULL;
}

/* The daemon's sentences offer commands of the control file, with settings behind the words. */
static int take_word(const char *word, bool may_be_setting, struct context *context, struct arguments *arguments,
		     struct sentence *error)
{
	const struct option_spec *spec = NULL;
	const char *value;
	size_t most;

	if (!arguments->subcommand) {
		arguments->subcommand = find_subcommand(context, word);
		return arguments->subcommand ? 0 : report(error, -EINVAL, "'%s' is no subcommand", word);
	}
	words_wanted(arguments->subcommand->words, &most);
	if (may_be_setting && arguments->word_count >= most)
		spec = find_setting(arguments->subcommand->options, word, &value);
	if (spec)
		return add_option(arguments, spec, value, error);
	if (arguments->word_count == ARGUMENTS_MAX)
		return report(error, -E2BIG, "too many words");
	arguments->words[arguments->word_count++] = word;
	return 0;
}

static int check_words(const struct arguments *arguments, struct sentence *error)
{
	const struct subcommand *subcommand = arguments->subcommand;
	size_t most, least = words_wanted(subcommand->words, &most);

	if (arguments->word_count < least)
		return report(error, -EINVAL, "%s wants %s", subcommand->name, subcommand->words);
	if (arguments->word_count > most)
		return report(error, -EINVAL, "%s takes %s and nothing more", subcommand->name,
			      *subcommand->words ? subcommand->words : "no word");
	return 0;
}

int arguments_parse(int argc, const char *const *argv, struct context *context, struct arguments *ret_arguments,
		    struct sentence *error)
{
	const char *const *next = argv + (argc > 0);
	bool options_end = false;
	int r = 0;

	*ret_arguments = (struct arguments){ 0 };
	while (*next && r == 0) {
		const char *argument = *next++;

		if (!options_end && strcmp(argument, "--") == 0)
			options_end = true;
		else if (!options_end && strncmp(argument, "--", 2) == 0)
			r = take_option(argument, &next, context, ret_arguments, error);
		else if (!options_end && strcmp(argument, "-h") == 0)
			ret_arguments->help = true;
		else if (!options_end && argument[0] == '-' && argument[1])
			r = report(error, -EINVAL, "'%s' is no option; options are long, as --help", argument);
		else
			r = take_word(argument, !options_end, context, ret_arguments, error);
	}
	if (r < 0 || ret_arguments->help || ret_arguments->version)
		return r;
	if (!ret_arguments->subcommand)
		return report(error, -EINVAL, "a subcommand is missing");
	return check_words(ret_arguments, error);
}

const char *arguments_value(const struct arguments *arguments, const char *option)
{
	const char *value = NULL;

	for (size_t i = 0; i < arguments->option_count; i++)
		if (strcmp(arguments->options[i].spec->name, option) == 0)
			value = arguments->options[i].value;
	return value;
}

bool arguments_has(const struct arguments *arguments, const char *option)
{
	for (size_t i = 0; i < arguments->option_count; i++)
		if (strcmp(arguments->options[i].spec->name, option) == 0)
			return true;
	return false;
}

const char *arguments_next(const struct arguments *arguments, const char *option, size_t *place)
{
	while (*place < arguments->option_count) {
		const struct given_option *given = &arguments->options[(*place)++];

		if (strcmp(given->spec->name, option) == 0)
			return given->value;
	}
	return NULL;
}

int arguments_number(const struct arguments *arguments, const char *option, unsigned least, unsigned most,
		     unsigned otherwise, unsigned *ret_number, struct sentence *error)
{
	const char *text = arguments_value(arguments, option);
	uint64_t number;

	*ret_number = otherwise;
	if (!text)
		return 0;
	if (parse_size(text, &number) < 0 || number < least || number > most)
		return report(error, -EINVAL, "--%s must be a number from %u to %u", option, least, most);
	*ret_number = (unsigned)number;
	return 0;
}
