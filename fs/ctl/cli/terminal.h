/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stdout or stderr leads to: a terminal of some width that may have colours, or something that
 * is read by a program.
 */
#ifndef REVERTFS_CTL_CLI_TERMINAL_H
#define REVERTFS_CTL_CLI_TERMINAL_H

#include "text.h"

/*
 * Look at a descriptor. Colour: a terminal that is not "dumb", and no NO_COLOR in the environment.
 * Unicode: the user's locale says so. Also sets the locale's character type, so that text_width()
 * knows wide characters.
 */
void terminal_look(int fd, struct style *ret_style);

/* The columns of the terminal as of now, which the user may drag; 0 where there is none. */
unsigned terminal_width(int fd);

#endif
