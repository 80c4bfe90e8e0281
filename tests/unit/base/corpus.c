/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control lines, which anybody who may write the control file writes.
 */
#include "corpus.h"

#include "command.h"

CORPUS(control, "control", any_control_line_is_refused_or_written_again_the_same)

/* What was taken as a command is written and read again as the same. */
static void check_written_again(const struct command *command)
{
	struct command *again = NULL;
	char *line = NULL;

	check(command_append(&line, NULL, command->verb) == 0);
	for (size_t i = 0; i < command->count; i++)
		check(command_append(&line, command->words[i].key, command->words[i].value) == 0);
	if (strlen(line) <= COMMAND_LINE_MAX) {
		check(command_parse(line, strlen(line), &again, NULL) == 0 && again);
		check(strcmp(again->verb, command->verb) == 0 && again->count == command->count);
		for (size_t i = 0; i < again->count; i++) {
			const struct command_word *a = &again->words[i], *b = &command->words[i];

			check(strcmp(a->value, b->value) == 0 && !a->key == !b->key);
			check(!a->key || strcmp(a->key, b->key) == 0);
		}
	}
	command_free(again);
	free(line);
}

static void feed_control(const void *data, size_t size)
{
	const char *line = data, *end = line + size, *stop;

	for (; line < end; line = stop + 1) {
		struct command *command = NULL;
		struct sentence error = { "" };
		int r;

		stop = memchr(line, '\n', (size_t)(end - line));
		stop = stop ? stop : end;
		r = command_parse(line, (size_t)(stop - line), &command, &error);
		if (r == 0 && command)
			check_written_again(command);
		else
			check(!command && (r == 0 || ((r == -EINVAL || r == -E2BIG) && *error.text)));
		command_free(command);
	}
}
