/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file is read in blocks of BLOCK_SIZE; runs of blocks that are not all zero become extents.
 * Each disk has two blanks in memory, so to save memory an extent ends with its last byte that is
 * not zero; the hole behind it reads the same.
 */
#include "blank.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io.h"
#include "qemu_img.h"

#define BLOCK_SIZE 512
#define BLANK_SIZE_MAX (64 * 1024 * 1024) /* an empty overlay is metadata alone: no blank is larger */

struct extent {
	off_t offset;
	size_t length;
	unsigned char *bytes;
};

struct blank {
	off_t size;
	struct timespec modified;
	struct qcow2_header header;
	struct extent *extents;
	size_t count;
	struct blank *next; /* of those that are retired */
};

void blank_free(struct blank *blank)
{
	if (!blank)
		return;
	for (size_t i = 0; i < blank->count; i++)
		free(blank->extents[i].bytes);
	free(blank->extents);
	free(blank);
}

void blank_freep(struct blank **blank)
{
	blank_free(*blank);
}

void blank_retire(struct blank **list, struct blank *blank)
{
	blank->next = *list;
	*list = blank;
}

void blank_free_list(struct blank *list)
{
	while (list) {
		struct blank *next = list->next;

		blank_free(list);
		list = next;
	}
}

const struct qcow2_header *blank_header(const struct blank *blank)
{
	return &blank->header;
}

