/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "newest_aside.h"

#include <string.h>

/* PREFIX-TIME, or PREFIX-TIME-N within one second: the times have one length. NULL: it is none. */
static const char *time_of(const char *snapshot, const char *const *prefixes)
{
	for (; *prefixes; prefixes++) {
		size_t length = strlen(*prefixes);

		if (strncmp(snapshot, *prefixes, length) == 0 && snapshot[length] == '-')
			return snapshot + length + 1;
	}
	return NULL;
}

const char *newest_aside_locked(const struct disk *disk, const char *const *prefixes, const struct layer **ret_layer)
{
	const char *newest = NULL, *newest_time = NULL;

	for (const struct layer *layer = disk->disks->layers; layer; layer = layer->next)
		for (size_t i = 0; i < layer->record.name_count; i++) {
			const struct layer_name *name = &layer->record.names[i];
			const char *time =
				strcmp(name->disk, disk->name) == 0 ? time_of(name->snapshot, prefixes) : NULL;

			if (!time || (newest_time && strverscmp(time, newest_time) <= 0))
				continue;
			newest = name->snapshot;
			newest_time = time;
			*ret_layer = layer;
		}
	return newest;
}
