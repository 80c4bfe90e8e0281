/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bounded reader: header and extensions lie in the first cluster, of which the first 64 KiB are
 * read at most.
 */
#include "qcow2.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MAGIC 0x514649fbU /* "QFI\xfb" */
#define HEADER_READ_MAX 65536
#define BACKING_LENGTH_AT 16
#define SNAPSHOTS_OFFSET 60 /* of their number */
#define V2_HEADER_LENGTH 72
#define V3_HEADER_LENGTH 104
#define SECTOR 512
#define BITMAPS_LENGTH 24
#define CLUSTER_BITS_MIN 9
#define CLUSTER_BITS_MAX 21 /* QEMU's */

#define INCOMPATIBLE_DIRTY (1ULL << 0)
#define INCOMPATIBLE_CORRUPT (1ULL << 1)
#define INCOMPATIBLE_DATA_FILE (1ULL << 2)
#define INCOMPATIBLE_EXTENDED_L2 (1ULL << 4)
#define INCOMPATIBLE_KNOWN 0x1fULL /* dirty, corrupt, data file, compression type, extended L2 entries */
#define COMPATIBLE_LAZY_REFCOUNTS (1ULL << 0)
#define AUTOCLEAR_BITMAPS (1ULL << 0)

enum extension {
	EXTENSION_END = 0,
	EXTENSION_BACKING_FORMAT = 0xe2792aca,
	EXTENSION_FEATURE_NAMES = 0x6803f857,
	EXTENSION_BITMAPS = 0x23852875,
	EXTENSION_DATA_FILE = 0x44415441,
};

/* The beginning of a file, and a reader that never leaves it. */
struct window {
	unsigned char bytes[HEADER_READ_MAX];
	size_t length;
};

static uint32_t be32_at(const struct window *window, size_t offset)
{
	uint32_t value;

	memcpy(&value, window->bytes + offset, sizeof(value));
	return be32toh(value);
}

static uint64_t be64_at(const struct window *window, size_t offset)
{
	uint64_t value;

	memcpy(&value, window->bytes + offset, sizeof(value));
	return be64toh(value);
}

