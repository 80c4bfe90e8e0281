/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table of texts, laid out for a width.
 *
 * Where it does not fit, columns that may shrink are shortened down to their least width, the
 * widest first; then columns are left out, those with the highest `drop` first.
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
	unsigned drop;  /* 0: never left out */
};

struct grid; /* rows and notes are added in order */

struct grid *grid_new(const struct grid_column *columns, size_t count); /* columns: borrowed */
void grid_freep(struct grid **grid);                                    /* for CLEANUP() */

/*
 * Add a row, and fill its cells: texts are copied; NULL is an empty cell. A row that found no
 * memory is left out.
 */
void grid_row(struct grid *grid);
void grid_cell(struct grid *grid, size_t column, enum colour colour, const char *text);

/* A line of its own beneath the last row, indented, broken at blanks to fit. */
void grid_note(struct grid *grid, enum colour colour, const char *text);

/*
 * Draw it, with the titles unless none has any text. Returns the text to free(), NULL when out of
 * memory.
 */
char *grid_draw(const struct grid *grid, const struct style *style);

/* The escapes of a colour, and back; "" where the style has none. */
const char *colour_on(enum colour colour, const struct style *style);
const char *colour_off(enum colour colour, const struct style *style);

#endif
