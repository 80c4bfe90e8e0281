/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * systemd takes a path as it is written, and knows nothing of symlinks: so what one leads to is
 * named as well. Of the mountpoint it is the directory above that must be there: the mountpoint
 * itself is a mount of ours.
 */
#include "drop_in.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINKS_MAX 8

/* In quotes, where systemd.syntax(7) has escapes, and unit files have specifiers. */
static void print_path(FILE *out, const char *path)
{
	if (!text_is_clean(path))
		return;
	fputs("RequiresMountsFor=\"", out);
	for (; *path; path++) {
		if (strchr("\"\\", *path))
			fputc('\\', out);
		else if (*path == '%')
			fputc('%', out);
		fputc(*path, out);
	}
	fputs("\"\n", out);
}

static void print_with_targets(FILE *out, const char *path)
{
	char target[PATH_MAX];

	print_path(out, path);
	for (int i = 0; i < LINKS_MAX; i++) {
		ssize_t n = readlink(path, target, sizeof(target) - 1);

		if (n <= 0 || target[0] != '/')
			return;
		target[n] = '\0';
		print_path(out, target);
		path = target;
	}
}

static void print_directory_above(FILE *out, const char *path)
{
	size_t length = strlen(path);
	CLEANUP(freep) char *above = NULL;

	while (length && path[length - 1] == '/')
		length--;
	while (length && path[length - 1] != '/')
		length--;
	while (length > 1 && path[length - 1] == '/')
		length--;
	above = strndup(path, length);
	if (above && *above == '/')
		print_path(out, above);
}

char *drop_in_text(const struct options *options)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return NULL;
	fputs("[Unit]\n", out);
	print_with_targets(out, options->images);
	print_directory_above(out, options->mount);
	print_with_targets(out, options->state);
	if (options->scratch)
		print_with_targets(out, options->scratch);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
