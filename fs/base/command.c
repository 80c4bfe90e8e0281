/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One pass over the line, one function per kind of token. Nothing here knows which verbs exist.
 */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What a backslash stands before, inside quotes: all that a shell reads in its double quotes, so
 * that one word can be typed to both.
 */
#define ESCAPED "\"\\$`"

static bool is_blank(char c)
{
	return c == ' ';
}

static bool is_key_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

void command_free(struct command *command)
{
	if (!command)
		return;
	for (size_t i = 0; i < command->count; i++) {
		free(command->words[i].key);
		free(command->words[i].value);
	}
	free(command->words);
	free(command->verb);
	free(command);
}

void command_freep(struct command **command)
{
	command_free(*command);
}

/* The length of "key=" at the start of a word, or 0 where the word is a plain one. */
static size_t key_length(const char *text)
{
	size_t n = 0;

	while (is_key_character(text[n]))
		n++;
	return n && text[n] == '=' ? n : 0;
}

/*
 * Copy the word at the start of the text to `out`, without its quotes and escapes. `out` has room
 * for the whole text. Returns how many bytes of the text the word takes, or -EINVAL.
 */
static ssize_t take_word(const char *text, char *out, struct sentence *error)
{
	const char *p = text;
	bool quoted = false;

	for (; *p && (quoted || !is_blank(*p)); p++) {
		if (*p == '"') {
			quoted = !quoted;
		} else if (quoted && *p == '\\') {
			p++;
			if (!*p || !strchr(ESCAPED, *p))
				return report(error, -EINVAL,
					      "a backslash inside quotes must be followed by \\, \", $ or `");
			*out++ = *p;
		} else {
			*out++ = *p;
		}
	}
	if (quoted)
		return report(error, -EINVAL, "a double quote is not closed");
	*out = '\0';
	return p - text;
}

static int add_word(struct command *command, const char *key, size_t key_size, const char *value)
{
	struct command_word *larger, *word;

	larger = reallocarray(command->words, command->count + 1, sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	command->words = larger;
	word = &larger[command->count];
	word->key = key_size ? strndup(key, key_size) : NULL;
	word->value = strdup(value);
	if (!word->value || (key_size && !word->key)) {
		free(word->key);
		free(word->value);
		return -ENOMEM;
	}
	command->count++;
	return 0;
}

static int parse_words(struct command *command, const char *text, char *scratch, struct sentence *error)
{
	const char *p = text;

	for (;;) {
		size_t key_size;
		ssize_t used;
		int r;

		while (is_blank(*p))
			p++;
		if (!*p)
			return 0;
		if (command->count == COMMAND_WORDS_MAX)
			return report(error, -E2BIG, "a line may hold %d words", COMMAND_WORDS_MAX);
		key_size = command->verb ? key_length(p) : 0;
		used = take_word(key_size ? p + key_size + 1 : p, scratch, error);
		if (used < 0)
			return (int)used;
		if (!command->verb) {
			command->verb = strdup(scratch);
			r = command->verb ? 0 : -ENOMEM;
		} else {
			r = add_word(command, p, key_size, scratch);
		}
		if (r < 0)
			return report(error, r, "out of memory");
		p += used + (key_size ? (ssize_t)key_size + 1 : 0);
	}
}

int command_parse(const char *line, size_t length, struct command **ret_command, struct sentence *error)
{
	CLEANUP(command_freep) struct command *command = NULL;
	CLEANUP(freep) char *text = NULL;
	CLEANUP(freep) char *scratch = NULL;
	int r;

	if (length > COMMAND_LINE_MAX)
		return report(error, -E2BIG, "a line may hold %d bytes", COMMAND_LINE_MAX);
	text = strndup(line, length);
	scratch = malloc(length + 1);
	command = calloc(1, sizeof(*command));
	if (!text || !scratch || !command)
		return report(error, -ENOMEM, "out of memory");
	if (strlen(text) != length)
		return report(error, -EINVAL, "the line holds a NUL byte");
	for (char *p = text; *p; p++)
		if (*p == '\t')
			*p = ' ';
	if (!text_is_clean(text))
		return report(error, -EINVAL, "the line holds a control character or is not valid UTF-8");
	r = parse_words(command, text, scratch, error);
	if (r < 0)
		return r;
	if (command->verb)
		*ret_command = steal_pointer(&command);
	else
		*ret_command = NULL;
	return 0;
}

int command_append(char **line, const char *key, const char *value)
{
	size_t old = *line ? strlen(*line) : 0;
	char *larger, *p;

	if (!text_is_clean(value))
		return -EINVAL;
	/* blank, key, '=', every byte of the value escaped, two quotes, NUL */
	larger = realloc(*line, old + 1 + (key ? strlen(key) + 1 : 0) + 2 * strlen(value) + 3);
	if (!larger)
		return -ENOMEM;
	*line = larger;
	p = larger + old;
	if (old)
		*p++ = ' ';
	if (key)
		p += sprintf(p, "%s=", key);
	*p++ = '"';
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			*p++ = '\\';
		*p++ = *value;
	}
	*p++ = '"';
	*p = '\0';
	return 0;
}

const char *quote_name(const char *name, struct sentence *buffer)
{
	char *p = buffer->text, *end = buffer->text + sizeof(buffer->text) - 3; /* an escape, the quote, NUL */

	if (*name && !strpbrk(name, " \"\\'=$`;&|<>()*?[]{}#~!"))
		return name;
	*p++ = '"';
	for (const char *n = name; *n; n++) {
		if (p >= end)
			return "";
		if (strchr(ESCAPED, *n))
			*p++ = '\\';
		*p++ = *n;
	}
	*p++ = '"';
	*p = '\0';
	return buffer->text;
}

const char *quote_shell(const char *path, struct sentence *buffer)
{
	char *p = buffer->text, *end = buffer->text + sizeof(buffer->text) - 2; /* an escape, NUL */

	for (const char *c = path; *c; c++) {
		if (p + 1 >= end) {
			p = buffer->text;
			break;
		}
		if (strchr(" \t\"\\'$`;&|<>()*?[]{}#~!^", *c))
			*p++ = '\\';
		*p++ = *c;
	}
	*p = '\0';
	return buffer->text;
}
