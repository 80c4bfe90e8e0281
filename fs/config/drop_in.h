/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What systemd is to know of a configuration: which directories' filesystems the service needs.
 */
#ifndef REVERTFS_CONFIG_DROP_IN_H
#define REVERTFS_CONFIG_DROP_IN_H

#include "options.h"

/* The text of a drop-in for the unit; the caller frees. NULL when out of memory. */
char *drop_in_text(const struct options *options);

#endif
