/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of what the checks have found. A finding that finds no memory is lost.
 */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct doctor *doctor, enum level level, const char *what, size_t length, const char *fix)
{
	struct finding *larger = reallocarray(doctor->findings, doctor->finding_count + 1, sizeof(*larger));

	if (!larger)
		return;
	doctor->findings = larger;
	larger[doctor->finding_count++] = (struct finding){
		.level = level,
		.check = doctor->check,
		.what = strndup(what, length),
		.fix = fix ? strdup(fix) : NULL,
	};
}

void doctor_note(struct doctor *doctor, enum level level, const char *fix, const char *format, ...)
{
	char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	if (text)
		add(doctor, level, text, strlen(text), fix);
	free(text);
}

/* Where the remedy of a sentence begins, at its colon or semicolon; NULL: it has none. */
static const char *remedy_of(const char *sentence)
{
	const char *split = NULL;

	for (const char *p = sentence; *p; p++)
		if ((*p == ':' || *p == ';') && p[1] == ' ')
			split = p;
	return split;
}

void doctor_note_sentence(struct doctor *doctor, enum level level, const struct sentence *sentence)
{
	const char *text = sentence->text, *split = remedy_of(text);

	if (split)
		add(doctor, level, text, (size_t)(split - text), split + 2);
	else
		add(doctor, level, text, strlen(text), NULL);
}

bool doctor_has_noted(const struct doctor *doctor, const char *sentence)
{
	const char *split = remedy_of(sentence);
	CLEANUP(freep) char *what = strndup(sentence, split ? (size_t)(split - sentence) : strlen(sentence));

	for (size_t i = 0; i < doctor->finding_count; i++)
		if (what && doctor->findings[i].what && strstr(doctor->findings[i].what, what))
			return true;
	return false;
}

void doctor_forget(struct doctor *doctor, size_t count)
{
	while (doctor->finding_count > count) {
		struct finding *last = &doctor->findings[--doctor->finding_count];

		free(last->what);
		free(last->fix);
	}
}
