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

#define ANSWER_MAX (1 << 20)
#define FILE_ANSWER_MAX (64 << 20)

struct question {
	const char *point; /* the mount */
	const char *line;  /* the command, without a newline */
	const char *file;  /* in its place: what to read, beneath .revertfs */
	unsigned timeout_ms;

	/*
	 * What came of it: an answer (NUL-terminated, free() it), or NULL, an errno and a sentence.
	 * -ENOTCONN: no daemon runs there; -ETIMEDOUT: it did not answer in time.
	 */
	char *answer;
	int error;
	struct sentence why;
};

/*
 * Ask all of them at the same time; returns when each has answered, or its time is over.
 * `withdraw`: what is late is taken back as far as the kernel can; otherwise the daemon may still
 * do it.
 */
void client_ask(struct question *questions, size_t count, bool withdraw);

/*
 * A question under way, for who has a poll loop of its own, and his own idea of when it is too
 * late.
 */
struct inquiry {
	pid_t pid;
	int fd; /* readable when something has come; -1 when the question is settled */
	uint64_t deadline;
	char *received;
	size_t length;
};

/* 0, or a negative errno; the question then has its sentence. */
int client_begin(struct question *question, struct inquiry *inquiry);

/* Take what has come. Whether the question is settled by now. */
bool client_take(struct question *question, struct inquiry *inquiry);

/* For CLEANUP(): stop listening; what was asked goes on. */
void client_endp(struct inquiry *inquiry);

#endif
