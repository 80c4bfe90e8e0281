/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Read-only views of real images and of sealed layers, which qcow2 headers name as backing files:
 * MOUNT/.revertfs/images/NAME is the image of the disk NAME, MOUNT/.revertfs/layers/ID a layer.
 *
 * chown and chmod on a view are remembered in memory until no session uses the layer: libvirt
 * labels the whole chain when a domain starts and restores the top alone, and the real file must
 * not change. Each open view pins its layer, since a fold may only touch files that nobody reads.
 */
#ifndef REVERTFS_MODEL_VIEW_H
#define REVERTFS_MODEL_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "disks.h"

struct view; /* a reference to a layer */

/*
 * The view of a disk's image or of a sealed layer, or NULL when there is none; view_put() ends it.
 */
struct view *view_of_image(struct disks *disks, const char *name);
struct view *view_of_layer(struct disks *disks, const char *id);
void view_put(struct view *view); /* NULL is fine */

/* Unique among all layers and scratches of this daemon's life. */
uint64_t view_serial(const struct view *view);

/* The layer's id, or the image's name, by which the view is found. Borrowed from the view. */
const char *view_name(const struct view *view, bool *ret_is_image);

/* fstat(2) of the file, with the remembered owner and mode. */
int view_stat(struct view *view, struct stat *ret_stat);

/* Remember owner and mode; (uid_t)-1, (gid_t)-1 and (mode_t)-1 leave one as it is. */
void view_label(struct view *view, uid_t uid, gid_t gid, mode_t mode);

/*
 * Open for reading and pin the layer; view_close() ends both. Waits until a fold of this file has
 * yielded; -EAGAIN instead with `nonblock`. A descriptor or a negative errno.
 */
int view_open(struct view *view, bool nonblock);
void view_close(struct view *view, int fd);

/*
 * After a restart: open again what the daemon before had open, and give the layer its serial. Does
 * not wait, since no fold runs yet.
 */
int view_reopen(struct view *view);
void view_set_serial(struct view *view, uint64_t serial);

/* Call `visit` with the id of each sealed layer, until it returns false. */
void views_visit_layers(struct disks *disks, bool (*visit)(void *context, const char *id), void *context);

#endif
