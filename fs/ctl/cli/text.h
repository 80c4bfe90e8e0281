/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Texts on a terminal: how many columns a text takes, and how it is made to fit.
 */
#ifndef REVERTFS_CTL_CLI_TEXT_H
#define REVERTFS_CTL_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "util.h"

/* What the terminal can show. */
struct style {
	bool is_terminal;
	bool colour;
	bool unicode;   /* lines and dots of Unicode; else of ASCII */
	unsigned width; /* columns; 0: as wide as it gets */
};

/* The columns that the text takes. */
size_t text_width(const char *text);

/*
 * A copy of at most `width` columns, to free(). A text that does not fit loses its middle: names
 * differ at both ends.
 */
char *text_fit(const char *text, size_t width, const struct style *style);

/* "48 s", "3:05 min", "2:10:00 h". */
#define DURATION_TEXT_SIZE 32
void duration_text(uint64_t seconds, char text[DURATION_TEXT_SIZE]);

/* "2026-11-25 18:04" in local time, from RFC 3339 in UTC. A text that is no such time is copied. */
void local_time_text(const char *rfc3339, char text[TIME_TEXT_SIZE]);

#endif
