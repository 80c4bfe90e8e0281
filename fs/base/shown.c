/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt passes a domain's name as it is: blanks, quotes, broken UTF-8, and, from `virsh create`,
 * newlines. File names are made of the raw name; all that is shown, logged or sent is made with
 * shown_text().
 */
#include "shown.h"

#include <string.h>

#include "util.h"

static bool is_one_clean_character(const char *text, size_t length)
{
	char character[5] = { 0 };

	memcpy(character, text, length);
	return strlen(character) == length && text_is_clean(character);
}

void shown_text(const char *text, char *out, size_t size)
{
	size_t used = 0;

	while (*text) {
		size_t length = 1;

		while (length < 4 && text[length] && !is_one_clean_character(text, length))
			length++;
		if (used + length >= size)
			break;
		if (is_one_clean_character(text, length)) {
			memcpy(out + used, text, length);
		} else {
			length = 1;
			out[used] = '?';
		}
		used += length;
		text += length;
	}
	out[used] = '\0';
}

bool name_is_usable(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}
