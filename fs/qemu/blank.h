/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blanks: making scratches without a process. qemu-img writes one empty overlay per head, the
 * blank, and each scratch is a copy of it.
 *
 * A blank is held in memory as the few stretches of the file that are not zero (about 1 KiB), so
 * that a reset is a handful of small writes. Its modification time is set to a whole second in the
 * past and copied to each scratch: a scratch whose modification time or size differs from its
 * blank's has been written, also where no daemon saw the write.
 */
#ifndef REVERTFS_QEMU_BLANK_H
#define REVERTFS_QEMU_BLANK_H

#include <stdbool.h>
#include <sys/stat.h>

#include "options.h"
#include "qcow2.h"
#include "util.h"

struct blank;

/*
 * Have qemu-img make an overlay on `backing` as `name` in `directory`; an old one is replaced.
 * Starts a process and blocks. A negative errno with a sentence.
 */
int blank_make(const struct options *options, int directory, const char *name, const char *backing,
	       const char *backing_format, uint64_t virtual_size, struct blank **ret_blank, struct sentence *error);

/* Read a blank that was made before. -ENOENT, or -EBADMSG when the file cannot be one. */
int blank_load(int directory, const char *name, struct blank **ret_blank);

void blank_free(struct blank *blank); /* NULL is fine */
void blank_freep(struct blank **blank);

/* Put one onto a list of blanks that are no longer used for new scratches; free such a list. */
void blank_retire(struct blank **list, struct blank *blank);
void blank_free_list(struct blank *list);

/* What the header of the blank says, and so of each scratch made of it. Borrowed. */
const struct qcow2_header *blank_header(const struct blank *blank);

/*
 * Have the scratches that are made from now on name this backing file. In memory alone: what was
 * made before still matches the blank. Where the header has no room the name stays as it was.
 */
void blank_set_backing(struct blank *blank, const char *backing);

/* Fill an empty file with the blank's bytes. Not synced. */
int blank_fill(const struct blank *blank, int fd);

/*
 * Give a file that was filled the blank's modification time. Last of all that makes a scratch, for
 * any later write would change the time.
 */
int blank_stamp(const struct blank *blank, int fd);

/* Whether a file is still as blank_fill() and blank_stamp() left it. */
bool blank_matches(const struct blank *blank, const struct stat *stat);

#endif
