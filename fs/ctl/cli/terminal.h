/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stdout or stderr leads to: a terminal of some width that may have colours, or a program that
 * reads it.
 */
#ifndef REVERTFS_CTL_CLI_TERMINAL_H
#define REVERTFS_CTL_CLI_TERMINAL_H

#include "text.h"

/*
 * Look at a descriptor. Colours: on a terminal that is not "dumb", without NO_COLOR in the
 * environment. Unicode: where the user's locale has UTF-8. Also sets the character type of this
 * process's locale, so that text_width() knows wide characters.
 */
void terminal_look(int fd, struct style *ret_style);

/*
 * The terminal's columns as of now, since the user may resize it; 0 where the descriptor is no
 * terminal.
 */
unsigned terminal_width(int fd);

#endif
