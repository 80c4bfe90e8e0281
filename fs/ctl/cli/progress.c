/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rate is smoothed over some ten seconds: otherwise the rate and the time left would jump at
 * every look.
 */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMOOTHING_S 10.0
#define PERCENT_WIDTH 5 /* " 100%" */
#define BAR_FRAME 3     /* a blank, and the ends of the bar */
#define BAR_MIN 10
#define BAR_MAX 40

void progress_note(struct progress *progress, double percent, uint64_t total, uint64_t now_ms)
{
	double seconds = (double)(now_ms - progress->noted_ms) / 1000, done = percent - progress->percent, weight;

	if (percent < 0 || percent > 100)
		return;
	progress->waits = false;
	progress->total = total;
	if (!progress->noted_ms || done < 0) {
		progress->rate = 0;
		progress->shown_tenth = -1;
	} else if (seconds > 0) {
		weight = progress->rate > 0 && seconds < SMOOTHING_S ? seconds / SMOOTHING_S : 1;
		progress->rate += weight * (done / seconds - progress->rate);
	}
	progress->percent = percent;
	progress->noted_ms = now_ms;
}

/* "4.1G/10G", "120M/s", "3:05 min left"; "" for what is not known. */
struct details {
	char bytes[2 * SIZE_TEXT_SIZE + 8];
	char rate[SIZE_TEXT_SIZE + 8];
	char left[DURATION_TEXT_SIZE + 8];
};

static void describe(const struct progress *progress, const char *of, struct details *details)
{
	char part[SIZE_TEXT_SIZE], total[SIZE_TEXT_SIZE], time[DURATION_TEXT_SIZE];

	*details = (struct details){ 0 };
	if (progress->total) {
		size_text((uint64_t)((double)progress->total * progress->percent / 100), part);
		size_text(progress->total, total);
		snprintf(details->bytes, sizeof(details->bytes), "%s%s%s", part, of, total);
	}
	if (progress->rate <= 0)
		return;
	duration_text((uint64_t)((100 - progress->percent) / progress->rate + 0.5), time);
	snprintf(details->left, sizeof(details->left), "%s left", time);
	if (!progress->total)
		return;
	size_text((uint64_t)((double)progress->total * progress->rate / 100), part);
	snprintf(details->rate, sizeof(details->rate), "%s/s", part);
}

static void put_bar(FILE *stream, double percent, size_t width, const struct style *style)
{
	size_t full = (size_t)((double)width * percent / 100 + 0.5);

	fputs(style->unicode ? "▕" : "[", stream);
	for (size_t i = 0; i < width; i++)
		fputs(i < full ? (style->unicode ? "█" : "#") : style->unicode ? "░" : ".", stream);
	fputs(style->unicode ? "▏" : "]", stream);
}

/*
 * Clear the details that do not fit beside a bar of the least width; the time left is cleared last,
 * since people look for it. Returns the room that the others take.
 */
static size_t fit_details(struct details *details, size_t room)
{
	size_t used;

	for (;;) {
		used = (*details->bytes ? strlen(details->bytes) + 2 : 0) +
		       (*details->rate ? strlen(details->rate) + 2 : 0) +
		       (*details->left ? strlen(details->left) + 2 : 0);
		if (used <= room || !used)
			return used;
		if (*details->bytes)
			details->bytes[0] = '\0';
		else if (*details->rate)
			details->rate[0] = '\0';
		else
			details->left[0] = '\0';
	}
}

static void put_detail(FILE *stream, const char *text)
{
	if (*text)
		fprintf(stream, "  %s", text);
}

static void put_running(FILE *stream, const struct progress *progress, size_t room, const struct style *style)
{
	struct details details;
	size_t bar;

	describe(progress, "/", &details);
	bar = room - fit_details(&details, room > BAR_MIN + BAR_FRAME ? room - BAR_MIN - BAR_FRAME : room);
	fprintf(stream, " %3.0f%%", progress->percent);
	if (bar >= BAR_MIN + BAR_FRAME) {
		bar = bar - BAR_FRAME < BAR_MAX ? bar - BAR_FRAME : BAR_MAX;
		fputc(' ', stream);
		put_bar(stream, progress->percent, bar, style);
	}
	put_detail(stream, details.bytes);
	put_detail(stream, details.rate);
	put_detail(stream, details.left);
}

char *progress_bar(const struct progress *progress, const struct style *style)
{
	size_t width = style->width ? style->width - 1 : 79, length = 0;
	CLEANUP(freep) char *what = text_fit(progress->what, width / 2, style);
	char *text = NULL;
	FILE *stream = what ? open_memstream(&text, &length) : NULL;

	if (!stream)
		return NULL;
	fputs(what, stream);
	if (progress->waits)
		fputs("  waits", stream);
	else
		put_running(stream, progress, width - text_width(what) - PERCENT_WIDTH, style);
	fclose(stream);
	return text;
}

char *progress_line(struct progress *progress)
{
	int tenth = (int)(progress->percent / 10);
	struct details details;

	if (progress->waits || tenth <= progress->shown_tenth)
		return NULL;
	progress->shown_tenth = tenth;
	describe(progress, " of ", &details);
	return format_text("%s: %.0f%%%s%s%s%s%s%s", progress->what, progress->percent, *details.bytes ? ", " : "",
			   details.bytes, *details.rate ? ", " : "", details.rate, *details.left ? ", " : "",
			   details.left);
}
