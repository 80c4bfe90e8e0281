/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "renamed.h"

#include <string.h>

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool renamed_is_overlay(const char *name, const char *backing)
{
	const char *own = last_component(name), *named = last_component(backing);
	size_t length = strlen(own);

	return length && strncmp(own, named, length) == 0 && strcmp(named + length, RENAMED_IMAGE) == 0;
}
