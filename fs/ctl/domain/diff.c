/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff(1) is run, on files in memory: a definition has secrets, which are not written to a disk.
 */
#include "diff.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "grid.h"
#include "program.h"
#include "terminal.h"

#define DIFF_TIMEOUT_S 30

static int put_in_memory(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, text, strlen(text));
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static enum colour line_colour(const char *line)
{
	if (strncmp(line, "---", 3) == 0 || strncmp(line, "+++", 3) == 0)
		return BOLD;
	return *line == '+' ? GREEN : *line == '-' ? RED : *line == '@' ? BLUE : PLAIN;
}

static void print_coloured(char *text)
{
	char *place = NULL;
	struct style style;

	terminal_look(STDOUT_FILENO, &style);
	for (char *line = strtok_r(text, "\n", &place); line; line = strtok_r(NULL, "\n", &place)) {
		enum colour colour = line_colour(line);

		printf("%s%s%s\n", colour_on(colour, &style), line, colour_off(colour, &style));
	}
}

int diff_print(const char *name, const char *before, const char *after, struct sentence *error)
{
	CLEANUP(close_fdp) int old = put_in_memory(before);
	CLEANUP(close_fdp) int new = put_in_memory(after);
	CLEANUP(program_clear)
	struct program diff = { .name = "diff",
				.title = "diff",
				.hint = "install diffutils",
				.timeout_s = DIFF_TIMEOUT_S,
				.also_fine = 1 };
	static const char *const words[] = { "diff", "-u", "--label" };
	int r;

	if (old < 0 || new < 0)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		program_add(&diff, words[i]);
	program_add(&diff, name);
	program_add(&diff, "--label");
	program_add(&diff, name);
	program_add(&diff, "/proc/self/fd/3");
	program_add(&diff, "/proc/self/fd/4");
	program_hand_over(&diff, old);
	program_hand_over(&diff, new);
	r = program_run(&diff, error);
	if (r == 0 && diff.output)
		print_coloured(diff.output);
	return r;
}
