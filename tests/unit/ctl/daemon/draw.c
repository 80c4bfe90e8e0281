/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What revertctl draws of the status: the table of disks, and the tree of layers. */
#include "draw.h"
#include "ctl/keep.h"

#define DRAW(what, disk, style) ((char *)keep(draw_##what(keep(disk), style)))

static const struct style piped = { 0 };

static struct json_object *parse(const char *text)
{
	struct json_object *value = NULL;
	struct sentence why = { "" };

	check_int(json_parse(text, strlen(text), &value, &why), 0);
	return value;
}

/* ---- the table */

TEST(the_status_says_what_the_daemons_own_table_says)
{
	struct json_object *status = parse(
		"{\"disks\":[{\"name\":\"a\",\"state\":\"dirty\",\"depth\":2,\"scratch_bytes\":1363148,"
		"\"session\":{\"domain\":\"web1\"},\"job\":{\"kind\":\"fold\",\"state\":\"running\",\"percent\":41.4}},"
		"{\"name\":\"b\",\"state\":\"dirty\",\"hold\":{\"domain\":\"web2\"},\"last_error\":\"no space\","
		"\"job\":{\"kind\":\"export\",\"state\":\"waiting\",\"percent\":0}}]}");

	check_str(DRAW(status, status, &piped), "NAME  STATE  HEAD     SCRATCH  DOMAIN  JOB\n"
						"a     dirty  image+2     1.3M  web1    fold 41%\n"
						"b     held   image         0B  web2    export waits\n"
						"    no space\n");
}

TEST(without_disks_there_are_titles_alone)
{
	check_str(DRAW(status, parse("{\"disks\":[]}"), &piped), "NAME  STATE\n");
}

/* ---- the tree */

#define L(id, parent, names) \
	"{\"id\":\"" id "\",\"parent\":" parent ",\"bytes\":1024,\"names\":[" names "],\"created\":\"\"}"

TEST(the_line_to_the_head_goes_straight_down_and_the_others_beside_it)
{
	struct json_object *disk =
		parse("{\"state\":\"dirty\",\"head\":\"ccc\",\"scratch_bytes\":2048,\"format\":\"raw\",\"layers\":[" L(
			"ccc", "\"bbb\"",
			"") "," L("bbb", "\"aaa\"",
				  "\"installed\"") "," L("aaa", "null",
							 "") "," L("ddd", "\"bbb\"",
								   "\"one\",\"two\"") "," L("eee", "\"ddd\"",
											    "\"three\"") "]}");

	check_str(DRAW(tree, disk, &piped), "LAYER          SIZE  NOTE\n"
					    "* image        1.0K  raw\n"
					    "* installed    1.0K\n"
					    "|-* one, two   1.0K\n"
					    "| * three      1.0K\n"
					    "* ccc  [head]  1.0K\n"
					    "o scratch      2.0K  dirty\n");
}

TEST(what_a_saved_guest_needs_is_marked_and_its_session_stands_on_it)
{
	const char *layers = "\"layers\":[" L("aaa", "null", "") "," L("hhh", "\"aaa\"", "") "],\"head\":\"aaa\"";
	CLEANUP(freep) char *saved = format_text("{%s,\"hold\":{\"layer\":\"hhh\",\"domain\":\"web1\"}}", layers);
	CLEANUP(freep)
	char *runs = format_text("{%s,\"hold\":{\"layer\":\"hhh\",\"domain\":\"web1\"},"
				 "\"session\":{\"domain\":\"web1\"},\"state\":\"dirty\"}",
				 layers);

	check_contains(DRAW(tree, parse(saved), &piped), "|-* hhh  [hold]  1.0K  for the saved guest of web1\n"
							 "o scratch");
	check_contains(DRAW(tree, parse(runs), &piped), "* hhh  [hold]    1.0K  for the saved guest of web1\n"
							"o scratch");
}

TEST(a_daemon_that_says_nonsense_does_no_harm)
{
	check(DRAW(tree, parse("{}"), &piped));
	check(DRAW(tree, parse("{\"layers\":[{},{\"id\":\"a\",\"parent\":\"a\"},3]}"), &piped));
	check(DRAW(tree, parse("{\"head\":\"a\",\"layers\":[" L("a", "\"b\"", "") "," L("b", "\"a\"", "") "]}"),
		   &piped));
	check(DRAW(status, parse("{\"disks\":[{},3,null]}"), &piped));
	check(DRAW(disk, parse("{\"session\":3,\"jobs\":[3]}"), &piped));
}
