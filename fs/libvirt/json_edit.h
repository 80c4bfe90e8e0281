/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Find a value in a JSON text, so that it can be changed and nothing else: order, blanks, numbers
 * and escapes stay as they were written.
 */
#ifndef REVERTFS_LIBVIRT_JSON_EDIT_H
#define REVERTFS_LIBVIRT_JSON_EDIT_H

#include <stddef.h>

/*
 * Walk a text that json_parse() has accepted. json_member() gives the value of the last member with
 * this key (as parsers do with a repeated one), json_element() that of an array's element; NULL
 * where there is none, or the value is no object or array. Each returns a pointer to the value's
 * first character.
 */
const char *json_member(const char *value, const char *key);
const char *json_element(const char *value, size_t index);

/* Behind the value's last character. */
const char *json_end(const char *value);

#endif
