/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line with another first word, to be offered in a sentence.
 */
#ifndef REVERTFS_CTL_CLI_RETYPE_H
#define REVERTFS_CTL_CLI_RETYPE_H

#include "arguments.h"

/*
 * "revertctl SUBCOMMAND FIRST WORD... OPTION...", quoted for a shell, without the common options.
 * free() it; NULL when out of memory.
 */
char *retype(const struct arguments *arguments, const char *first);

#endif
