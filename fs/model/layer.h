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

/* What scratches of the disk stand on: the hold, else the head. */
struct layer *disk_base(const struct disk *disk);

/*
 * A layer in memory alone, with a fresh id; the caller owns the reference. NULL when out of memory.
 */
struct layer *layer_new(struct disks *disks);

/*
 * Make it part of the tree, beneath record.parent (which must be there). Takes a reference of its
 * own.
 */
int layer_insert(struct layer *layer);
int layer_insert_locked(struct layer *layer);

/* Whether `layer` is `base` or one of its ancestors. */
bool layer_is_below_locked(const struct layer *layer, const struct layer *base);
/*
 * Whether a child is being folded into it: alone it then means nothing, and nothing may choose it.
 */
bool layer_is_torn_locked(const struct layer *layer);
size_t layer_depth_locked(const struct layer *layer); /* 1 for a root */

/* The path that a qcow2 header names it by; the caller frees. */
char *layer_view_path(const struct layer *layer);

/* Open its file: the image for a root, else layers/ID.qcow2. A descriptor or a negative errno. */
int layer_open_file(const struct layer *layer, int flags);

/*
 * The blank for scratches on this layer: loaded or made when it is not there yet (then a process is
 * started). Borrowed; lives as long as the layer.
 */
int layer_blank(struct layer *layer, struct blank **ret_blank, struct sentence *error);

/*
 * Replace the record on disk, then in memory. `record` is as the old one with some members changed;
 * its name list is taken over when it differs. Where two disks may do that at once (names on a
 * layer that both stand on, what their image looks like), disks->records is held from the copy on.
 */
int layer_update(struct layer *layer, const struct layer_record *record);

/*
 * A disk's name for the layer: added (-ENOSPC when it has too many; that the disk has no other
 * layer of that name is the caller's business), or taken away (-ENOENT). layer_take_names() moves
 * all names of `from`, of whatever disk.
 */
int layer_add_name(struct layer *layer, const char *disk, const char *snapshot);
int layer_drop_name(struct layer *layer, const char *disk, const char *snapshot);
int layer_take_names(struct layer *layer, struct layer *from);
bool layer_has_name_locked(const struct layer *layer, const char *disk, const char *snapshot);

/* The first of the disk's names that begins with the prefix, which stays the layer's, or NULL. */
const char *layer_find_name_locked(const struct layer *layer, const char *disk, const char *prefix);

/* Move its file to lost/, where nothing uses it. */
int layer_to_lost(struct layer *layer);

/*
 * Take it out of the tree and remove its files, record first. Only for layers that nothing stands
 * on.
 */
int layer_remove(struct layer *layer);

/*
 * The image has another size now: the next layer_blank() makes a new one. Only while nobody but the
 * caller can use the old.
 */
void layer_forget_blank(struct layer *layer);

/*
 * Whether the real image is what revertfs last saw. 0; 1 when it was changed (*ret_stamp is what it
 * is now); or a negative errno. While `folding` only the inode counts.
 */
int layer_check_image(const struct layer *root, bool folding, struct image_stamp *ret_stamp);
int layer_stamp_image(int fd, struct image_stamp *ret_stamp);

/* The layer's header and its parent, as the header must name it; 0 or -EBADMSG with a sentence. */
int layer_check_header(const struct layer *layer, int fd, const struct layer *parent, struct sentence *error);

/*
 * Have the views of the disk's chain forget owners and modes, as far as no other session uses them
 * .
 */
void layer_forget_labels_locked(struct disk *disk);

/* The tail of file names in layers/. */
#define LAYER_RECORD_SUFFIX ".json"
#define LAYER_FILE_SUFFIX ".qcow2"
#define LAYER_BLANK_SUFFIX ".template"
#define LAYER_HEADER_SUFFIX ".header"

char *layer_file_name(const char *id, const char *suffix);

/* The layer that the disk knows by this name, or NULL. Borrowed. */
struct layer *disk_find_snapshot_locked(const struct disk *disk, const char *name);

#endif
