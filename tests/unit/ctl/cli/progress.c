/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a long command is: a bar that fits, or a line now and then. */
#include "progress.h"
#include "ctl/keep.h"

#define BAR(progress, style) ((char *)keep(progress_bar(progress, style)))
#define LINE(progress) ((char *)keep(progress_line(progress)))

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
