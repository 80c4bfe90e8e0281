/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ask the daemons, through their control files, with a deadline that holds whatever they do.
 */
#ifndef REVERTFS_CLIENT_CLIENT_H
#define REVERTFS_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util.h"

#define ANSWER_MAX (1 << 20) /* bytes */
#define FILE_ANSWER_MAX (64 << 20)

struct question {
	const char *point; /* the mount */
	const char *line;  /* the command, without a newline */
	const char *file;  /* or a file to read instead, beneath .revertfs; NULL: none */
	const char *named; /* or a name: whether the mount has it. The answer is "", or the error -ENOENT */
	unsigned timeout_ms;

	/*
	 * The outcome: an answer (NUL-terminated, the caller frees it), or NULL, a negative errno
	 * and a sentence. -ENOTCONN: no daemon runs there; -ETIMEDOUT: no answer came in time.
	 */
	char *answer;
	int error;
	struct sentence why;
};

/*
 * Ask all the questions at the same time; returns when each has its answer or its time is over.
 * `withdraw`: a question that is late is withdrawn, which the kernel can only do while the daemon
 * has not read it; otherwise the daemon may still do what it was asked.
 */
void client_ask(struct question *questions, size_t count, bool withdraw);

/* A question under way, for a caller that has a poll loop and a deadline of its own. */
struct inquiry {
	pid_t pid;
	int fd;            /* readable when something has come; -1 when the question is settled */
	uint64_t deadline; /* in monotonic_ms(); client_ask() alone looks at it */
	char *received;
	size_t length;
};

/* Start asking. 0, or a negative errno; the question then has its sentence. */
int client_begin(struct question *question, struct inquiry *inquiry);

/* Read what has come, without blocking. Returns whether the question is settled. */
bool client_take(struct question *question, struct inquiry *inquiry);

/* For CLEANUP(): stop listening; the daemon goes on with what it was asked. */
void client_endp(struct inquiry *inquiry);

#endif
