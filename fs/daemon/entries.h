/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lies in the folders of the state directory when it is loaded.
 */
#ifndef REVERTFS_DAEMON_ENTRIES_H
#define REVERTFS_DAEMON_ENTRIES_H

#include "model.h"

/*
 * Call `visit` for each name that the directory has at this moment; what `visit` adds or removes
 * does not matter. 0 or a negative errno.
 */
int entries_visit(struct disks *disks, int directory, void (*visit)(struct disks *disks, const char *name));

/* Whether the name is longer than the suffix and ends in it. */
bool entry_has_suffix(const char *name, const char *suffix);

/* The entry may say that something is needed, but cannot be read: log this, remove nothing. */
void entry_is_unreadable(struct disks *disks, const char *what, const char *name, int error);

#endif
