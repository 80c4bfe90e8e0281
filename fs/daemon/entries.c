/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "entries.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "listing.h"
#include "log.h"

bool entry_has_suffix(const char *name, const char *suffix)
{
	size_t length = strlen(name), tail = strlen(suffix);

	return length > tail && strcmp(name + length - tail, suffix) == 0;
}

int entries_visit(struct disks *disks, int directory, void (*visit)(struct disks *disks, const char *name))
{
	CLEANUP(listing_freep) struct listing *listing = listing_new();
	CLEANUP(close_fdp) int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : listing ? listing_read(listing, fd) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < listing->count; i++)
		visit(disks, listing->entries[i].name);
	return r;
}

void entry_is_unreadable(struct disks *disks, const char *what, const char *name, int error)
{
	log_error("state directory: %s '%s' cannot be read (%s); nothing that it may need is removed until it can",
		  what, name, error_text(error));
	disks->incomplete = true;
}
