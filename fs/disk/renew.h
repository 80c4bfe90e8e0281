/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An image with a new content: what stands on the old one is given up, and loses its place but not
 * its data: it goes to lost/.
 */
#ifndef REVERTFS_DISK_RENEW_H
#define REVERTFS_DISK_RENEW_H

#include "model.h"

/*
 * `set NAME image=new`. The disk and all clones of the same image begin with what is there now;
 * their layers, holds and snapshots, and scratches that were to be kept, are given up. All of them
 * must be idle. 0, or a negative errno with a sentence; what was given up before an error stays so,
 * and the command can be given again. Blocks for the medium.
 */
int renew_image(struct disks *disks, const char *name, struct sentence *error);

/*
 * Give the files of all layers above the root a name in lost/, in case they are needed after all:
 * before anything is done that leaves a layer without a disk, for then the next start removes it.
 * 0 or a negative errno with a sentence; doing it again does no harm.
 */
int renew_keep_layers(struct layer *root, struct sentence *error);

/*
 * Remove all layers above the root; nothing uses them any more. One that cannot be removed stays
 * behind for the next start, which is logged: -EIO.
 */
int renew_remove_layers(struct layer *root);

#endif
