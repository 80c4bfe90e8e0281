/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shells' part (conf/) hands over the words and shows what comes back, so both shells know all
 * that the table knows.
 *
 * bash takes "--format=raw" for three words, zsh for one: both are understood.
 */
#include "completion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"

void candidates_clear(struct candidates *candidates)
{
	for (size_t i = 0; i < candidates->count; i++)
		free(candidates->items[i]);
	free(candidates->items);
	*candidates = (struct candidates){ 0 };
}

void candidates_add(struct candidates *candidates, const struct unfinished *unfinished, const char *text)
{
	char **larger;

	if (strncmp(text, unfinished->prefix, strlen(unfinished->prefix)) != 0)
		return;
	larger = reallocarray(candidates->items, candidates->count + 1, sizeof(*larger));
	if (!larger)
		return;
	candidates->items = larger;
	larger[candidates->count] = format_text("%s%s", unfinished->in_front, text);
	candidates->count += larger[candidates->count] != NULL;
}

/* ---- the words before */

struct line {
	const struct subcommand *const *subcommands;
	const struct subcommand *subcommand;
	size_t words; /* of the subcommand, that are complete */
	bool live;    /* --live: the name is a domain's */
};

static const struct option_spec *find_option(const struct line *line, const char *word)
{
	const struct option_spec *lists[] = { common_options, line->subcommand ? line->subcommand->options : NULL };
	size_t length;

	if (strncmp(word, "--", 2) != 0)
		return NULL;
	word += 2;
	length = strcspn(word, "=");
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (const struct option_spec *o = lists[i]; o && o->name; o++)
			if (strlen(o->name) == length && strncmp(o->name, word, length) == 0)
				return o;
	return NULL;
}

static bool wants_value(const struct option_spec *option)
{
	return option && option->value && option->value[0] != '[';
}

static void take_word(struct line *line, const char *word, struct unfinished *unfinished)
{
	if (line->subcommand) {
		if (line->words++ == 0)
			unfinished->disk = word;
		return;
	}
	for (const struct subcommand *const *s = line->subcommands; *s && !line->subcommand; s++)
		if (strcmp((*s)->name, word) == 0)
			line->subcommand = *s;
}

static void take_value(const struct option_spec *option, const char *value, struct unfinished *unfinished)
{
	if (strcmp(option->name, "mount") == 0)
		unfinished->mount = value;
	else if (strcmp(option->name, "connect") == 0)
		unfinished->connect = value;
}

/* Take all words but the last. Returns the option whose value the last word is, or NULL. */
static const struct option_spec *take_words(struct line *line, const char *const *words, size_t count,
					    struct unfinished *unfinished)
{
	const struct option_spec *open = NULL;

	for (size_t i = 0; i + 1 < count; i++) {
		const char *word = words[i], *equals = strchr(word, '=');

		if (strcmp(word, "=") == 0 && open)
			continue;
		if (open) {
			take_value(open, word, unfinished);
			open = NULL;
			continue;
		}
		if (strncmp(word, "--", 2) != 0) {
			take_word(line, word, unfinished);
			continue;
		}
		line->live |= strcmp(word, "--live") == 0;
		open = find_option(line, word);
		if (open && equals)
			take_value(open, equals + 1, unfinished);
		if (equals || !wants_value(open))
			open = NULL;
	}
	return open;
}

/* ---- the last word */

/*
 * `value` is what the table calls the value: "raw|qcow2" and "[=require]" list the values there
 * are, a word in capitals says what kind of value it is.
 */
static void complete_value(const char *value, struct unfinished *unfinished, struct candidates *candidates)
{
	static const struct {
		const char *word;
		enum completion_kind kind;
	} kinds[] = { { "FILE", COMPLETE_FILES },
		      { "POINT", COMPLETE_POINTS },
		      { "DIR", COMPLETE_MOUNTS },
		      { "NAME", COMPLETE_DISKS },
		      { "CMD", COMPLETE_FILES },
		      { "DOMAIN", COMPLETE_DOMAINS },
		      { "DOMAIN...", COMPLETE_DOMAINS },
		      { "DOMAIN|NAME", COMPLETE_REMAINS },
		      { "NAME|DOMAIN", COMPLETE_DISKS_AND_DOMAINS } };
	bool optional = strncmp(value, "[=", 2) == 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].word, value) == 0)
			unfinished->kind = kinds[i].kind;
	if ((strchr(value, '|') || optional) && unfinished->kind == COMPLETE_NOTHING) {
		CLEANUP(freep) char *copy = strdup(value + (optional ? 2 : 0));
		char *rest = copy, *one;

		while (rest && (one = strsep(&rest, optional ? "|]" : "|")))
			if (*one && strcmp(one, "N") != 0)
				candidates_add(candidates, unfinished, one);
	}
}

