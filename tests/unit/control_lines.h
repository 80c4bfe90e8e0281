/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control lines and their answers, and the status, over the disks of a world.
 */
#ifndef CONTROL_LINES_H
#define CONTROL_LINES_H

#include "world.h"

#include "control.h"
#include "json.h"
#include "status.h"

static struct caller caller;
static char *answer; /* to the last line */

static void forget_answer(void)
{
	free(answer);
	answer = NULL;
}

__attribute__((format(printf, 1, 2), unused)) static int command(const char *format, ...)
{
	char line[8192];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	forget_answer();
	return control_run(world->disks, &caller, line, strlen(line), &answer);
}

#define check_ok(...)                                                         \
	do {                                                                  \
		if (command(__VA_ARGS__) != 0)                                \
			test_fail(__FILE__, __LINE__, "refused: %s", answer); \
	} while (0)

/* It fails with this errno, in a sentence that holds these words. */
#define check_refused(error_, words_, ...)                                                                          \
	do {                                                                                                        \
		int r_ = command(__VA_ARGS__);                                                                      \
		if (r_ != -(error_) || !strstr(answer, words_))                                                     \
			test_fail(__FILE__, __LINE__, "not %d with '%s', but %d: %s", error_, words_, -r_, answer); \
	} while (0)

/* A member of an object as text, "" for null; `path` is as in "disks.0.action". */
static const char *member_of(struct json_object *object, const char *path)
{
	static char text[8][4096];
	static unsigned next;
	char *copy = strdupa(path), *rest = copy, *key, *out = text[next++ % 8];

	while (object && (key = strsep(&rest, "."))) {
		struct json_object *inner = NULL;

		if (json_object_is_type(object, json_type_array))
			inner = json_object_array_get_idx(object, (size_t)atoi(key));
		else
			json_object_object_get_ex(object, key, &inner);
		object = inner;
	}
	snprintf(out, 4096, "%s", object ? json_object_get_string(object) : "");
	return out;
}

__attribute__((unused)) static const char *answered(const char *path)
{
	struct json_object *object = json_tokener_parse(answer);
	const char *text = member_of(object, path);

	json_object_put(object);
	return text;
}

/* What status.json says of a disk. */
__attribute__((unused)) static const char *status_of(const char *name, const char *path)
{
	char *json = status_json(world->disks, &(struct mount_facts){ .passthrough = false });
	struct json_object *object = json_tokener_parse(json), *list = NULL;
	const char *text = "(no such disk)";

	json_object_object_get_ex(object, "disks", &list);
	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		if (strcmp(member_of(json_object_array_get_idx(list, i), "name"), name) == 0)
			text = member_of(json_object_array_get_idx(list, i), path);
	json_object_put(object);
	free(json);
	return text;
}

__attribute__((unused)) static int layer_count(const char *name)
{
	char path[32];
	int n = -1;

	do
		snprintf(path, sizeof(path), "layers.%d.id", ++n);
	while (*status_of(name, path));
	return n;
}

/* The layer that has a name beginning so: its file. */
__attribute__((unused)) static const char *layer_named(const char *name, const char *prefix)
{
	for (int i = 0; i < layer_count(name); i++) {
		char path[64];

		for (int k = 0; k < 9; k++) {
			snprintf(path, sizeof(path), "layers.%d.names.%d", i, k);
			if (strncmp(status_of(name, path), prefix, strlen(prefix)) == 0) {
				snprintf(path, sizeof(path), "layers.%d.id", i);
				return in_world("state/layers/%s.qcow2", status_of(name, path));
			}
		}
	}
	test_fail(__FILE__, __LINE__, "no layer of '%s' is named '%s'", name, prefix);
}

#endif
