/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places in the text are found with json_edit.h; what is added looks as in conf/domain.json.
 * Targets are clean texts, in which only quotes and backslashes have to be escaped.
 */
#include "config_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_edit.h"
#include "util.h"

static void put_entry(FILE *stream, const char *target)
{
	fputs("{ \"target\": \"", stream);
	for (; *target; target++) {
		if (*target == '"' || *target == '\\')
			fputc('\\', stream);
		fputc(*target, stream);
	}
	fputs("\", \"one-shot-commit\": false }", stream);
}

/* Close a stream that open_memstream() has opened, and return its text; NULL when out of memory. */
static char *finish(FILE *stream, char **text)
{
	if (fclose(stream) == 0)
		return *text;
	free(*text);
	return NULL;
}

char *config_text_new(const char *const *targets, size_t count)
{
	size_t length = 0;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &length);

	if (!stream)
		return NULL;
	fputs("{\n\t\"disks\": [", stream);
	for (size_t i = 0; i < count; i++) {
		fputs(i ? ",\n\t\t" : "\n\t\t", stream);
		put_entry(stream, targets[i]);
	}
	fputs("\n\t]\n}\n", stream);
	return finish(stream, &text);
}

static size_t count_elements(const char *array)
{
	size_t count = 0;

	while (json_element(array, count))
		count++;
	return count;
}

char *config_text_add(const char *text, const char *const *targets, size_t count)
{
	const char *array = json_member(text, "disks"), *last, *place;
	size_t length = 0, there = array ? count_elements(array) : 0;
	char *changed = NULL;
	FILE *stream = array ? open_memstream(&changed, &length) : NULL;

	if (!stream)
		return NULL;
	last = there ? json_element(array, there - 1) : NULL;
	place = last ? json_end(last) : array + 1;
	fwrite(text, 1, (size_t)(place - text), stream);
	for (size_t i = 0; i < count; i++) {
		fputs(there + i ? ",\n\t\t" : "\n\t\t", stream);
		put_entry(stream, targets[i]);
	}
	if (!there)
		fputs("\n\t", stream);
	fputs(place, stream);
	return finish(stream, &changed);
}

/* An element begins behind what stands in front of it: a comma, or the bracket. */
static const char *element_start(const char *array, size_t index)
{
	return index ? json_end(json_element(array, index - 1)) : array + 1;
}

/* The first entry that stays loses the comma in front of it. */
char *config_text_remove(const char *text, const bool *which, size_t count)
{
	const char *array = json_member(text, "disks"), *rest;
	size_t length = 0;
	char *changed = NULL;
	FILE *stream = array ? open_memstream(&changed, &length) : NULL;
	bool any = false;

	if (!stream)
		return NULL;
	fwrite(text, 1, (size_t)(array + 1 - text), stream);
	for (size_t i = 0; i < count; i++) {
		const char *start = element_start(array, i), *end = json_end(json_element(array, i));

		if (which[i])
			continue;
		if (!any && i)
			start += strspn(start, " \t\r\n,");
		if (!any && i)
			fputs("\n\t\t", stream);
		fwrite(start, 1, (size_t)(end - start), stream);
		any = true;
	}
	rest = count ? json_end(json_element(array, count - 1)) : array + 1;
	fputs(rest, stream);
	return finish(stream, &changed);
}

/*
 * Write the entry with the flag's value replaced; an entry without the flag gets it behind its
 * brace.
 */
static void put_with_flag(FILE *stream, const char *entry, bool value)
{
	const char *flag = json_member(entry, "one-shot-commit"), *end = json_end(entry);
	const char *word = value ? "true" : "false";

	if (flag) {
		fwrite(entry, 1, (size_t)(flag - entry), stream);
		fputs(word, stream);
		fwrite(json_end(flag), 1, (size_t)(end - json_end(flag)), stream);
		return;
	}
	fprintf(stream, "{ \"one-shot-commit\": %s,", word);
	fwrite(entry + 1, 1, (size_t)(end - entry - 1), stream);
}

char *config_text_set_flag(const char *text, const bool *which, size_t count, bool value)
{
	const char *array = json_member(text, "disks"), *from = text;
	size_t length = 0;
	char *changed = NULL;
	FILE *stream = array ? open_memstream(&changed, &length) : NULL;

	if (!stream)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		const char *entry = json_element(array, i);

		if (!which[i])
			continue;
		fwrite(from, 1, (size_t)(entry - from), stream);
		put_with_flag(stream, entry, value);
		from = json_end(entry);
	}
	fputs(from, stream);
	return finish(stream, &changed);
}
