/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The status for people: the table of all disks, one disk in full, and its tree of layers. Drawn
 * from the JSON alone.
 */
#ifndef REVERTFS_CTL_DAEMON_DRAW_H
#define REVERTFS_CTL_DAEMON_DRAW_H

#include "grid.h"
#include "json.h"

/* Each returns a text to free(), NULL when out of memory. */
char *draw_status(struct json_object *status, const struct style *style);
char *draw_disk(struct json_object *disk, const struct style *style);
char *draw_tree(struct json_object *disk, const struct style *style);

enum colour state_colour(const char *state);

#endif
