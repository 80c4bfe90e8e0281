/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far long work is: a bar on a terminal, a line now and then elsewhere. Texts alone; nothing is
 * printed here.
 */
#ifndef REVERTFS_CTL_CLI_PROGRESS_H
#define REVERTFS_CTL_CLI_PROGRESS_H

#include "text.h"

struct progress {
	const char *what;  /* "export web1.qcow2" */
	bool waits;        /* nothing runs yet */
	double percent;    /* 0 to 100 */
	uint64_t total;    /* bytes; 0: not known */
	double rate;       /* per cent in a second, smoothed; 0: not known yet */
	uint64_t noted_ms; /* when `percent` was noted; 0: never */
	int shown_tenth;   /* what plain lines have said: 0, 1 ... 10; begin with -1 */
};

/* What the work says of itself now. Going back (another layer's turn) begins the rate anew. */
void progress_note(struct progress *progress, double percent, uint64_t total, uint64_t now_ms);

/*
 * One line without a newline, to free(): as wide as the terminal at most, with a bar where there is
 * room.
 */
char *progress_bar(const struct progress *progress, const struct style *style);

/* For what is no terminal: the same in words; NULL when another line would say nothing new. */
char *progress_line(struct progress *progress);

#endif
