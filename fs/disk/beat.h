/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * While a fold writes an image, a record says until when it may; by that a change that somebody
 * else has made is told from the fold's own.
 */
#ifndef REVERTFS_DISK_BEAT_H
#define REVERTFS_DISK_BEAT_H

#include "model.h"

struct beat;

/*
 * Record the span of a run of the layer's fold, durably. `image` is its parent's file, open for
 * writing until beat_start() has returned. Waits until an earlier run's beat has ended, as whoever
 * begins the run had better done before. A negative errno with nothing begun.
 */
int beat_new(struct layer *layer, int image, struct beat **ret_beat);

/*
 * From here on the span is renewed, by a thread of its own. The layer's record says by now that it
 * is folding: the image's time is changed.
 */
int beat_start(struct beat *beat);

/*
 * To be asked all the time while the image is written: 0; 1 when nothing may be written until it
 * is 0 again, for the next renewal is late; or the errno with which a renewal failed.
 */
int beat_check(struct beat *beat);

/* Ends and frees it. Does not wait: a renewal may still be on its way (layer->beating). */
void beat_end(struct beat *beat);
void beat_endp(struct beat **beat); /* for CLEANUP() */

/*
 * Whether an image with this modification time may be what the fold of the layer has left. Reads
 * the span. True as well for a fold that an earlier version has begun, which kept none.
 */
bool beat_explains(const struct layer *layer, const struct timespec *modified);

#endif
