/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a qcow2 header names the layer that it stands on:
 *
 *   MOUNT/.revertfs/layers/ID.qcow2              a sealed layer
 *   MOUNT/.revertfs/layers/ID.backing_file.img   a root: its image, whatever that is called
 *
 * Earlier builds wrote MOUNT/.revertfs/layers/ID and MOUNT/.revertfs/images/NAME. Their headers
 * stay as they are for as long as the layer, so those paths lead there for ever.
 *
 * Why these suffixes? `virsh dumpxml` shows the names, and people find out by "backing_file"
 * whether a domain reverts. And AppArmor's profile of virt-aa-helper lets it read files by their
 * suffixes.
 */
#ifndef REVERTFS_MODEL_LAYER_HEADER_H
#define REVERTFS_MODEL_LAYER_HEADER_H

#include "model.h"

#define LAYER_VIEW_ROOT_SUFFIX ".backing_file.img"
#define LAYER_VIEW_NAME_SIZE (LAYER_ID_SIZE + sizeof(LAYER_VIEW_ROOT_SUFFIX) - 1)

/* What the layer is called in MOUNT/.revertfs/layers. */
void layer_view_name(const struct layer *layer, char name[LAYER_VIEW_NAME_SIZE]);

/* The layer that is called so there, by today's name or an old one; borrowed, or NULL. */
struct layer *layer_find_view_locked(struct disks *disks, const char *name);

/* The path by which a header names the layer from now on; the caller frees. NULL: no memory. */
char *layer_view_path(const struct layer *layer);

/* Whether a header's text names the layer, by today's path or an old one. */
bool layer_is_named_by(const struct layer *layer, const char *path);

/*
 * 0 when the header of the layer's file names this parent and nothing else; -EBADMSG with a
 * sentence.
 */
int layer_check_header(const struct layer *layer, int fd, const struct layer *parent, struct sentence *error);

/*
 * Whether the header of a scratch on this layer, or of a copy of one, still says what revertfs
 * wrote (qcow2_check_scratch()). 0; -EBADMSG, or an I/O error, with a sentence. `ret_header` (NULL:
 * not wanted) is filled where there is one.
 */
int layer_check_scratch(struct layer *layer, int fd, struct qcow2_header *ret_header, struct sentence *error);

#endif
