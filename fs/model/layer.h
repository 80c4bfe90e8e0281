/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of layers: finding, adding, naming and removing them, their files, and the blanks for
 * scratches on them.
 *
 * Functions ending in _locked want disks->lock held; the others must not have it.
 */
#ifndef REVERTFS_MODEL_LAYER_H
#define REVERTFS_MODEL_LAYER_H

#include "model.h"

struct layer *layer_find_locked(struct disks *disks, const char *id); /* borrowed, or NULL */

/* What the disk's scratches stand on: the hold, else the head. */
struct layer *disk_base(const struct disk *disk);

/* A layer with a fresh id, in memory alone: a reference. NULL when out of memory. */
struct layer *layer_new(struct disks *disks);

/*
 * Make a layer part of the tree, on record.parent; -ENOENT when that is not in the tree. The tree
 * takes a reference of its own.
 */
int layer_insert(struct layer *layer);
int layer_insert_locked(struct layer *layer);

/* Whether `layer` is `base` or one of its ancestors. */
bool layer_is_below_locked(const struct layer *layer, const struct layer *base);

struct layer *layer_root_locked(struct layer *layer); /* borrowed; itself when it is one */

/*
 * Whether a child is being folded into the layer, or was before a crash. The layer's file is then
 * half the child's, and reads right through the child alone: nothing may choose it.
 */
bool layer_is_torn_locked(const struct layer *layer);
size_t layer_depth_locked(const struct layer *layer); /* 1 for a root */

/* How many images of this owner are disks, as far as they were looked at. */
size_t layer_count_images_locked(const struct disks *disks, uid_t owner);

/* How many times another content was taken for a root's image. */
uint64_t layer_contents(const struct layer *root);

/*
 * How large it is for a guest, in bytes. Of a root that changes when another image is taken for it,
 * so that only a fold, which owns the layer, reads the record's member without the lock.
 */
uint64_t layer_virtual_size(const struct layer *layer);

/* Open the file: the image for a root, else layers/ID.qcow2. A descriptor or a negative errno. */
int layer_open_file(const struct layer *layer, int flags);

/*
 * Whether the files of the layer and of all beneath it are there: 0, or -EIO with a sentence.
 * Blocks for the images' filesystem.
 */
int layer_check_files(const struct layer *layer, struct sentence *error);

/*
 * The blank for scratches on this layer, loaded or made where it is not there yet: making one
 * starts a process and blocks. Borrowed; lives as long as the layer.
 */
int layer_blank(struct layer *layer, struct blank **ret_blank, struct sentence *error);

/*
 * Make another one, with the options that there are now. After an error the old one stays. The
 * scratches on the layer no longer match it: the caller replaces them.
 */
int layer_renew_blank(struct layer *layer, struct sentence *error);

/*
 * Replace the record on the medium, then in memory. `record` is a copy of the old one with some
 * members changed; the layer owns its names afterwards, and the caller frees the old ones where
 * they differ. Two disks may share the layer and both change its names, or what their image looks
 * like: for such a change the caller holds disks->records from the copy on.
 */
int layer_update(struct layer *layer, const struct layer_record *record);

/*
 * Add a disk's name for the layer (-ENOSPC when the layer has too many), or remove one (-ENOENT).
 * The caller sees to it that the disk has no other layer of that name. layer_take_names() adds all
 * names of `from`, of every disk, and leaves them at `from` too. All of them block for the medium.
 */
int layer_add_name(struct layer *layer, const char *disk, const char *snapshot);
int layer_drop_name(struct layer *layer, const char *disk, const char *snapshot);
int layer_take_names(struct layer *layer, struct layer *from);
bool layer_has_name_locked(const struct layer *layer, const char *disk, const char *snapshot);

/* The first of the disk's names for the layer that begins with the prefix, or NULL. Borrowed. */
const char *layer_find_name_locked(const struct layer *layer, const char *disk, const char *prefix);

/*
 * Give the layer's file a name in lost/, too, so that it stays there when the layer is removed. 0
 * also where it has that name already. Not synced.
 */
int layer_keep_in_lost(const struct layer *layer);

/* Wait until no thread renews the layer's span (disk/beat.h): a sync at most. */
void layer_await_beat_locked(struct layer *layer);

/*
 * Remove a layer that nothing stands on: the record, then the files, then from the tree; the
 * image's mark goes with the last one (image_mark.h). After an error the layer stays in the tree.
 * Blocks for the medium.
 */
int layer_remove(struct layer *layer);

/*
 * Drop the blank, because the layer has another virtual size now or is not needed: the next
 * layer_blank() makes one. The old one stays in memory as long as the layer.
 */
void layer_forget_blank(struct layer *layer);

/*
 * Have the views of the disk's chain forget the owners and modes that libvirt gave them, but for
 * those that are open or that another session uses.
 */
void layer_forget_labels_locked(struct disk *disk);

/* What comes behind the id in file names of layers/. */
#define LAYER_RECORD_SUFFIX ".json"
#define LAYER_FILE_SUFFIX ".qcow2"
#define LAYER_BLANK_SUFFIX ".template"
#define LAYER_HEADER_SUFFIX ".header"
#define LAYER_SPAN_SUFFIX ".span"

char *layer_file_name(const char *id, const char *suffix);

/* The layer of a disk's snapshot, or NULL. Borrowed. */
struct layer *disk_find_snapshot_locked(const struct disk *disk, const char *name);

#endif
