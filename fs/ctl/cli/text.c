/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All texts are valid UTF-8 without control characters: the daemon or shown_text() has checked
 * them. wcwidth(3) knows how wide a character is where the locale is a UTF-8 one (terminal.c sees
 * to that); otherwise each character counts as one column.
 */
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/*
 * The length in bytes of the character at `p`, which is not at the end, and its width in columns.
 */
static size_t character_length(const char *p, size_t *ret_width)
{
	size_t length = 1;
	mbstate_t state = { 0 };
	wchar_t wide;
	int width = 1;

	while (((unsigned char)p[length] & 0xc0) == 0x80)
		length++;
	if (mbrtowc(&wide, p, length, &state) == length)
		width = wcwidth(wide);
	*ret_width = width < 0 ? 1 : (size_t)width;
	return length;
}

size_t text_width(const char *text)
{
	size_t total = 0, width;

	while (*text) {
		text += character_length(text, &width);
		total += width;
	}
	return total;
}

/* How many bytes of the beginning take at most `width` columns. */
static size_t head_length(const char *text, size_t width)
{
	size_t used = 0, columns = 0, next;

	while (text[used]) {
		size_t length = character_length(text + used, &next);

		if (columns + next > width)
			break;
		columns += next;
		used += length;
	}
	return used;
}

/* The end of the text that takes at most `width` columns. */
static const char *tail_of(const char *text, size_t width)
{
	size_t skip = text_width(text) - width, columns = 0, next;

	while (*text && columns < skip) {
		text += character_length(text, &next);
		columns += next;
	}
	return text;
}

char *text_fit(const char *text, size_t width, const struct style *style)
{
	const char *gap = style->unicode ? "\u2026" : width > 4 ? ".." : ".";
	size_t gap_width = style->unicode ? 1 : strlen(gap), left;

	if (text_width(text) <= width)
		return strdup(text);
	if (width <= gap_width)
		return strndup(text, head_length(text, width));
	left = (width - gap_width + 1) / 2;
	return format_text("%.*s%s%s", (int)head_length(text, left), text, gap,
			   tail_of(text, width - gap_width - left));
}

void duration_text(uint64_t seconds, char text[DURATION_TEXT_SIZE])
{
	uint64_t minutes = seconds / 60, hours = minutes / 60;

	if (seconds < 60)
		snprintf(text, DURATION_TEXT_SIZE, "%" PRIu64 " s", seconds);
	else if (hours == 0)
		snprintf(text, DURATION_TEXT_SIZE, "%" PRIu64 ":%02u min", minutes, (unsigned)(seconds % 60));
	else
		snprintf(text, DURATION_TEXT_SIZE, "%" PRIu64 ":%02u:%02u h", hours, (unsigned)(minutes % 60),
			 (unsigned)(seconds % 60));
}

void local_time_text(const char *rfc3339, char text[TIME_TEXT_SIZE])
{
	struct tm parts = { 0 };
	const char *end = strptime(rfc3339, "%Y-%m-%dT%H:%M:%SZ", &parts);
	time_t when = end && !*end ? timegm(&parts) : -1;

	if (when == -1 || !localtime_r(&when, &parts) || !strftime(text, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M", &parts))
		snprintf(text, TIME_TEXT_SIZE, "%s", rfc3339);
}
