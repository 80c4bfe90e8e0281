/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stopwatch run COUNT FILE COMMAND...    COUNT processes one after the other, FILE as their stdin,
 * from fork to the end stopwatch write COUNT FILE LINE...     COUNT times: each line written to
 * FILE, opened and closed for each, as echo does
 *
 * Prints the median of the COUNT times, in nanoseconds. What fails ends it: a fast failure is no
 * result.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what)
{
	fprintf(stderr, "stopwatch: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void run(const char *input, char **command)
{
	posix_spawn_file_actions_t actions;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	errno = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
	if (errno)
		fail(command[0]);
	if (waitpid(pid, &status, 0) < 0)
		fail("waitpid");
	if (status) {
		fprintf(stderr, "stopwatch: %s ended with status %#x\n", command[0], (unsigned)status);
		exit(1);
	}
	posix_spawn_file_actions_destroy(&actions);
}

static void write_lines(const char *file, char **lines)
{
	for (; *lines; lines++) {
		int fd = open(file, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, *lines, strlen(*lines)) < 0)
			fail(*lines);
		close(fd);
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	size_t count = argc > 4 ? strtoul(argv[2], NULL, 10) : 0;
	uint64_t *times = calloc(count + 1, sizeof(*times));

	if (!count || !times) {
		fprintf(stderr, "usage: stopwatch run|write COUNT FILE COMMAND...|LINE...\n");
		return 2;
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t begun = now();

		if (strcmp(argv[1], "run") == 0)
			run(argv[3], argv + 4);
		else
			write_lines(argv[3], argv + 4);
		times[i] = now() - begun;
	}
	qsort(times, count, sizeof(*times), compare);
	printf("%llu\n", (unsigned long long)times[count / 2]);
	free(times);
	return 0;
}
