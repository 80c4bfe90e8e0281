/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ask the daemons, through their control files, with a deadline that holds whatever they do.
 */
#ifndef REVERTFS_HOOK_CLIENT_H
#define REVERTFS_HOOK_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

#define ANSWER_MAX (1 << 20)

struct question {
	const char *point; /* the mount */
	const char *line;  /* the command, without a newline */
	unsigned timeout_ms;

	/*
	 * What came of it: an answer (NUL-terminated, free() it), or NULL, an errno and a sentence. -ENOTCONN: no daemon
	 * runs there; -ETIMEDOUT: it did not answer in time.
	 */
	char *answer;
	int error;
	struct sentence why;
};

/*
 * Ask all of them at the same time; returns when each has answered, or its time is over. `withdraw`: what is late is taken back
 * as far as the kernel can; otherwise the daemon may still do it.
 */
void client_ask(struct question *questions, size_t count, bool withdraw);

#endif
