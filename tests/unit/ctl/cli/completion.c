/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What could stand at the end of an unfinished command line of revertctl. */
#include "completion.h"
#include "test.h"

static const struct option_spec export_options[] = {
	{ "to", "FILE", "", "to=" },
	{ "point", "POINT", "", "point=" },
	{ "format", "qcow2|raw", "", "format=" },
	{ "compress", NULL, "", NULL },
	{ "live", NULL, "", NULL },
	{ "quiesce", "[=require]", "", NULL },
	{ 0 },
};
static const struct subcommand export = { "export", "NAME", "", export_options, NULL, NULL };
static const struct subcommand revert = { "revert", "NAME POINT", "", NULL, NULL, NULL };
static const struct subcommand status = { "status", "[NAME|DOMAIN]", "", NULL, NULL, NULL };
static const struct subcommand adopt = { "adopt", "DOMAIN", "", NULL, NULL, NULL };
static const struct subcommand set = { "set", "NAME KEY=VALUE...", "", NULL, NULL, NULL };
static const struct subcommand *const subcommands[] = { &export, &revert, &status, &adopt, &set, NULL };

static struct candidates found;
static struct unfinished line;

#define PARSE(...)                                                                                  \
	(candidates_clear(&found),                                                                  \
	 completion_parse(subcommands, (const char *[]){ __VA_ARGS__ },                             \
			  sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), &line, &found), \
	 joined())

/* The candidates, with blanks between. */
static const char *joined(void)
{
	static char text[512];

	text[0] = '\0';
	for (size_t i = 0; i < found.count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "", found.items[i]);
	return text;
}

TEST(first_comes_a_subcommand)
{
	check_str(PARSE(""), "export revert status adopt set");
	check_str(PARSE("e"), "export");
	check_str(PARSE("--mount", "/m", "s"), "status set");
	check_str(line.mount, "/m");
	check_str(PARSE("--mount=/n", "--json", "r"), "revert");
	check_str(line.mount, "/n");
	check_str(PARSE("nonsense", ""), "export revert status adopt set");
}

TEST(the_usage_says_what_a_word_is)
{
	PARSE("revert", "we");
	check_int(line.kind, COMPLETE_DISKS);
	check_str(line.prefix, "we");
	PARSE("revert", "web1", "");
	check_int(line.kind, COMPLETE_POINTS);
	check_str(line.disk, "web1");
	check_str(PARSE("revert", "web1", "p", ""), "");
	check_int(line.kind, COMPLETE_NOTHING);
	PARSE("status", "");
	check_int(line.kind, COMPLETE_DISKS_AND_DOMAINS);
	PARSE("adopt", "--json", "");
	check_int(line.kind, COMPLETE_DOMAINS);
	PARSE("export", "--live", "");
	check_int(line.kind, COMPLETE_DOMAINS);
	check_str(PARSE("set", "web1", "size=1G", "leftover=k"), "leftover=keep");
}

TEST(options_and_their_values_are_known)
{
	check_str(PARSE("export", "--"),
		  "--to= --point= --format= --compress --live --quiesce --mount= --connect= --json --help --version");
	check_str(PARSE("export", "web1", "--co"), "--compress --connect=");
	check_str(PARSE("export", "--format", "r"), "raw");
	PARSE("export", "web1", "--to", "/s");
	check_int(line.kind, COMPLETE_FILES);
	PARSE("export", "web1", "--point", "in");
	check_int(line.kind, COMPLETE_POINTS);
	check_str(line.disk, "web1");
	PARSE("export", "--mount", "");
	check_int(line.kind, COMPLETE_MOUNTS);
}

TEST(bash_and_zsh_split_at_the_equals_sign_in_their_own_ways)
{
	check_str(PARSE("export", "--format", "=", ""), "qcow2 raw");
	check_str(PARSE("export", "--format", "="), "qcow2 raw");
	check_str(PARSE("export", "--format", "=", "q"), "qcow2");
	check_str(PARSE("export", "--format=q"), "--format=qcow2");
	check_str(PARSE("export", "--format="), "--format=qcow2 --format=raw");
	check_str(PARSE("set", "web1", "durability", "=", "s"), "strict");
	check_str(PARSE("set", "web1", "leftover", "="), "discard keep");
	check_str(PARSE("set", "web1", "size", "=", "1"), "");
	check_str(PARSE("export", "--quiesce="), "--quiesce=require");
	PARSE("export", "--to=/s");
	check_int(line.kind, COMPLETE_FILES);
	PARSE("export", "--format", "=", "raw", "web1", "--point", "=", "");
	check_int(line.kind, COMPLETE_POINTS);
	check_str(line.disk, "web1");
}

TEST(nothing_at_all_is_harmless)
{
	completion_parse(subcommands, NULL, 0, &line, &found);
	check_str(PARSE("--"), "--mount= --connect= --json --help --version");
	check_str(PARSE("--nonsense=", "x"), "");
	candidates_clear(&found);
}
