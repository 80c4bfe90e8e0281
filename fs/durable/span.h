/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The span of time in which a fold may have written an image: a small record beside the layer's
 * (disk/beat.c). Both times are nanoseconds since 1970, by the clock of the image's filesystem.
 */
#ifndef REVERTFS_DURABLE_SPAN_H
#define REVERTFS_DURABLE_SPAN_H

#include <stdint.h>

#include "guard.h"

struct span {
	uint64_t from, until;
};

/* -ENOENT when there is none, -EBADMSG when it cannot be trusted. */
int span_load(int directory, const char *file, struct span *ret_span);

/* Asks the guard, replaces the file and syncs, as every record is saved (record.h). */
int span_save(struct guard *guard, int directory, const char *file, const struct span *span);

#endif
