/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In this order, so that a crash leaves the old header or the new one:
 *
 *   1. write the old header as `saved`, durably    a crash before: nothing has happened
 *   2. qemu-img rebase -u, sync                    a crash in between: start-up puts the old header
 *                                                  back, and the caller's step is done again
 *   3. remove `saved`
 */
#include "rebase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"
#include "layer_header.h"
#include "log.h"
#include "qcow2.h"
#include "qemu_img.h"

#define HEADER_SIZE_MAX 65536

/* Header, extensions and backing file name lie in the first cluster. What follows it are tables. */
static size_t size_of(const struct qcow2_header *header)
{
	return header->cluster_bits < 16 ? 1UL << header->cluster_bits : HEADER_SIZE_MAX;
}

static int save_header(int fd, size_t size, int directory, const char *saved)
{
	CLEANUP(freep) char *bytes = malloc(size);
	int r = bytes ? pread_all(fd, bytes, size, 0) : -ENOMEM;

	return r < 0 ? r : io_replace(directory, saved, bytes, size, true);
}

int rebase_header(struct disks *disks, int fd, int directory, const char *saved, const struct layer *parent,
		  struct sentence *error)
{
	CLEANUP(freep) char *path = layer_view_path(parent);
	const char *format = format_name(parent->record.format);
	struct qcow2_header header;
	int r = qcow2_read_header(fd, &header, error);

	if (r < 0)
		return r;
	if (!path)
		return report(error, -ENOMEM, "out of memory");
	if (layer_is_named_by(parent, header.backing) && strcmp(header.backing_format, format) == 0)
		return 0;
	r = save_header(fd, size_of(&header), directory, saved);
	if (r < 0)
		return report(error, r, "the old header cannot be kept: %s", error_text(r));
	r = qemu_img_rebase(disks->options, fd, path, format, error);
	if (r == 0) {
		r = io_sync(fd);
		if (r < 0)
			report(error, r, "the new header cannot be synced: %s", error_text(r));
	}
	if (r < 0) {
		rebase_recover(fd, directory, saved);
		return r;
	}
	log_debug("disk", "a header names '%s' instead of '%s'", path, header.backing);
	r = io_unlink(directory, saved);
	return r < 0 ? report(error, r, "the old header cannot be removed: %s", error_text(r)) : 0;
}

int rebase_recover(int fd, int directory, const char *saved)
{
	CLEANUP(close_fdp) int file = io_open_file(directory, saved, O_RDONLY);
	CLEANUP(freep) char *bytes = NULL;
	struct qcow2_header header;
	size_t length;
	int r;

	if (file < 0)
		return file == -ENOENT ? 0 : file;
	r = read_all(file, HEADER_SIZE_MAX, &bytes, &length);
	if (r == 0 && qcow2_read_header(file, &header, NULL) == 0 && length >= size_of(&header))
		r = pwrite_all(fd, bytes, size_of(&header), 0);
	if (r == 0)
		r = io_sync(fd);
	if (r == 0)
		log_debug("disk", "the header that was kept as '%s' is put back", saved);
	return r < 0 ? r : io_unlink(directory, saved);
}
