/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What revertctl draws: tables that fit, the tree of layers, how far work is. */
#include <locale.h>

#include "draw.h"
#include "progress.h"
#include "test.h"

/*
 * What stays in memory until the end, so that each check is one line; a leak is what nothing points
 * to.
 */
static void *kept[512];
static size_t kept_count;

static void *keep(void *pointer)
{
	check(kept_count < ARRAY_SIZE(kept));
	return kept[kept_count++] = pointer;
}

#define GRID_DRAW(grid, style) ((char *)keep(grid_draw(keep(grid), style)))
#define TEXT_FIT(text, width, style) ((char *)keep(text_fit(text, width, style)))
#define DRAW(what, disk, style) ((char *)keep(draw_##what(keep(disk), style)))
#define BAR(progress, style) ((char *)keep(progress_bar(progress, style)))
#define LINE(progress) ((char *)keep(progress_line(progress)))

static const struct style piped = { 0 };
static const struct style narrow = { .is_terminal = true, .width = 24 };
static const struct style narrower = { .is_terminal = true, .width = 20 };
static const struct style fancy = { .is_terminal = true, .width = 80, .colour = true, .unicode = true };

static const struct grid_column columns[] = {
	{ .title = "NAME", .least = 8 },
	{ .title = "SIZE", .right = true, .drop = 2 },
	{ .title = "JOB", .drop = 1 },
};

static struct grid *sample(void)
{
	struct grid *grid = grid_new(columns, ARRAY_SIZE(columns));

	grid_row(grid);
	grid_cell(grid, 0, PLAIN, "web1.qcow2");
	grid_cell(grid, 1, PLAIN, "1.3M");
	grid_cell(grid, 2, BLUE, "fold 41%");
	grid_note(grid, RED, "something is wrong with it");
	grid_row(grid);
	grid_cell(grid, 0, PLAIN, "a-very-long-name.qcow2");
	grid_cell(grid, 1, PLAIN, "12M");
	grid_cell(grid, 2, PLAIN, "-");
	return grid;
}

TEST(a_table_that_is_piped_is_as_wide_as_it_gets_and_has_no_colours)
{
	check_str(GRID_DRAW(sample(), &piped), "NAME                    SIZE  JOB\n"
					       "web1.qcow2              1.3M  fold 41%\n"
					       "    something is wrong with it\n"
					       "a-very-long-name.qcow2   12M  -\n");
}

TEST(a_narrow_table_shortens_names_then_leaves_columns_out_and_breaks_notes)
{
	check_str(GRID_DRAW(sample(), &narrow), "NAME      SIZE  JOB\n"
						"web..ow2  1.3M  fold 41%\n"
						"    something is wrong\n"
						"    with it\n"
						"a-v..ow2   12M  -\n");
	check_contains(GRID_DRAW(sample(), &narrower), "NAME        JOB\n"
						       "web1.qcow2  fold 41%\n");
}

TEST(no_line_is_wider_than_the_terminal)
{
	for (unsigned width = 20; width < 90; width++) {
		struct style style = { .is_terminal = true, .width = width };
		char *text = GRID_DRAW(sample(), &style), *place = NULL;

		for (char *line = strtok_r(text, "\n", &place); line; line = strtok_r(NULL, "\n", &place))
			check(text_width(line) <= width);
	}
}

TEST(colours_stand_around_the_text_and_not_around_the_blanks)
{
	check_contains(GRID_DRAW(sample(), &fancy), "1.3M  \033[36mfold 41%\033[0m\n");
}

TEST(a_text_is_shortened_in_its_middle)
{
	check_str(TEXT_FIT("database-server-01.qcow2", 11, &piped), "datab..cow2");
	check_str(TEXT_FIT("database-server-01.qcow2", 10, &fancy), "datab…cow2");
	check_str(TEXT_FIT("short", 5, &piped), "short");
	check_str(TEXT_FIT("short", 1, &piped), "s");
}

TEST(wide_characters_count_as_two_columns)
{
	setlocale(LC_CTYPE, "C.UTF-8");
	check_int(text_width("日本"), 4);
	check_int(text_width("é"), 1);
	check_str(TEXT_FIT("日本語のディスク", 7, &fancy), "日…ク");
	check_int(text_width(TEXT_FIT("日本語のディスク", 7, &fancy)) <= 7, 1);
}

TEST(durations_and_times_are_for_people)
{
	char text[DURATION_TEXT_SIZE], when[TIME_TEXT_SIZE];

	duration_text(48, text);
	check_str(text, "48 s");
	duration_text(185, text);
	check_str(text, "3:05 min");
	duration_text(7800, text);
	check_str(text, "2:10:00 h");
	setenv("TZ", "UTC", 1);
	local_time_text("2026-11-25T18:04:59Z", when);
	check_str(when, "2026-11-25 18:04");
	local_time_text("whenever", when);
	check_str(when, "whenever");
}

/* ---- the tree */

static struct json_object *parse(const char *text)
{
	struct json_object *value = NULL;
	struct sentence why = { "" };

	check_int(json_parse(text, strlen(text), &value, &why), 0);
	return value;
}

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
					    "o scratch      2.0K  dirty\n" +
						    0);
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

/* ---- progress */

TEST(a_bar_has_what_fits)
{
	struct progress progress = { .what = "export web1.qcow2", .shown_tenth = -1 };
	struct style style = { .is_terminal = true };

	progress_note(&progress, 40, (uint64_t)10 << 30, 1000);
	progress_note(&progress, 41, (uint64_t)10 << 30, 2000);
	style.width = 80;
	check_str(BAR(&progress, &style),
		  "export web1.qcow2  41% [##########...............]  4.1G/10G  102M/s  59 s left");
	style.width = 44;
	check_str(BAR(&progress, &style), "export web1.qcow2  41% [#######...........]");
	for (style.width = 20; style.width < 100; style.width++)
		check(text_width(BAR(&progress, &style)) < style.width);
	progress.waits = true;
	check_str(BAR(&progress, &style), "export web1.qcow2  waits");
}

TEST(the_rate_is_smoothed_and_begins_anew_with_another_layer)
{
	struct progress progress = { .what = "fold", .shown_tenth = -1 };

	progress_note(&progress, 10, 0, 1000);
	check(progress.rate == 0);
	progress_note(&progress, 12, 0, 2000);
	check(progress.rate > 1.99 && progress.rate < 2.01);
	progress_note(&progress, 12, 0, 3000);
	check(progress.rate > 1.7 && progress.rate < 1.9);
	progress_note(&progress, 3, 0, 4000);
	check(progress.rate == 0);
}

TEST(elsewhere_there_is_a_line_for_each_tenth)
{
	struct progress progress = { .what = "fold web1", .shown_tenth = -1 };

	progress.waits = true;
	check(!LINE(&progress));
	progress_note(&progress, 2, 1000000, 1000);
	check_str(LINE(&progress), "fold web1: 2%, 20K of 977K");
	progress_note(&progress, 9, 1000000, 2000);
	check(!LINE(&progress));
	progress_note(&progress, 35, 1000000, 3000);
	check_contains(LINE(&progress), "fold web1: 35%, 342K of 977K, ");
}
