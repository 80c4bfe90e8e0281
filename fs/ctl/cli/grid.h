/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table of texts, laid out for a width.
 *
 * A table that is too wide has its columns shortened, the widest first, down to their least width.
 * If that is not enough, columns are left out, those with the highest `drop` first.
 */
#ifndef REVERTFS_CTL_CLI_GRID_H
#define REVERTFS_CTL_CLI_GRID_H

#include "text.h"

#define GRID_COLUMNS_MAX 8

enum colour { PLAIN, BOLD, DIM, RED, GREEN, YELLOW, BLUE, MAGENTA };

struct grid_column {
	const char *title;
	bool right;     /* aligned to the right */
	unsigned least; /* how narrow it may become; 0: never shortened */
	unsigned drop;  /* 0: never left out; others are also left out where all cells are empty */
};

struct grid;

struct grid *grid_new(const struct grid_column *columns, size_t count); /* columns: borrowed */
void grid_freep(struct grid **grid);                                    /* for CLEANUP() */

/* Add a row, and fill its cells. Texts are copied; NULL is an empty cell. */
void grid_row(struct grid *grid);
void grid_cell(struct grid *grid, size_t column, enum colour colour, const char *text);

/* Add a line of its own beneath the last row: indented, and broken at blanks to fit. */
void grid_note(struct grid *grid, enum colour colour, const char *text);

/*
 * Draw the table, with its titles unless all are empty. Returns a text to free(), or NULL when
 * there was not enough memory for a row, a cell or the text.
 */
char *grid_draw(const struct grid *grid, const struct style *style);

/*
 * The escape sequence that begins a colour, and the one that ends it; "" where the style has no
 * colours.
 */
const char *colour_on(enum colour colour, const struct style *style);
const char *colour_off(enum colour colour, const struct style *style);

#endif