static int read_window(int fd, struct window *window)
{
	window->length = 0;
	while (window->length < sizeof(window->bytes)) {
		ssize_t n = pread(fd, window->bytes + window->length, sizeof(window->bytes) - window->length,
				  (off_t)window->length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		window->length += (size_t)n;
	}
	return 0;
}

static int read_backing(const struct window *window, struct qcow2_header *header, struct sentence *error)
{
	uint64_t offset = be64_at(window, 8);
	uint32_t length = be32_at(window, BACKING_LENGTH_AT);

	if (offset == 0)
		return 0;
	if (length > QCOW2_BACKING_MAX || offset > window->length || length > window->length - offset)
		return report(error, -EBADMSG, "its qcow2 header places the backing file's name outside the header");
	memcpy(header->backing, window->bytes + offset, length);
	header->backing[length] = '\0';
	header->backing_offset = offset;
	if (strlen(header->backing) != length)
		return report(error, -EBADMSG, "its qcow2 header has a NUL byte in the backing file's name");
	return 0;
}

static int read_extension(const struct window *window, size_t offset, uint32_t type, uint32_t length,
			  struct qcow2_header *header, struct sentence *error)
{
	switch (type) {
	case EXTENSION_BACKING_FORMAT:
		if (length >= sizeof(header->backing_format))
			return report(error, -EBADMSG, "its qcow2 header names an impossible backing format");
		memcpy(header->backing_format, window->bytes + offset, length);
		header->backing_format[length] = '\0';
		break;
	case EXTENSION_DATA_FILE:
		header->data_file = true;
		break;
	case EXTENSION_BITMAPS:
		if (length < BITMAPS_LENGTH)
			return report(error, -EBADMSG,
				      "its qcow2 header has an extension for bitmaps that is cut short");
		header->bitmaps = be32_at(window, offset);
		header->bitmap_directory_size = be64_at(window, offset + 8);
		header->bitmap_directory = be64_at(window, offset + 16);
		break;
	case EXTENSION_FEATURE_NAMES:
		break;
	default:
		header->unknown_extension = true;
	}
	return 0;
}

static int read_extensions(const struct window *window, struct qcow2_header *header, struct sentence *error)
{
	size_t offset = header->header_length;

	for (;;) {
		uint32_t type, length;
		int r;

		if (offset + 8 > window->length)
			return report(error, -EBADMSG, "its qcow2 header has no end");
		type = be32_at(window, offset);
		length = be32_at(window, offset + 4);
		offset += 8;
		if (type == EXTENSION_END)
			return 0;
		if (length > window->length - offset)
			return report(error, -EBADMSG, "its qcow2 header has an extension that is too long");
		r = read_extension(window, offset, type, length, header, error);
		if (r < 0)
			return r;
		offset += (length + 7U) & ~7U;
	}
}

static int read_version_3(const struct window *window, struct qcow2_header *header, struct sentence *error)
{
	if (window->length < V3_HEADER_LENGTH)
		return report(error, -EBADMSG, "its qcow2 header is cut short");
	header->incompatible = be64_at(window, 72);
	header->compatible = be64_at(window, 80);
	header->autoclear = be64_at(window, 88);
	header->refcount_order = be32_at(window, 96);
	header->header_length = be32_at(window, 100);
	if (header->header_length < V3_HEADER_LENGTH || header->header_length > window->length)
		return report(error, -EBADMSG, "its qcow2 header gives an impossible length of itself");
	if (header->header_length > V3_HEADER_LENGTH)
		header->compression = window->bytes[V3_HEADER_LENGTH];
	if (header->incompatible & INCOMPATIBLE_DATA_FILE)
		header->data_file = true;
	return 0;
}

static int parse_window(const struct window *window, struct qcow2_header *header, struct sentence *error)
{
	int r = 0;

	header->version = be32_at(window, 4);
	header->cluster_bits = be32_at(window, 20);
	header->virtual_size = be64_at(window, 24);
	header->encryption = be32_at(window, 32);
	header->l1_length = be32_at(window, 36);
	header->l1_offset = be64_at(window, 40);
	header->snapshots = be32_at(window, SNAPSHOTS_OFFSET);
	header->refcount_order = 4;
	header->header_length = V2_HEADER_LENGTH;
	if (header->version != 2 && header->version != 3)
		return report(error, -EBADMSG, "its qcow2 header has version %u, which is not known", header->version);
	if (header->cluster_bits < CLUSTER_BITS_MIN || header->cluster_bits > CLUSTER_BITS_MAX)
		return report(error, -EBADMSG, "its qcow2 header gives an impossible size of clusters");
	if (header->version == 3)
		r = read_version_3(window, header, error);
	if (r == 0)
		r = read_extensions(window, header, error);
	/* What has written since knew nothing of bitmaps, and QEMU takes none for valid. */
	if (!(header->autoclear & AUTOCLEAR_BITMAPS))
		header->bitmaps = 0;
	return r < 0 ? r : read_backing(window, header, error);
}

int qcow2_read_header(int fd, struct qcow2_header *ret_header, struct sentence *error)
{
	struct qcow2_header header = { 0 };
	struct window window;
	int r = read_window(fd, &window);

	if (r < 0)
		return report(error, r, "its header cannot be read: %s", error_text(r));
	if (window.length < V2_HEADER_LENGTH || be32_at(&window, 0) != MAGIC)
		return report(error, -ENOEXEC, "it has no qcow2 header");
	r = parse_window(&window, &header, error);
	if (r == 0)
		*ret_header = header;
	return r;
}

bool qcow2_has_snapshots(int fd)
{
	uint32_t fields[16]; /* the first of the header */

	return pread_all(fd, fields, sizeof(fields), 0) == 0 && be32toh(fields[0]) == MAGIC &&
	       be32toh(fields[SNAPSHOTS_OFFSET / sizeof(*fields)]) != 0;
}

void qcow2_put_backing_length(unsigned char *bytes, uint32_t length)
{
	length = htobe32(length);
	memcpy(bytes + BACKING_LENGTH_AT, &length, sizeof(length));
}

bool qcow2_has_subclusters(const struct qcow2_header *header)
{
	return header->incompatible & INCOMPATIBLE_EXTENDED_L2;
}

uint64_t qcow2_l1_entries(const struct qcow2_header *header)
{
	uint64_t cluster_size = 1ULL << header->cluster_bits;
	uint64_t entry_size = qcow2_has_subclusters(header) ? 16 : 8;
	uint64_t table_reaches = cluster_size / entry_size * cluster_size;

	return header->virtual_size / table_reaches + (header->virtual_size % table_reaches != 0);
}

int qcow2_check_alone(const struct qcow2_header *header, struct sentence *error)
{
	if (header->data_file)
		return report(error, -EBADMSG, "its qcow2 header names an external data file");
	if (header->encryption)
		return report(error, -EBADMSG, "its qcow2 header says that it is encrypted");
	if (header->incompatible & ~INCOMPATIBLE_KNOWN)
		return report(error, -EBADMSG, "its qcow2 header asks for features that are not known (%#llx)",
			      (unsigned long long)(header->incompatible & ~INCOMPATIBLE_KNOWN));
	if (header->unknown_extension)
		return report(error, -EBADMSG, "its qcow2 header has an extension that is not known");
	return 0;
}

int qcow2_check_scratch(const struct qcow2_header *found, const struct qcow2_header *made, struct sentence *error)
{
	uint64_t incompatible = found->incompatible;

	if (strcmp(found->backing, made->backing) != 0 || strcmp(found->backing_format, made->backing_format) != 0)
		return report(error, -EBADMSG,
			      "its header names another backing file ('%.200s', format '%s') than revertfs wrote",
			      found->backing, found->backing_format);
	if (found->data_file)
		return report(error, -EBADMSG, "its header names an external data file");
	if (found->encryption)
		return report(error, -EBADMSG, "its header says that it is encrypted");
	if (found->virtual_size < made->virtual_size || found->virtual_size % SECTOR)
		return report(
			error, -EBADMSG,
			"its virtual size is %llu bytes instead of %llu; a disk may grow by whole sectors, and not shrink",
			(unsigned long long)found->virtual_size, (unsigned long long)made->virtual_size);
	if (found->l1_length < qcow2_l1_entries(found))
		return report(error, -EBADMSG, "its virtual size of %llu bytes is more than its L1 table reaches",
			      (unsigned long long)found->virtual_size);
	if (found->incompatible & INCOMPATIBLE_CORRUPT)
		return report(error, -EBADMSG, "QEMU has marked it corrupt");
	/* A QEMU that was killed has left it so; the next one counts the clusters anew. */
	if (made->compatible & COMPATIBLE_LAZY_REFCOUNTS)
		incompatible &= ~INCOMPATIBLE_DIRTY;
	if (found->version != made->version || found->cluster_bits != made->cluster_bits ||
	    found->header_length != made->header_length || found->refcount_order != made->refcount_order ||
	    found->compression != made->compression || incompatible != made->incompatible ||
	    found->compatible != made->compatible || found->unknown_extension ||
	    (found->autoclear & ~(made->autoclear | AUTOCLEAR_BITMAPS)))
		return report(error, -EBADMSG, "its header was rewritten with features that revertfs did not give it");
	return 0;
}
