/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What would be changed, for people.
 */
#ifndef REVERTFS_CTL_DOMAIN_DIFF_H
#define REVERTFS_CTL_DOMAIN_DIFF_H

#include "util.h"

/*
 * Print a diff of two texts, both called `name`, to stdout; in colours where stdout is a terminal
 * that has colours. Waits for diff(1); fails with a sentence.
 */
int diff_print(const char *name, const char *before, const char *after, struct sentence *error);

#endif
