/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names that others chose: which of them a file can have, and how they are shown.
 */
#ifndef REVERTFS_BASE_SHOWN_H
#define REVERTFS_BASE_SHOWN_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a name is a single component of a path, so that a file can have it. */
bool name_is_usable(const char *name);

/*
 * Copy text, with '?' for each control character and each byte that is not valid UTF-8. Where
 * `size` bytes do not suffice, the copy ends after a whole character.
 */
void shown_text(const char *text, char *out, size_t size);

#endif
