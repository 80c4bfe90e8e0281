/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of revertctl: words and options in any order, and what is wrong with it in a
 * sentence.
 */
#include "arguments.h"
#include "test.h"

static const struct option_spec options[] = {
	{ "force", NULL, "", "force=yes" },
	{ "note", "TEXT", "", "note=" },
	{ "target", "DEV", "", NULL },
	{ 0 },
};
static const struct subcommand snapshot = { "snapshot", "NAME POINT", "", options, NULL, NULL };
static const struct subcommand status = { "status", "[NAME]", "", NULL, NULL, NULL };
static const struct subcommand set = { "set", "NAME KEY=VALUE...", "", NULL, NULL, NULL };
static const struct subcommand *const subcommands[] = { &snapshot, &status, &set, NULL };

#define PARSE(...)                                                                        \
	(context = (struct context){ .subcommands = subcommands }, why.text[0] = 0,       \
	 arguments_parse((int)ARRAY_SIZE(((const char *[]){ "revertctl", __VA_ARGS__ })), \
			 (const char *[]){ "revertctl", __VA_ARGS__, NULL }, &context, &given, &why))

static struct context context;
static struct arguments given;
static struct sentence why;

TEST(words_and_options_may_stand_in_any_order)
{
	check_int(PARSE("--json", "snapshot", "--note", "a b", "vm", "--mount=/m", "one", "--force"), 0);
	check_str(given.subcommand->name, "snapshot");
	check_int(given.word_count, 2);
	check_str(given.words[1], "one");
	check_str(arguments_value(&given, "note"), "a b");
	check(arguments_has(&given, "force"));
	check(context.json);
	check_str(context.mount, "/m");
}

TEST(a_repeated_option_keeps_its_order_and_its_last_value)
{
	size_t place = 0;

	check_int(PARSE("snapshot", "vm", "p", "--target=vda", "--target", "vdb"), 0);
	check_str(arguments_value(&given, "target"), "vdb");
	check_str(arguments_next(&given, "target", &place), "vda");
	check_str(arguments_next(&given, "target", &place), "vdb");
	check(!arguments_next(&given, "target", &place));
}

TEST(what_is_wrong_is_said)
{
	check_errno(PARSE("snap", "vm"), EINVAL);
	check_contains(why.text, "'snap' is no subcommand");
	check_errno(PARSE("snapshot", "vm"), EINVAL);
	check_contains(why.text, "wants NAME POINT");
	check_errno(PARSE("snapshot", "vm", "p", "q"), EINVAL);
	check_contains(why.text, "nothing more");
	check_errno(PARSE("snapshot", "vm", "p", "--forc"), EINVAL);
	check_contains(why.text, "'--forc' is no option of snapshot");
	check_errno(PARSE("snapshot", "vm", "p", "--force=yes"), EINVAL);
	check_contains(why.text, "takes no value");
	check_errno(PARSE("snapshot", "vm", "p", "--note"), EINVAL);
	check_contains(why.text, "wants a value");
	check_errno(PARSE("snapshot", "-f"), EINVAL);
	check_contains(why.text, "options are long");
	check_errno(PARSE("--json"), EINVAL);
	check_contains(why.text, "a subcommand is missing");
}

TEST(a_setting_of_the_control_file_is_its_option)
{
	check_int(PARSE("snapshot", "vm", "p", "force=yes", "note=a=b"), 0);
	check_int(given.word_count, 2);
	check(arguments_has(&given, "force"));
	check_str(arguments_value(&given, "note"), "a=b");
	/* A word that is wanted stays one, whatever it is called. */
	check_int(PARSE("snapshot", "vm", "force=yes"), 0);
	check_str(given.words[1], "force=yes");
	check(!arguments_has(&given, "force"));
	check_int(PARSE("set", "vm", "force=yes"), 0);
	check_int(given.word_count, 2);
	check_errno(PARSE("snapshot", "vm", "p", "force=no"), EINVAL);
	check_errno(PARSE("snapshot", "vm", "p", "force=yes!"), EINVAL);
	check_errno(PARSE("snapshot", "vm", "p", "forc"), EINVAL);
	check_errno(PARSE("snapshot", "vm", "p", "target=vda"), EINVAL);
	check_errno(PARSE("snapshot", "vm", "p", "--", "force=yes"), EINVAL);
	check_contains(why.text, "nothing more");
}

TEST(what_follows_two_dashes_is_a_word)
{
	check_int(PARSE("snapshot", "--", "--json", "-p"), 0);
	check_str(given.words[0], "--json");
	check_str(given.words[1], "-p");
	check(!context.json);
}

TEST(a_number_has_bounds)
{
	unsigned number;

	check_int(PARSE("snapshot", "vm", "p", "--note=12"), 0);
	check_int(arguments_number(&given, "note", 1, 60, 5, &number, &why), 0);
	check_int(number, 12);
	check_errno(arguments_number(&given, "note", 1, 11, 5, &number, &why), EINVAL);
	check_contains(why.text, "from 1 to 11");
	check_int(arguments_number(&given, "target", 1, 11, 5, &number, &why), 0);
	check_int(number, 5);
}
