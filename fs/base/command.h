/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A control line: a verb, words, and key=value settings, in the order they stand.
 *
 * Words are separated by blanks; a word with blanks goes in double quotes, inside which \" and \\
 * are escapes. A tab is read as a blank. A word is a setting when an unquoted '=' follows a key of
 * lower-case letters, digits and '-'; so a file called a=b is written "a=b". Other control
 * characters and invalid UTF-8 are refused anywhere. The daemon parses lines, the hook and
 * revertctl write them; all use this file, so that they cannot disagree.
 */
#ifndef REVERTFS_BASE_COMMAND_H
#define REVERTFS_BASE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

#define COMMAND_LINE_MAX 65536 /* bytes in one line, the newline not counted */
#define COMMAND_WORDS_MAX 1024

struct command_word {
	char *key;   /* NULL for a plain word */
	char *value; /* the word itself, or what follows the '='; never NULL */
};

struct command {
	char *verb;
	struct command_word *words;
	size_t count;
};

/*
 * Parse one line (no newline in it). 0, with *ret_command NULL for a blank line; or -EINVAL, -E2BIG
 * (longer than COMMAND_LINE_MAX or more words than COMMAND_WORDS_MAX), -ENOMEM with a sentence.
 * Free with command_free().
 */
int command_parse(const char *line, size_t length, struct command **ret_command, struct sentence *error);
void command_free(struct command *command); /* NULL is fine */
void command_freep(struct command **command);

/*
 * Append " word" or " key=word", quoted so that command_parse() gives it back exactly; the first
 * word of an empty line (NULL) has no blank in front. `*line` is reallocated; the caller frees it.
 * -EINVAL where the value cannot stand in a line (control character, invalid UTF-8), or -ENOMEM:
 * the line is then as before.
 */
int command_append(char **line, const char *key, const char *value);

/*
 * A name as it is typed in a command that a sentence offers, for the control file and a shell: in
X */
const char *quote_name(const char *name, struct sentence *buffer);

/*
 * A path as a word of a shell's command alone, whatever somebody has called the file: backslashes
 * before all that a shell might take for its own. "" where it is too long for the buffer.
 */
const char *quote_shell(const char *path, struct sentence *buffer);

#endif
