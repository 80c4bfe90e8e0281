/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may read a real image by its path: what its own mode gives, less what the directories above
 * it take away.
 */
#ifndef REVERTFS_MODEL_ACCESS_H
#define REVERTFS_MODEL_ACCESS_H

#include <sys/stat.h>

/*
 * fstat(2) of the image `name` beneath a directory, where st_mode keeps of the read bits those
 * whose users may search every directory on the way, too. Where bits cannot say who may, as with an
 * ACL, fewer are kept. Opens the directories on the way with O_PATH; 0 or a negative errno.
 */
int access_look(int directory, const char *name, struct stat *ret_stat);

/*
 * Of the bits of a file that was made from the image (its layer), keep those whose users may read
 * the image.
 */
void access_lessen(struct stat *file, const struct stat *image);

#endif