static void complete_options(const struct line *line, struct unfinished *unfinished, struct candidates *candidates)
{
	const struct option_spec *lists[] = { line->subcommand ? line->subcommand->options : NULL, common_options };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (const struct option_spec *o = lists[i]; o && o->name; o++) {
			CLEANUP(freep) char *text = format_text("--%s%s", o->name, wants_value(o) ? "=" : "");

			if (text)
				candidates_add(candidates, unfinished, text);
		}
	}
}

static const char *const settings[] = { "keep-revisions=",   "leftover=discard", "leftover=keep", "durability=relaxed",
					"durability=strict", "reverts=yes",      "reverts=no",    "size=",
					"image=unchanged",   "image=as-is",      "image=new",     "image=mine" };

/* `key`: the word in front of an equals sign that is a word of its own, or NULL. */
static void complete_settings(const char *key, struct unfinished *unfinished, struct candidates *candidates)
{
	size_t length = key ? strlen(key) : 0;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (!key)
			candidates_add(candidates, unfinished, settings[i]);
		else if (strncmp(settings[i], key, length) == 0 && settings[i][length] == '=' &&
			 settings[i][length + 1])
			candidates_add(candidates, unfinished, settings[i] + length + 1);
	}
}

/*
 * What the usage calls the word at this index, without brackets. The last word is repeated where it
 * ends with dots. free() it.
 */
static char *usage_word(const char *usage, size_t index)
{
	for (;;) {
		size_t length = strcspn(usage, " ");
		bool repeated = length > 3 && strncmp(usage + length - 3, "...", 3) == 0;

		if (index == 0 || (repeated && !usage[length])) {
			usage += *usage == '[';
			return strndup(usage, strcspn(usage, " ]"));
		}
		if (!usage[length])
			return NULL;
		usage += length + 1;
		index--;
	}
}

static void complete_word(const struct line *line, const char *key, struct unfinished *unfinished,
			  struct candidates *candidates)
{
	CLEANUP(freep) char *word = usage_word(line->subcommand->words, line->words);

	if (!word)
		return;
	if (strcmp(word, "KEY=VALUE...") == 0)
		complete_settings(key, unfinished, candidates);
	else if (strcmp(word, "NAME") == 0 && line->live)
		unfinished->kind = COMPLETE_DOMAINS;
	else
		complete_value(word, unfinished, candidates);
}

/*
 * bash makes three words of "size=1G", and two while no value is typed. Returns the key of such a
 * setting, or NULL. The prefix becomes what is typed of the value.
 */
static const char *split_key(const char *const *words, size_t count, struct unfinished *unfinished)
{
	if (count >= 2 && strcmp(words[count - 1], "=") == 0) {
		unfinished->prefix = "";
		return words[count - 2];
	}
	return count >= 3 && strcmp(words[count - 2], "=") == 0 ? words[count - 3] : NULL;
}

void completion_parse(const struct subcommand *const *subcommands, const char *const *words, size_t count,
		      struct unfinished *ret_unfinished, struct candidates *candidates)
{
	struct line line = { .subcommands = subcommands };
	const struct option_spec *open;
	const char *last = count ? words[count - 1] : "", *equals;

	*ret_unfinished = (struct unfinished){ .prefix = last, .in_front = "" };
	open = take_words(&line, words, count, ret_unfinished);
	equals = strncmp(last, "--", 2) == 0 ? strchr(last, '=') : NULL;
	if (open) {
		ret_unfinished->prefix = strcmp(last, "=") == 0 ? "" : last;
		complete_value(open->value, ret_unfinished, candidates);
	} else if (equals && find_option(&line, last)) {
		snprintf(ret_unfinished->buffer, sizeof(ret_unfinished->buffer), "%.*s", (int)(equals + 1 - last),
			 last);
		ret_unfinished->in_front = ret_unfinished->buffer;
		ret_unfinished->prefix = equals + 1;
		if (find_option(&line, last)->value)
			complete_value(find_option(&line, last)->value, ret_unfinished, candidates);
	} else if (strncmp(last, "--", 2) == 0) {
		complete_options(&line, ret_unfinished, candidates);
	} else if (!line.subcommand) {
		for (const struct subcommand *const *s = subcommands; *s; s++)
			candidates_add(candidates, ret_unfinished, (*s)->name);
	} else {
		complete_word(&line, split_key(words, count, ret_unfinished), ret_unfinished, candidates);
	}
}
