/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real image below a disk that is protected: whether it was changed or replaced outside the
 * mount, and what is done then.
 *
 *   same file, same size and time       nothing
 *   changed or replaced, and nothing    the disk and its clones begin with what is there now, which
 *   stands on it (dependants.h)         is logged
 *   changed or replaced, and something  refused: `set image=` has the ways out
 *   does
 *
 * In the middle of a fold, where it was cut short, what the fold has written is no change (beat.h).
 * Any other is refused: the layer reads right over what it is folded into and over nothing else.
 *
 * Verbs of disks that share the image may come to it at the same time; each does the same.
 */
#ifndef REVERTFS_DISK_IMAGE_H
#define REVERTFS_DISK_IMAGE_H

#include "model.h"

/*
 * Whether the image is what revertfs last saw. A change that nothing depends on is taken as the new
 * content, and logged. 0; -EBUSY with the ways out when something stands on what the image was, the
 * disk's own scratch among it with `scratch_depends`, or when the file is another disk's image,
 * or has layers of another state directory on it (image_mark.h);
 * another errno when it cannot be reached. The disk is claimed.
 */
int image_check(struct disk *disk, bool scratch_depends, struct sentence *error);

/*
 * As image_check() would refuse, and nothing is taken: for who only wants to know. What either says
 * last is the disk's refusal, which the status has.
 */
int image_would_be_refused(struct disk *disk, bool scratch_depends, struct sentence *error);

/* Whether the disk's own scratch is to be kept, and stands on what its image was so far. */
bool image_scratch_stands(const struct disk *disk);

/*
 * Whether what is there now may be taken by `set image=new`, once nothing stands on what it was: 0,
 * or a negative errno with a sentence, and nothing has changed. -EINVAL where it is what revertfs
 * last saw (what a fold writes is no change), and something stands on it.
 */
int image_check_new(struct disk *disk, struct sentence *error);

/*
 * Take what is there now as the content, whatever it was; nothing stands on that any more. 0, or a
 * negative errno with a sentence. The disk is claimed.
 */
int image_take(struct disk *disk, struct sentence *error);

/*
 * Remember what the image looks like after revertfs has written it. -ESTALE when another file has
 * its name.
 */
int image_accept(struct layer *root);

/*
 * The file becomes the image of the disk `name`, whose root is `root`. -EEXIST with a sentence when
 * it is another disk's, which stands on it. A disk that had the file and does not need it forgets
 * it, durably, so that it notices when the file comes back changed.
 */
int image_claim_file(struct disks *disks, const char *name, const struct layer *root, const struct image_stamp *stamp,
		     struct sentence *error);

/* -EEXIST, as image_claim_file() says it, and nothing is recorded. */
int image_check_owner(struct disks *disks, const char *name, const struct layer *root, const struct image_stamp *stamp,
		      struct sentence *error);

/*
 * `set NAME image=unchanged` and `image=as-is`: the image has the same content as ever, or whatever
 * it has; what stands on it stays. `image=mine`: the layers that another state directory has on it
 * are given up (image_mark.h). The disk is claimed and idle. (`image=new`: renew.h)
 */
int image_set(struct disk *disk, const char *value, struct sentence *error);

#endif
