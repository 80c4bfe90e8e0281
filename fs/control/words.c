/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the words of a line mean, as all verbs read them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "verb.h"

static const struct command_word *find_word(const struct command *command, const char *key)
{
	for (size_t i = 0; i < command->count; i++)
		if (command->words[i].key && strcmp(command->words[i].key, key) == 0)
			return &command->words[i];
	return NULL;
}

const char *find_setting(const struct command *command, const char *key)
{
	const struct command_word *word = find_word(command, key);

	return word ? word->value : NULL;
}

int parse_flag(const struct command_word *word, bool *ret_value, struct sentence *error)
{
	if (strcmp(word->value, "yes") != 0 && strcmp(word->value, "no") != 0)
		return report(error, -EINVAL, "%s must be yes or no", word->key);
	*ret_value = strcmp(word->value, "yes") == 0;
	return 0;
}

int find_flag(const struct command *command, const char *key, bool *ret_value, struct sentence *error)
{
	const struct command_word *word = find_word(command, key);

	return word ? parse_flag(word, ret_value, error) : 0;
}

/*
 * An absolute path is compared as text, for the daemon must never resolve a path in its own mount.
 */
int relative_name(const struct disks *disks, const char *word, char **ret_name, struct sentence *error)
{
	const char *mount = disks->options->mount;
	const char *name = word;
	int r;

	if (word[0] == '/') {
		if (!path_is_beneath(word, mount))
			return report(error, -EINVAL, "'%s' does not lie in the mount '%s'", word, mount);
		name = word + strlen(mount);
		while (*name == '/')
			name++;
	}
	r = check_relative_name(name);
	if (r < 0)
		return report(error, r, "'%s' is no name in the mount", word);
	*ret_name = strdup(name);
	return *ret_name ? 0 : report(error, -ENOMEM, "out of memory");
}
