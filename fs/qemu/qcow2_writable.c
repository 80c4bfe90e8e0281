/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qemu-img opens what `commit` writes into for reading first, and then reopens it: so it does not
 * see that the file is marked corrupt, nor mend what is dirty, as it does where it opens a file for
 * writing at once (QEMU 7.2).
 *
 * A bitmap is in use while a QEMU writes to the file, and for ever after one that died. Its flags
 * are in the directory of bitmaps, which is read entry by entry. Layout: QEMU's
 * docs/interop/qcow2.txt.
 */
#include "qcow2_writable.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define INCOMPATIBLE_DIRTY (1ULL << 0)
#define INCOMPATIBLE_CORRUPT (1ULL << 1)

/* QEMU's bounds. */
#define BITMAPS_MAX 65535
#define DIRECTORY_MAX (1024ULL * BITMAPS_MAX)

#define BITMAP_IN_USE (1U << 0)

/* An entry of the directory as it lies in the file. Extra data and the name follow. */
struct bitmap_entry {
	uint64_t table_offset;
	uint32_t table_size;
	uint32_t flags;
	uint8_t type;
	uint8_t granularity_bits;
	uint16_t name_size;
	uint32_t extra_data_size;
};

static uint64_t entry_length(const struct bitmap_entry *entry)
{
	uint64_t length = sizeof(*entry) + (uint64_t)be32toh(entry->extra_data_size) + be16toh(entry->name_size);

	return (length + 7) & ~(uint64_t)7;
}

int qcow2_find_bitmap_in_use(int fd, const struct qcow2_header *header, bool *ret_found, struct sentence *error)
{
	uint64_t done = 0;

	*ret_found = false;
	if (header->bitmaps && (header->bitmaps > BITMAPS_MAX || header->bitmap_directory_size > DIRECTORY_MAX ||
				header->bitmap_directory > INT64_MAX - DIRECTORY_MAX))
		return report(error, -EBADMSG, "it has more bitmaps than QEMU reads");
	for (uint32_t i = 0; i < header->bitmaps && !*ret_found; i++) {
		struct bitmap_entry entry = { 0 };
		int r;

		if (done + sizeof(entry) > header->bitmap_directory_size)
			return report(error, -EBADMSG, "it has a directory of bitmaps that is cut short");
		r = pread_all(fd, &entry, sizeof(entry), (off_t)(header->bitmap_directory + done));
		if (r < 0)
			return report(error, r, "its directory of bitmaps cannot be read: %s", error_text(r));
		*ret_found = be32toh(entry.flags) & BITMAP_IN_USE;
		done += entry_length(&entry);
	}
	return 0;
}

int qcow2_check_growable(int fd, const struct qcow2_header *header, struct sentence *error)
{
	bool in_use = false;
	int r = qcow2_find_bitmap_in_use(fd, header, &in_use, error);

	if (r < 0)
		return r;
	return in_use ? report(error, -EOPNOTSUPP,
			       "it has a bitmap that is in use, so that qemu-img does not resize it; 'qemu-img bitmap --remove' removes it")
		      : 0;
}

bool qcow2_is_too_old_to_grow(const struct qcow2_header *header)
{
	return header->version < 3 && header->snapshots;
}

bool qcow2_is_corrupt(const struct qcow2_header *header)
{
	return header->incompatible & INCOMPATIBLE_CORRUPT;
}

bool qcow2_is_dirty(const struct qcow2_header *header)
{
	return header->incompatible & INCOMPATIBLE_DIRTY;
}
