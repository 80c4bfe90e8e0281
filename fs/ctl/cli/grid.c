/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * First the widths are settled, then lines are written. Colours stand outside of the padding, so
 * that they never count as width.
 *
 * Why not libsmartcols: version 2.38 was tried for the tables and for the tree. It cuts a text at
 * its end, without an ellipsis. It has no least width, leaves out no columns by priority, and has
 * no notes across columns. It indents each child of a tree, so that a long history without branches
 * cannot go straight down. It colours the padding, and prints no titles for an empty table. Used
 * only to store cells and to print them, it saved no lines: 302 without it, 308 with it.
 */
#include "grid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2
#define NOTE_INDENT 4

struct cell {
	char *text;
	enum colour colour;
};

struct row {
	struct cell cells[GRID_COLUMNS_MAX];
	struct cell note; /* in place of cells */
};

struct grid {
	const struct grid_column *columns;
	size_t count;
	struct row *rows;
	size_t row_count;
	bool out_of_memory;
};

/* What is shown, and how wide. */
struct layout {
	bool shown[GRID_COLUMNS_MAX];
	size_t width[GRID_COLUMNS_MAX];
};

struct grid *grid_new(const struct grid_column *columns, size_t count)
{
	struct grid *grid = calloc(1, sizeof(*grid));

	if (grid) {
		grid->columns = columns;
		grid->count = count < GRID_COLUMNS_MAX ? count : GRID_COLUMNS_MAX;
	}
	return grid;
}

void grid_freep(struct grid **pointer)
{
	struct grid *grid = *pointer;

	if (!grid)
		return;
	for (size_t i = 0; i < grid->row_count; i++) {
		for (size_t k = 0; k < grid->count; k++)
			free(grid->rows[i].cells[k].text);
		free(grid->rows[i].note.text);
	}
	free(grid->rows);
	free(grid);
}

static struct row *add_row(struct grid *grid)
{
	struct row *larger = reallocarray(grid->rows, grid->row_count + 1, sizeof(*larger));

	if (!larger) {
		grid->out_of_memory = true;
		return NULL;
	}
	grid->rows = larger;
	larger[grid->row_count] = (struct row){ 0 };
	return &larger[grid->row_count++];
}

void grid_row(struct grid *grid)
{
	add_row(grid);
}

void grid_cell(struct grid *grid, size_t column, enum colour colour, const char *text)
{
	struct cell *cell;

	if (!text || grid->out_of_memory)
		return;
	cell = &grid->rows[grid->row_count - 1].cells[column];
	free(cell->text);
	*cell = (struct cell){ strdup(text), colour };
	grid->out_of_memory = !cell->text;
}

void grid_note(struct grid *grid, enum colour colour, const char *text)
{
	struct row *row = add_row(grid);

	if (!row)
		return;
	row->note = (struct cell){ strdup(text), colour };
	grid->out_of_memory |= !row->note.text;
}

/* ---- colours */

const char *colour_on(enum colour colour, const struct style *style)
{
	static const char *const codes[] = {
		[PLAIN] = "",         [BOLD] = "\033[1m",    [DIM] = "\033[2m",   [RED] = "\033[31m",
		[GREEN] = "\033[32m", [YELLOW] = "\033[33m", [BLUE] = "\033[36m", [MAGENTA] = "\033[35m",
	};

	return style->colour ? codes[colour] : "";
}

const char *colour_off(enum colour colour, const struct style *style)
{
	return style->colour && colour != PLAIN ? "\033[0m" : "";
}

/* ---- widths */

static bool has_titles(const struct grid *grid)
{
	for (size_t k = 0; k < grid->count; k++)
		if (grid->columns[k].title && *grid->columns[k].title)
			return true;
	return false;
}

/* A column is as wide as its widest text. A column without any text is left out if it may be. */
static void measure(const struct grid *grid, struct layout *layout)
{
	for (size_t k = 0; k < grid->count; k++) {
		size_t widest = 0;

		for (size_t i = 0; i < grid->row_count; i++) {
			const char *text = grid->rows[i].cells[k].text;
			size_t width = text ? text_width(text) : 0;

			widest = width > widest ? width : widest;
		}
		layout->shown[k] = widest > 0 || grid->columns[k].drop == 0;
		layout->width[k] = widest;
		if (grid->columns[k].title && text_width(grid->columns[k].title) > widest)
			layout->width[k] = text_width(grid->columns[k].title);
	}
}

static size_t total_width(const struct grid *grid, const struct layout *layout)
{
	size_t total = 0;

	for (size_t k = 0; k < grid->count; k++)
		if (layout->shown[k])
			total += layout->width[k] + (total ? GAP : 0);
	return total;
}

