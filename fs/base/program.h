/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running a program that works on given files: progress, deadline, exit status, and its stderr
 * turned into a sentence.
 *
 * Files are handed over as descriptors and named /proc/self/fd/N, so no path is resolved again; in
 * a box (box.h) the child can open nothing else, and when it has ended, what it has started is
 * killed. No shell is involved. A child dies with the thread that started it (PDEATHSIG), and so
 * with its daemon. It inherits lock_fds, so that what
 * is locked stays so until it is dead. It runs at low priority when its work is background
 * work, and is killed when it makes no progress (CPU time or bytes read and written) for timeout_s
 * seconds, or has not ended after deadline_s.
 */
#ifndef REVERTFS_BASE_PROGRAM_H
#define REVERTFS_BASE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "box.h"
#include "util.h"

#define PROGRAM_FILES_MAX 258
#define PROGRAM_LOCKS_MAX 3
#define PROGRAM_ARGUMENTS_MAX 24
#define PROGRAM_FIRST_FD 3 /* the number that the first handed-over file has in the child */
#define PROGRAM_COMPLAINT_MAX 600

/*
 * How a long run reports its progress, and how it is stopped. `check`, or NULL, is asked twice a
 * second: 0; 1 to have the child stand still until it is 0 again, however long that takes; a
 * negative errno to stop the run (-ECANCELED).
 */
struct program_watch {
	int stop_fd; /* an eventfd: readable means stop; -1: cannot be stopped */
	void (*progress)(void *context, double percent);
	int (*check)(void *context);
	void *context;
};

/*
 * One run. The caller sets the first group of members and adds arguments and files; the rest is
 * zero. All texts are borrowed.
 */
struct program {
	const char *name;               /* "qemu-img": found in PATH unless it has a slash */
	const char *title;              /* "qemu-img commit", for sentences */
	const char *hint;               /* "install qemu-utils": what to do when it is not there */
	unsigned timeout_s;             /* how long it may go without any progress */
	unsigned deadline_s;            /* how long it may take in all, whatever it does; 0: no limit */
	const char *const *environment; /* ends with NULL; NULL: a fixed PATH and LC_ALL=C */
	bool background;
	int also_fine;                     /* an exit status that is no failure, besides 0 */
	const struct program_watch *watch; /* NULL: nobody watches */
	const struct box_limits *box;      /* NULL: it runs with all rights of the caller */
	/*
	 * What it writes to stderr goes to the log alone, and the sentence has the errno: it may
	 * name files of which those who read the sentence are to know nothing.
	 */
	bool discreet;
	int input_fd; /* its stdin, borrowed; 0: /dev/null */
	/* Stay open in the child, so that their flock(2) lasts until both have ended; 0: none. */
	int lock_fds[PROGRAM_LOCKS_MAX];

	const char *arguments[PROGRAM_ARGUMENTS_MAX]; /* the first is the program's own name; program_add() */
	size_t count;
	int files[PROGRAM_FILES_MAX]; /* borrowed; program_hand_over() */
	size_t file_count;

	/* Filled in by the run. */
	char *output; /* what it wrote to stdout, NUL-terminated; NULL when nothing */
	size_t output_length;
	pid_t pid;
	int out_fd, err_fd;
	char complaint[PROGRAM_COMPLAINT_MAX + 1];
	size_t complaint_length;
	uint64_t started_ms, last_progress_ms;
	bool stands_still;
	unsigned long long work; /* CPU time and bytes, from /proc, when last looked at */
};

/*
 * First of all in main(): who starts this process may ignore SIGCHLD, which execve(2) keeps, and
 * then waitpid(2) does not say how a child has ended.
 */
void program_expect_children(void);

/*
 * The path of a program; the caller frees it. A name with a slash is returned as it is, any other
 * is looked for in PATH. NULL when it is not found.
 */
char *program_find(const char *name);

void program_add(struct program *program, const char *argument);

/* Give the child this file, too. Returns the descriptor's number in the child, or -E2BIG. */
int program_hand_over(struct program *program, int fd);

/*
 * Run the program and wait for its end. -ENOENT: it is not there. -ETIMEDOUT: it hung or was late,
 * and was killed. -ECANCELED: it was stopped. -ENOSPC and the like, as its stderr says; else -EIO.
 * Always with a sentence.
 */
int program_run(struct program *program, struct sentence *error);

/* For CLEANUP(): free what the run has filled in. */
void program_clear(struct program *program);

#endif
