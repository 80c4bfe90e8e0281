/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Read-only views of real images and of sealed layers, which qcow2 headers name as backing files
 * (layer_header.h): MOUNT/.revertfs/layers/ID.qcow2 is a layer, ID.backing_file.img beside it an
 * image, and so is MOUNT/.revertfs/images/NAME, for people.
 *
 * A view is readable by whoever may reach and read the image by its path, and by the owner of a
 * disk that stands on it, so that a guest reads a template in a directory that is closed to it. For
 * that, and so that .revertfs/ is answered while the images' filesystem hangs, what the image and
 * the directories above it look like is remembered from when the daemon last looked at the image:
 * when a disk was protected, prepared or reset, the view opened, or the daemon started. A mode that
 * is changed outside the mount counts for views from then on.
 *
 * chown and chmod on a view, which only root may do, are remembered in memory until no session uses
 * the layer: libvirt labels the whole chain when a domain starts and restores the top alone, and
 * the real file must not change. Each open view pins its layer, since a fold may only touch files
 * that nobody reads.
 */
#ifndef REVERTFS_MODEL_VIEW_H
#define REVERTFS_MODEL_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "disks.h"
#include "onlookers.h"

/*
 * A reference to a layer; of an image, to the content that it has when the view is made: once
 * another content is taken for it (`contents`), other views are made, which are other files to the
 * kernel, and who has this one open goes on reading the file that he opened.
 */
struct view;

/*
 * The view of a disk's image, of a sealed layer by its id, or of what is called so beneath
 * .revertfs/layers; NULL when there is none. view_put() ends it.
 */
struct view *view_of_image(struct disks *disks, const char *name);
struct view *view_of_layer(struct disks *disks, const char *id);
struct view *view_of_name(struct disks *disks, const char *name);
void view_put(struct view *view); /* NULL is fine */

/* Unique among all layers, contents of images, and scratches of this daemon's life. */
uint64_t view_serial(const struct view *view);
uint64_t view_contents(const struct view *view);   /* record.contents of its layer */
struct layer *view_layer(const struct view *view); /* borrowed, as long as the view */

/* The filesystem of an image, as far as it was looked at; 0 for a layer, which is our own file. */
dev_t view_device(const struct view *view);

/* The layer's id, or the image's name, by which the view is found. Borrowed from the view. */
const char *view_name(const struct view *view, bool *ret_is_image);

/*
 * What the file looks like, with the owner and mode that a view has. Touches the state directory,
 * not that of the images.
 */
int view_stat(struct view *view, struct stat *ret_stat);

/* Remember owner and mode; (uid_t)-1, (gid_t)-1 and (mode_t)-1 leave one as it is. */
void view_label(struct view *view, uid_t uid, gid_t gid, mode_t mode);

/*
 * Open for reading and pin the layer; view_close() ends both. Waits until a fold of this file has
 * yielded. A descriptor or a negative errno. With `onlooker` (not NULL) an onlooker opens it: the
 * fold may not yield (-ESTALE), and the layer is not pinned for longer than a fold has patience.
 * -ESTALE also where the image has another content since: look the name up again.
 */
int view_open(struct view *view, struct onlooker *onlooker);
void view_close(struct view *view, int fd, const struct onlooker *onlooker);

/*
 * -EROFS: nobody opens a view for writing. Most likely it is QEMU that tries, since `virsh
 * blockcommit` without --base means the image; the disk's last error then has the command that ends
 * with the disk.
 */
int view_refuse_writer(const struct view *view);

/*
 * After a restart, for what the daemon before had looked up and open: give the view back its serial
 * and the contents that it was made of. Pin the layer again, which waits for nothing, since no fold
 * runs yet, until view_close(). And open it: a descriptor, or a negative errno; -ESTALE when
 * another file has the image's name. *ret_seen is what an onlooker has `seen` of the file.
 */
void view_restore(struct view *view, uint64_t serial, uint64_t contents);
void view_pin_again(struct view *view, struct onlooker *onlooker);
int view_open_again(struct view *view, uint64_t *ret_seen);

/* Call `visit` with each name beneath .revertfs/layers, one for each, until it returns false. */
void views_visit_names(struct disks *disks, bool (*visit)(void *context, const char *name), void *context);

#endif
