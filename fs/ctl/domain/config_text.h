/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's JSON file, changed in its text: everything else stays as the administrator wrote it.
 * Pure functions.
 *
 * The texts have been accepted by config_load(). Each function returns a text to free(), or NULL
 * when out of memory.
 */
#ifndef REVERTFS_CTL_DOMAIN_CONFIG_TEXT_H
#define REVERTFS_CTL_DOMAIN_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A new file for these targets; or a file's text with entries for more targets at the end of its
 * "disks".
 */
char *config_text_new(const char *const *targets, size_t count);
char *config_text_add(const char *text, const char *const *targets, size_t count);

/* The text without the entries that `which` (one bool for each entry) is true for. */
char *config_text_remove(const char *text, const bool *which, size_t count);

/* The text with one-shot-commit of these entries set to `value`. */
char *config_text_set_flag(const char *text, const bool *which, size_t count, bool value);

#endif
