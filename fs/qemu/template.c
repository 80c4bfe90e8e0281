/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file is read in blocks of BLOCK_SIZE; runs of blocks that are not all zero become extents. There are two templates of each disk in
 * memory, so what an extent has after its last byte that is not zero is left to the file's holes.
 */
#include "template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io.h"
#include "qemu_img.h"

#define BLOCK_SIZE 512
#define TEMPLATE_SIZE_MAX (64 * 1024 * 1024) /* an overlay's metadata; larger is none of ours */

struct extent {
	off_t offset;
	size_t length;
	unsigned char *bytes;
};

struct template
{
	off_t size;
	struct timespec modified;
	struct qcow2_header header;
	struct extent *extents;
	size_t count;
};

void template_free(struct template *template)
{
	if (!template)
		return;
	for (size_t i = 0; i < template->count; i++)
		free(template->extents[i].bytes);
	free(template->extents);
	free(template);
}

void template_freep(struct template **template)
{
	template_free(*template);
}

const struct qcow2_header *template_header(const struct template *template)
{
	return &template->header;
}

static bool is_zero(const unsigned char *bytes, size_t length)
{
	return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

/* Keep a block: as more of the last extent where it follows on that, else as a new one. */
static int add_block(struct template *template, off_t offset, const unsigned char *bytes, size_t length)
{
	struct extent *last = template->count ? &template->extents[template->count - 1] : NULL;
	unsigned char *grown;

	if (!last || last->offset + (off_t)last->length != offset) {
		struct extent *larger = reallocarray(template->extents, template->count + 1, sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		template->extents = larger;
		last = &larger[template->count++];
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

static int read_extents(struct template *template, int fd)
{
	unsigned char block[BLOCK_SIZE];

	for (off_t offset = 0; offset < template->size; offset += BLOCK_SIZE) {
		off_t left = template->size - offset;
		size_t length = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
		int r;

		if (offset % (128 * BLOCK_SIZE) == 0) {
			/* Holes are skipped at once; a filesystem without SEEK_DATA reads on. */
			off_t data = lseek(fd, offset, SEEK_DATA);

			if (data < 0 && errno == ENXIO)
				break;
			if (data > offset) {
				offset = data / BLOCK_SIZE * BLOCK_SIZE;
				left = template->size - offset;
				length = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
			}
		}
		r = pread_all(fd, block, length, offset);
		if (r == 0 && !is_zero(block, length))
			r = add_block(template, offset, block, length);
		if (r < 0)
			return r;
	}
	return 0;
}

static void trim_extents(struct template *template)
{
	for (size_t i = 0; i < template->count; i++) {
		struct extent *extent = &template->extents[i];
		unsigned char *smaller;

		while (extent->length > 1 && extent->bytes[extent->length - 1] == 0)
			extent->length--;
		smaller = realloc(extent->bytes, extent->length);
		extent->bytes = smaller ? smaller : extent->bytes;
	}
}

static int load(int fd, struct template **ret_template)
{
	CLEANUP(template_freep) struct template *template = calloc(1, sizeof(*template));
	struct stat stat;
	int r;

	if (!template)
		return -ENOMEM;
	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode) || stat.st_size > TEMPLATE_SIZE_MAX)
		return -EBADMSG;
	template->size = stat.st_size;
	template->modified = stat.st_mtim;
	r = qcow2_read_header(fd, &template->header, NULL);
	if (r == 0)
		r = read_extents(template, fd);
	trim_extents(template);
	if (r == 0)
		*ret_template = steal_pointer(&template);
	return r == -ENOEXEC ? -EBADMSG : r;
}

int template_load(int directory, const char *name, struct template **ret_template)
{
	CLEANUP(close_fdp) int fd = io_open_beneath(directory, name, O_RDONLY | O_NOFOLLOW);

	return fd < 0 ? fd : load(fd, ret_template);
}

int template_make(const struct options *options, int directory, const char *name, const char *backing,
		  const char *backing_format, uint64_t virtual_size, struct template **ret_template,
		  struct sentence *error)
{
	struct timespec past[2] = { { .tv_sec = time(NULL) - 1 }, { .tv_sec = time(NULL) - 1 } };
	CLEANUP(template_freep) struct template *template = NULL;
	CLEANUP(freep) char *new_name = format_text("%s.new", name);
	CLEANUP(close_fdp) int fd = -1;
	int r;

	if (!new_name)
		return report(error, -ENOMEM, "out of memory");
	fd = openat(directory, new_name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return report(error, -errno, "a template cannot be created: %s", error_text(-errno));
	r = qemu_img_create(options, fd, backing, backing_format, virtual_size, error);
	if (r == 0) {
		r = futimens(fd, past) < 0 ? -errno : load(fd, &template);
		if (r < 0)
			report(error, r, "a template cannot be read: %s", error_text(r));
	}
	if (r == 0 && template &&
	    (strcmp(template->header.backing, backing) != 0 ||
	     strcmp(template->header.backing_format, backing_format) != 0))
		r = report(error, -EBADMSG, "qemu-img create wrote another backing file than it was told");
	if (r == 0) {
		/* A torn template would make torn scratches; its name alone may be lost, then it is made again. */
		r = io_sync(fd);
		if (r == 0)
			r = io_rename(directory, new_name, directory, name);
		if (r < 0)
			report(error, r, "a template cannot be kept: %s", error_text(r));
	}
	if (r < 0) {
		io_unlink(directory, new_name);
		return r;
	}
	*ret_template = steal_pointer(&template);
	return 0;
}

int template_fill(const struct template *template, int fd)
{
	if (ftruncate(fd, template->size) < 0)
		return -errno;
	for (size_t i = 0; i < template->count; i++) {
		const struct extent *extent = &template->extents[i];
		int r = pwrite_all(fd, extent->bytes, extent->length, extent->offset);

		if (r < 0)
			return r;
	}
	return 0;
}

int template_stamp(const struct template *template, int fd)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, template->modified };

	return futimens(fd, times) < 0 ? -errno : 0;
}

bool template_matches(const struct template *template, const struct stat *stat)
{
	return stat->st_size == template->size && stat->st_mtim.tv_sec == template->modified.tv_sec &&
	       stat->st_mtim.tv_nsec == template->modified.tv_nsec;
}
