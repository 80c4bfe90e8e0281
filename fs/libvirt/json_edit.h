/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Find a value in a JSON text, so that the value can be changed and nothing else: order, blanks,
 * numbers and escapes stay as they were written.
 */
#ifndef REVERTFS_LIBVIRT_JSON_EDIT_H
#define REVERTFS_LIBVIRT_JSON_EDIT_H

#include <stddef.h>

/*
 * Walk a text that json_parse() has accepted. json_member() finds the value of an object's member,
 * of a repeated key the last (as parsers do); json_element() finds an array's element. Each returns
 * where the value begins, or NULL: there is none, or `value` is no object or no array.
 */
const char *json_member(const char *value, const char *key);
const char *json_element(const char *value, size_t index);

/* Where the value ends: just behind its last character. */
const char *json_end(const char *value);

#endif
