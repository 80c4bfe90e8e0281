/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All is read from headers, before the first byte is written: once a layer's record says `folding`
 * there is no way back, and a fold that cannot end would block its disk for good.
 */
#include "writable.h"

#include <errno.h>

#include "layer.h"
#include "qcow2_writable.h"

static const char *kind_of(const struct layer *layer)
{
	return layer->record.image ? "image" : "layer that it stands on";
}

int writable_check_size(const struct layer *layer, int fd, uint64_t size, struct sentence *error)
{
	struct qcow2_header header;
	struct sentence why;
	int r;

	if (layer->record.format != FORMAT_QCOW2 || size <= layer_virtual_size(layer))
		return 0;
	r = qcow2_read_header(fd, &header, &why);
	if (r == 0)
		r = qcow2_check_growable(fd, &header, &why);
	return r < 0 ? report(error, r, "the %s cannot grow to %llu bytes: %s", kind_of(layer),
			      (unsigned long long)size, why.text)
		     : 0;
}