static bool is_zero(const unsigned char *bytes, size_t length)
{
	return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

/* Keep a block, in the last extent where that ends at `offset`, else in a new one. */
static int add_block(struct blank *blank, off_t offset, const unsigned char *bytes, size_t length)
{
	struct extent *last = blank->count ? &blank->extents[blank->count - 1] : NULL;
	unsigned char *grown;

	if (!last || last->offset + (off_t)last->length != offset) {
		struct extent *larger = reallocarray(blank->extents, blank->count + 1, sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		blank->extents = larger;
		last = &larger[blank->count++];
		*last = (struct extent){ .offset = offset };
	}
	grown = realloc(last->bytes, last->length + length);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + last->length, bytes, length);
	last->bytes = grown;
	last->length += length;
	return 0;
}

static int read_extents(struct blank *blank, int fd)
{
	unsigned char block[BLOCK_SIZE];

	for (off_t offset = 0; offset < blank->size; offset += BLOCK_SIZE) {
		off_t left = blank->size - offset;
		size_t length = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
		int r;

		if (offset % (128 * BLOCK_SIZE) == 0) {
			/* Skip holes; where the filesystem has no SEEK_DATA, read on. */
			off_t data = lseek(fd, offset, SEEK_DATA);

			if (data < 0 && errno == ENXIO)
				break;
			if (data > offset) {
				offset = data / BLOCK_SIZE * BLOCK_SIZE;
				left = blank->size - offset;
				length = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
			}
		}
		r = pread_all(fd, block, length, offset);
		if (r == 0 && !is_zero(block, length))
			r = add_block(blank, offset, block, length);
		if (r < 0)
			return r;
	}
	return 0;
}

static void trim_extents(struct blank *blank)
{
	for (size_t i = 0; i < blank->count; i++) {
		struct extent *extent = &blank->extents[i];
		unsigned char *smaller;

		while (extent->length > 1 && extent->bytes[extent->length - 1] == 0)
			extent->length--;
		smaller = realloc(extent->bytes, extent->length);
		extent->bytes = smaller ? smaller : extent->bytes;
	}
}

static int load(int fd, struct blank **ret_blank)
{
	CLEANUP(blank_freep) struct blank *blank = calloc(1, sizeof(*blank));
	struct stat stat;
	int r;

	if (!blank)
		return -ENOMEM;
	if (fstat(fd, &stat) < 0)
		return -errno;
	if (stat.st_size > BLANK_SIZE_MAX)
		return -EBADMSG;
	blank->size = stat.st_size;
	blank->modified = stat.st_mtim;
	r = qcow2_read_header(fd, &blank->header, NULL);
	if (r == 0)
		r = read_extents(blank, fd);
	trim_extents(blank);
	if (r == 0)
		*ret_blank = steal_pointer(&blank);
	return r == -ENOEXEC ? -EBADMSG : r;
}

int blank_load(int directory, const char *name, struct blank **ret_blank)
{
	CLEANUP(close_fdp) int fd = io_open_file(directory, name, O_RDONLY);

	return fd < 0 ? fd : load(fd, ret_blank);
}

int blank_make(const struct options *options, int directory, const char *name, const char *backing,
	       const char *backing_format, uint64_t virtual_size, struct blank **ret_blank, struct sentence *error)
{
	struct timespec past[2] = { { .tv_sec = time(NULL) - 1 }, { .tv_sec = time(NULL) - 1 } };
	CLEANUP(blank_freep) struct blank *blank = NULL;
	CLEANUP(freep) char *new_name = format_text("%s.new", name);
	CLEANUP(close_fdp) int fd = -1;
	int r;

	if (!new_name)
		return report(error, -ENOMEM, "out of memory");
	fd = io_create_file(directory, new_name);
	if (fd < 0)
		return report(error, fd, "the template of its scratches cannot be created: %s", error_text(fd));
	r = qemu_img_create(options, fd, backing, backing_format, virtual_size, error);
	if (r == 0) {
		r = futimens(fd, past) < 0 ? -errno : load(fd, &blank);
		if (r < 0)
			report(error, r, "the template of its scratches cannot be read: %s", error_text(r));
	}
	if (r == 0 && blank &&
	    (strcmp(blank->header.backing, backing) != 0 || strcmp(blank->header.backing_format, backing_format) != 0))
		r = report(error, -EBADMSG, "qemu-img create wrote another backing file than it was told");
	if (r == 0) {
		/*
		 * Synced, for a torn blank would make torn scratches. The rename is not: where a
		 * crash loses the name, the blank is made again.
		 */
		r = io_sync(fd);
		if (r == 0)
			r = io_rename(directory, new_name, directory, name);
		if (r < 0)
			report(error, r, "the template of its scratches cannot be stored: %s", error_text(r));
	}
	if (r < 0) {
		io_unlink(directory, new_name);
		return r;
	}
	*ret_blank = steal_pointer(&blank);
	return 0;
}

/*
 * qemu-img writes the name last into the first cluster, with zeros behind it, so that it is the end
 * of the extent that begins with the header.
 */
static bool has_room(const struct blank *blank, size_t end)
{
	const struct qcow2_header *header = &blank->header;
	const struct extent *first = blank->extents;

	return blank->count && first->offset == 0 && header->backing[0] &&
	       first->length == header->backing_offset + strlen(header->backing) &&
	       end <= 1UL << header->cluster_bits && (blank->count == 1 || end <= (size_t)first[1].offset);
}

void blank_set_backing(struct blank *blank, const char *backing)
{
	struct extent *first = blank->extents;
	size_t length = strlen(backing), end = blank->header.backing_offset + length;
	unsigned char *bytes;

	if (strcmp(blank->header.backing, backing) == 0 || length > QCOW2_BACKING_MAX || !has_room(blank, end))
		return;
	bytes = realloc(first->bytes, end);
	if (!bytes)
		return;
	memcpy(bytes + blank->header.backing_offset, backing, length);
	qcow2_put_backing_length(bytes, (uint32_t)length);
	first->bytes = bytes;
	first->length = end;
	strcpy(blank->header.backing, backing);
}

int blank_fill(const struct blank *blank, int fd)
{
	if (ftruncate(fd, blank->size) < 0)
		return -errno;
	for (size_t i = 0; i < blank->count; i++) {
		const struct extent *extent = &blank->extents[i];
		int r = pwrite_all(fd, extent->bytes, extent->length, extent->offset);

		if (r < 0)
			return r;
	}
	return 0;
}

int blank_stamp(const struct blank *blank, int fd)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, blank->modified };

	return futimens(fd, times) < 0 ? -errno : 0;
}

bool blank_matches(const struct blank *blank, const struct stat *stat)
{
	return stat->st_size == blank->size && stat->st_mtim.tv_sec == blank->modified.tv_sec &&
	       stat->st_mtim.tv_nsec == blank->modified.tv_nsec;
}
