/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hook is known by what its text says, so that a comment may do; one that only passes events on
 * to others says nothing of the kind.
 */
#include "other_hooks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "host.h"
#include "renamed.h"
#include "virsh.h"

#define LOOKED_AT (1 << 20) /* bytes of a hook */

static bool has(const char *text, size_t length, const char *words)
{
	return memmem(text, length, words, strlen(words)) != NULL;
}

static bool does_the_same(int fd)
{
	CLEANUP(freep) char *text = malloc(LOOKED_AT);
	size_t length = 0;
	ssize_t n = 1;

	while (text && n > 0 && length < LOOKED_AT) {
		n = pread(fd, text + length, LOOKED_AT - length, (off_t)length);
		length += n > 0 ? (size_t)n : 0;
	}
	return text && (has(text, length, "hooks/config") || has(text, length, RENAMED_IMAGE) ||
			(has(text, length, "config/") && has(text, length, ".json")));
}

/* libvirt calls no hook that is not executable. */
static bool is_other_hook(const char *path)
{
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat stat;

	return strcmp(path, HOST_HOOK) != 0 && fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) &&
	       (stat.st_mode & 0111) && does_the_same(fd);
}

/* Take the path over, where it is another hook's. */
static void look_at(char *path, char ***list, size_t *count)
{
	char **larger = path && is_other_hook(path) ? reallocarray(*list, *count + 2, sizeof(*larger)) : NULL;

	if (!larger) {
		free(path);
		return;
	}
	*list = larger;
	larger[(*count)++] = path;
	larger[*count] = NULL;
}

char **other_hooks_find(void)
{
	DIR *directory = opendir(HOST_HOOKS "/qemu.d");
	struct dirent *entry;
	char **list = NULL;
	size_t count = 0;

	look_at(strdup(HOST_HOOKS "/qemu"), &list, &count);
	while (directory && (entry = readdir(directory)))
		look_at(format_text(HOST_HOOKS "/qemu.d/%s", entry->d_name), &list, &count);
	if (directory)
		closedir(directory);
	return list;
}

void other_hooks_say(const char *hook, struct sentence *ret_sentence)
{
	struct sentence quoted;

	report(ret_sentence, 0,
	       "another hook, '%s', uses the domains' JSON files too, or renames their images, and no domain whose disks "
	       "revert can start beside it: once no domain runs under it, 'chmod -x %s'",
	       hook, quote_shell(hook, &quoted));
}

int other_hooks_refuse(struct sentence *error)
{
	CLEANUP(virsh_free_names) char **hooks = other_hooks_find();
	struct sentence said;

	if (!hooks)
		return 0;
	other_hooks_say(hooks[0], &said);
	return report(error, -EBUSY, "%s", said.text);
}
