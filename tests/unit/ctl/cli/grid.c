/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables fit the terminal, and have colours where it has. */
#include "grid.h"
#include "ctl/keep.h"

#define GRID_DRAW(grid, style) ((char *)keep(grid_draw(keep(grid), style)))

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
	static const struct grid_column padded[] = { { .title = "STATE" }, { .title = "SIZE", .right = true } };
	struct grid *grid = grid_new(padded, ARRAY_SIZE(padded));

	grid_row(grid);
	grid_cell(grid, 0, YELLOW, "dirty");
	grid_cell(grid, 1, RED, "1K");
	grid_row(grid);
	grid_cell(grid, 0, PLAIN, "pristine");
	grid_cell(grid, 1, PLAIN, "1.3M");
	check_str(GRID_DRAW(grid, &fancy), "\033[1mSTATE\033[0m     \033[1mSIZE\033[0m\n"
					   "\033[33mdirty\033[0m       \033[31m1K\033[0m\n"
					   "pristine  1.3M\n");
	check_contains(GRID_DRAW(sample(), &fancy), "1.3M  \033[36mfold 41%\033[0m\n");
}
