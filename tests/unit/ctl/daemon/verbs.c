/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The line that the daemon is given: words and options, quoted. */
#include "verbs.h"
#include "test.h"

static const struct option_spec options[] = {
	{ "force", NULL, "", "force=yes" },
	{ "note", "TEXT", "", "note=" },
	{ 0 },
};
static const struct subcommand snapshot = { "snapshot", "NAME POINT", "", options, NULL, NULL };
static const struct subcommand set = { "set", "NAME KEY=VALUE...", "", NULL, NULL, NULL };
static const struct subcommand *const subcommands[] = { &snapshot, &set, NULL };

#define PARSE(...)                                                                        \
	(context = (struct context){ .subcommands = subcommands }, why.text[0] = 0,       \
	 arguments_parse((int)ARRAY_SIZE(((const char *[]){ "revertctl", __VA_ARGS__ })), \
			 (const char *[]){ "revertctl", __VA_ARGS__, NULL }, &context, &given, &why))

static struct context context;
static struct arguments given;
static struct sentence why;

TEST(a_line_for_the_daemon_is_quoted)
{
	CLEANUP(freep) char *line = NULL;
	CLEANUP(freep) char *settings = NULL;

	check_int(PARSE("snapshot", "vm", "my \"point\"", "--note=a=b \\", "--force"), 0);
	check_int(verb_line(&given, "dir/vm 1.qcow2", &line, &why), 0);
	check_str(line, "snapshot \"dir/vm 1.qcow2\" \"my \\\"point\\\"\" note=\"a=b \\\\\" force=\"yes\"");
	check_int(PARSE("set", "vm", "keep-revisions=2", "size=1G"), 0);
	check_int(verb_line(&given, "vm", &settings, &why), 0);
	check_str(settings, "set \"vm\" keep-revisions=\"2\" size=\"1G\"");
}

TEST(a_line_cannot_become_two)
{
	CLEANUP(freep) char *line = NULL;

	check_int(PARSE("snapshot", "vm", "p\nreset vm"), 0);
	check_errno(verb_line(&given, "vm", &line, &why), EINVAL);
	check_contains(why.text, "control character");
}
