/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "retype.h"

#include <stdio.h>
#include <stdlib.h>

#include "command.h"

char *retype(const struct arguments *arguments, const char *first)
{
	struct sentence quoted;
	size_t length = 0;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &length);

	if (!stream)
		return NULL;
	fprintf(stream, "revertctl %s %s", arguments->subcommand->name, quote_name(first, &quoted));
	for (size_t i = 1; i < arguments->word_count; i++)
		fprintf(stream, " %s", quote_name(arguments->words[i], &quoted));
	for (size_t i = 0; i < arguments->option_count; i++) {
		const struct given_option *given = &arguments->options[i];

		fprintf(stream, " --%s", given->spec->name);
		if (given->value)
			fprintf(stream, "=%s", quote_name(given->value, &quoted));
	}
	if (fclose(stream) == 0)
		return text;
	free(text);
	return NULL;
}
