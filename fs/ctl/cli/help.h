/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --help, made from the table of subcommands: of the program, and of one subcommand.
 */
#ifndef REVERTFS_CTL_CLI_HELP_H
#define REVERTFS_CTL_CLI_HELP_H

#include <stdio.h>

#include "subcommand.h"

void help_program(FILE *stream, const struct subcommand *const *subcommands);
void help_subcommand(FILE *stream, const struct subcommand *subcommand);

#endif
