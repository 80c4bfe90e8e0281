/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far a long command is: a bar for a terminal, now and then a line elsewhere. Makes texts, and
 * prints nothing.
 */
#ifndef REVERTFS_CTL_CLI_PROGRESS_H
#define REVERTFS_CTL_CLI_PROGRESS_H

#include "text.h"

struct progress {
	const char *what;  /* "export web1.qcow2" */
	bool waits;        /* nothing runs yet */
	double percent;    /* 0 to 100 */
	uint64_t total;    /* bytes; 0: not known */
	double rate;       /* per cent a second, smoothed; 0: not known yet */
	uint64_t noted_ms; /* when `percent` was noted; 0: never */
	int shown_tenth;   /* the tenth in the last line: 0, 1 ... 10; begin with -1 */
};

/*
 * Note how far the command is at now_ms (monotonic_ms()). Less than before means that the next
 * layer has begun: the rate then begins anew. What is no percentage is ignored.
 */
void progress_note(struct progress *progress, double percent, uint64_t total, uint64_t now_ms);

/*
 * One line without a newline, to free(): narrower than the terminal, with a bar where there is
 * room.
 */
char *progress_bar(const struct progress *progress, const struct style *style);

/*
 * The same in words, where there is no terminal; to free(). NULL while nothing new could be said:
 * one line for each tenth.
 */
char *progress_line(struct progress *progress);

#endif
