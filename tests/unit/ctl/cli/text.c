/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How wide texts are, and how they are made to fit. */
#include <locale.h>

#include "text.h"
#include "ctl/keep.h"

#define TEXT_FIT(text, width, style) ((char *)keep(text_fit(text, width, style)))

static const struct style piped = { 0 };
static const struct style fancy = { .is_terminal = true, .width = 80, .colour = true, .unicode = true };

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
