/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The layouts that the handover has had, and conversion from each to the next.
 *
 * A layout is a row of numbers: how large the slots are, and how many there can be. handover.h has
 * the structs of the present one. Those of an earlier one stay in a file of their own, which
 * converts them to the next: handover_1.c for layout 1. Whoever changes a struct of handover.h
 * copies the old one into handover_N.c, lets handover_(N-1).c write into that copy, adds the layout
 * to the list in layout.c, and raises HANDOVER_LAYOUT.
 */
#ifndef REVERTFS_RESTART_LAYOUT_H
#define REVERTFS_RESTART_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "fdstore.h"
#include "handover.h"

#define LAYOUT_MAGIC "revertfs"
#define LAYOUT_PIECE 65536 /* a multiple of every page size */

struct layout {
	const char *name; /* in the descriptor store: each layout has its own, so that two can be there at a time */
	struct layout_kind {
		size_t size;   /* of a slot */
		uint32_t most; /* slots */
		/* Fill a slot of the next layout, whose bytes are 0. NULL in the present layout. */
		void (*convert)(const void *slot, void *ret_slot);
	} kinds[HANDOVER_KINDS];
	/* The same for the header; its magic, layout and `used` are the caller's. */
	void (*convert_header)(const void *header, void *ret_header);
};

extern const struct layout layout_1;
extern const struct layout layout_present;

/* Where the slots of a kind begin; of HANDOVER_KINDS: how long all is. */
size_t layout_offset(const struct layout *layout, size_t kind);
size_t layout_round_up(size_t length);

/* A memfd of that length, with memory for its header alone. A negative errno on failure. */
int layout_make_memfd(const struct layout *layout);

/*
 * The handover that an earlier daemon left in the store, in the present layout; the caller closes
 * it. One in an earlier layout is converted, and takes that one's place in the store. -ENOENT where
 * there is none; -EPROTO where it is damaged or of a layout that this version does not know, and
 * was dropped; with any other error it stays in the store for the next try. All with a sentence but
 * for -ENOENT.
 *
 * At whichever instruction the daemon ends meanwhile, the store holds a whole one: the converted
 * one is stored before the other is dropped, and that is never changed. Where both are there, the
 * later layout is taken.
 */
int layout_take(struct fdstore *store, struct sentence *error);

/* A memfd in the present layout, converted from `fd`, which is consumed and may have it already. */
int layout_convert(int fd, struct sentence *error);

#endif
