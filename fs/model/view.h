/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands in qcow2 headers as backing file: read-only views of real images and of sealed
 * layers.
 *
 * MOUNT/.revertfs/images/NAME is the image of the disk NAME, MOUNT/.revertfs/layers/ID a sealed
 * layer. A view can be opened for reading alone. chown and chmod on one are remembered in memory
 * until nobody uses it: libvirt labels the whole chain when a domain starts and restores only the
 * top, and the real file must not change. The daemon counts who reads what: a fold runs only while
 * nobody reads either of its files.
 */
#ifndef REVERTFS_MODEL_VIEW_H
#define REVERTFS_MODEL_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "disks.h"

struct view; /* a layer, seen from the mount */

/*
 * A reference on the view of a disk's image or of a sealed layer, or NULL when there is none.
 * Release with view_put().
 */
struct view *view_of_image(struct disks *disks, const char *name);
struct view *view_of_layer(struct disks *disks, const char *id);
void view_put(struct view *view); /* NULL is fine */

/* Unique among all views of this daemon's life, and no view's serial is a scratch's. */
uint64_t view_serial(const struct view *view);

/* What it is found by: the layer's id, or the image's name. Borrowed, as long as the view. */
const char *view_name(const struct view *view, bool *ret_is_image);

/* fstat(2) of the file, with the remembered owner and mode. */
int view_stat(struct view *view, struct stat *ret_stat);

/* Remember owner or mode: (uid_t)-1, (gid_t)-1, (mode_t)-1 leave as it is. */
void view_label(struct view *view, uid_t uid, gid_t gid, mode_t mode);

/*
 * Open for reading: a descriptor that the caller hands back to view_close(). Waits until a fold on
 * this file has given way; -EAGAIN instead of waiting when `nonblock` is set.
 */
int view_open(struct view *view, bool nonblock);
void view_close(struct view *view, int fd);

/*
 * The same of a descriptor that an earlier daemon had given, with the serial that it had: waits for
 * nothing, since no fold runs yet.
 */
int view_reopen(struct view *view);
void view_set_serial(struct view *view, uint64_t serial);

/* Call `visit` with the id of each sealed layer, until it returns false. */
void views_visit_layers(struct disks *disks, bool (*visit)(void *context, const char *id), void *context);

#endif
