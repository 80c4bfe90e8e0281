/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names that others chose: which may become a file's name, and how the others are shown.
 */
#ifndef REVERTFS_BASE_SHOWN_H
#define REVERTFS_BASE_SHOWN_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a name is a single component, so that a file can be called after it. */
bool name_is_usable(const char *name);

/*
 * Copy text, with '?' for each control character and each byte that is not valid UTF-8; cut between
 * characters.
 */
void shown_text(const char *text, char *out, size_t size);

#endif
