/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elsewhere.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "image_mark.h"
#include "lock.h"

struct elsewhere {
	char *name;
	char *where;
	struct elsewhere *next;
};

static void free_entry(struct elsewhere *entry)
{
	if (!entry)
		return;
	free(entry->name);
	free(entry->where);
	free(entry);
}

static struct elsewhere *new_entry(const char *name, const struct mark *mark)
{
	struct elsewhere *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->name = strdup(name);
	entry->where = format_text("'%.200s' of host '%s' (id %s)", mark->path[0] ? mark->path : "?",
				   mark->host[0] ? mark->host : "?", mark->state);
	if (entry->name && entry->where)
		return entry;
	free_entry(entry);
	return NULL;
}

/* A disk says itself that its image is another's. */
static bool is_disk(struct disks *disks, const char *name)
{
	struct disk *disk = disks_find(disks, name);

	disk_put(disk);
	return disk != NULL;
}

/* The first that was found stays the first. */
static void append_locked(struct disks *disks, struct elsewhere *entry)
{
	struct elsewhere **end = &disks->elsewhere;

	while (*end)
		end = &(*end)->next;
	*end = entry;
}

void elsewhere_look(struct disks *disks, const char *name, int fd)
{
	struct elsewhere *entry;
	struct mark mark;

	if (image_mark_read_plain(disks, fd, &mark) != 1 || is_disk(disks, name))
		return;
	entry = new_entry(name, &mark);
	LOCKED (&disks->lock)
		if (entry)
			append_locked(disks, entry);
}

void elsewhere_forget(struct disks *disks, const char *name)
{
	struct elsewhere *found = NULL;

	LOCKED (&disks->lock) {
		struct elsewhere **entry = &disks->elsewhere;

		while (*entry && strcmp((*entry)->name, name) != 0)
			entry = &(*entry)->next;
		found = *entry;
		if (found)
			*entry = found->next;
	}
	free_entry(found);
}

bool elsewhere_said_locked(const struct disks *disks, struct sentence *ret_what)
{
	const struct elsewhere *first = disks->elsewhere;
	struct sentence quoted;
	size_t count = 0;

	for (const struct elsewhere *entry = first; entry; entry = entry->next)
		count++;
	if (!count)
		return false;
	report(ret_what, 0,
	       "%zu image%s that %s here when revertfs started, '%.100s'%s, %s commits in another state directory, %s; start revertfs with that one as state=, or, if it is gone for ever, give the commits up with 'protect %.120s force=yes'",
	       count, count == 1 ? "" : "s", count == 1 ? "was no disk" : "were no disks", first->name,
	       count == 1 ? "" : " among them", count == 1 ? "has" : "have", first->where,
	       quote_name(first->name, &quoted));
	return true;
}

void elsewhere_free(struct disks *disks)
{
	while (disks->elsewhere) {
		struct elsewhere *entry = disks->elsewhere;

		disks->elsewhere = entry->next;
		free_entry(entry);
	}
}
