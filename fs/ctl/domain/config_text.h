/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's JSON file, changed in its text: what was not meant stays as the administrator wrote
 * it. Pure.
 *
 * Texts have been accepted by config_load(). Each function returns a text to free(), NULL when out
 * of memory.
 */
#ifndef REVERTFS_CTL_DOMAIN_CONFIG_TEXT_H
#define REVERTFS_CTL_DOMAIN_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* A file for these targets; and entries for more of them at the end of a file's "disks". */
char *config_text_new(const char *const *targets, size_t count);
char *config_text_add(const char *text, const char *const *targets, size_t count);

/* Without the entries that `which` (one for each) is true for. */
char *config_text_remove(const char *text, const bool *which, size_t count);

/* With one-shot-commit of these entries as `value`. */
char *config_text_set_flag(const char *text, const bool *which, size_t count, bool value);

#endif