/* Take one character from the widest column that may shrink; false when none may. */
static bool shrink(const struct grid *grid, struct layout *layout)
{
	size_t widest = grid->count;

	for (size_t k = 0; k < grid->count; k++)
		if (layout->shown[k] && grid->columns[k].least && layout->width[k] > grid->columns[k].least &&
		    (widest == grid->count || layout->width[k] > layout->width[widest]))
			widest = k;
	if (widest == grid->count)
		return false;
	layout->width[widest]--;
	return true;
}

static bool leave_out(const struct grid *grid, struct layout *layout)
{
	size_t least = grid->count;

	for (size_t k = 0; k < grid->count; k++)
		if (layout->shown[k] && grid->columns[k].drop &&
		    (least == grid->count || grid->columns[k].drop > grid->columns[least].drop))
			least = k;
	if (least == grid->count)
		return false;
	layout->shown[least] = false;
	return true;
}

/* When a column is left out, the others get their natural widths back first. */
static void fit_widths(const struct grid *grid, unsigned width, struct layout *layout)
{
	struct layout natural;

	measure(grid, layout);
	natural = *layout;
	while (width && total_width(grid, layout) > width) {
		if (shrink(grid, layout))
			continue;
		memcpy(layout->width, natural.width, sizeof(natural.width));
		if (!leave_out(grid, layout)) {
			while (total_width(grid, layout) > width && shrink(grid, layout))
				;
			return;
		}
	}
}

/* ---- lines */

static size_t last_shown(const struct grid *grid, const struct layout *layout)
{
	size_t last = 0;

	for (size_t k = 0; k < grid->count; k++)
		if (layout->shown[k])
			last = k;
	return last;
}

/* Blanks at the end of a line are left out. */
static void draw_cell(FILE *stream, const struct grid_column *column, const struct cell *cell, size_t width, bool last,
		      const struct style *style)
{
	CLEANUP(freep) char *text = text_fit(cell->text ? cell->text : "", width, style);
	size_t pad = text && text_width(text) < width ? width - text_width(text) : 0;

	if (column->right)
		fprintf(stream, "%*s", (int)pad, "");
	if (text && *text)
		fprintf(stream, "%s%s%s", colour_on(cell->colour, style), text, colour_off(cell->colour, style));
	if (!column->right && !last)
		fprintf(stream, "%*s", (int)pad, "");
}

static void draw_cells(FILE *stream, const struct grid *grid, const struct layout *layout, const struct cell *cells,
		       const struct style *style)
{
	size_t last = last_shown(grid, layout);
	bool first = true;

	while (last > 0 && (!layout->shown[last] || !cells[last].text || !*cells[last].text))
		last--;
	for (size_t k = 0; k <= last; k++) {
		if (!layout->shown[k])
			continue;
		fprintf(stream, "%*s", first ? 0 : GAP, "");
		draw_cell(stream, &grid->columns[k], &cells[k], layout->width[k], k == last, style);
		first = false;
	}
	fputc('\n', stream);
}

static void draw_titles(FILE *stream, const struct grid *grid, const struct layout *layout, const struct style *style)
{
	struct cell titles[GRID_COLUMNS_MAX];

	for (size_t k = 0; k < grid->count; k++)
		titles[k] = (struct cell){ (char *)grid->columns[k].title, BOLD };
	draw_cells(stream, grid, layout, titles, style);
}

static void draw_note(FILE *stream, const struct cell *note, const struct style *style)
{
	const char *p = note->text ? note->text : "";
	size_t room = style->width > NOTE_INDENT + 10 ? style->width - NOTE_INDENT : 0;

	do {
		size_t length = strlen(p), end;

		end = length;
		if (room && text_width(p) > room) {
			/* Cut by bytes: a text never has fewer bytes than columns. */
			for (end = room; end > 0 && p[end] != ' '; end--)
				;
			end = end ? end : strcspn(p, " ");
		}
		fprintf(stream, "%*s%s%.*s%s\n", NOTE_INDENT, "", colour_on(note->colour, style), (int)end, p,
			colour_off(note->colour, style));
		p += end + strspn(p + end, " ");
	} while (*p);
}

char *grid_draw(const struct grid *grid, const struct style *style)
{
	struct layout layout = { 0 };
	size_t length = 0;
	char *text = NULL;
	FILE *stream = grid->out_of_memory ? NULL : open_memstream(&text, &length);

	if (!stream)
		return NULL;
	fit_widths(grid, style->width, &layout);
	if (has_titles(grid))
		draw_titles(stream, grid, &layout, style);
	for (size_t i = 0; i < grid->row_count; i++) {
		if (grid->rows[i].note.text)
			draw_note(stream, &grid->rows[i].note, style);
		else
			draw_cells(stream, grid, &layout, grid->rows[i].cells, style);
	}
	if (fclose(stream) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
