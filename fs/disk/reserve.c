/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables say how much a qcow2 file reads as. How much it takes on the medium says that only where
 * no cluster is compressed or used more than once, as they are in some images.
 */
#include "reserve.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "qcow2_clusters.h"

#define DEFAULT_BYTES (1ULL << 30)
#define DEFAULT_PART 20 /* a twentieth of a filesystem that is small */

static uint64_t reserve_of(const struct options *options, const struct statvfs *space)
{
	uint64_t part = (uint64_t)space->f_blocks * space->f_frsize / DEFAULT_PART;

	if (options->reserve != RESERVE_BY_DEFAULT)
		return options->reserve;
	return part < DEFAULT_BYTES ? part : DEFAULT_BYTES;
}

int reserve_check(const struct options *options, int fd, uint64_t bytes, struct sentence *error)
{
	uint64_t reserve, available;
	struct statvfs space;

	if (fstatvfs(fd, &space) < 0)
		return report(error, -errno, "how much space is free there cannot be found out: %s",
			      error_text(-errno));
	reserve = reserve_of(options, &space);
	available = (uint64_t)space.f_bavail * space.f_frsize;
	if (available >= reserve && bytes <= available - reserve)
		return 0;
	return report(error, -ENOSPC,
		      "it takes up to %llu MiB there, %llu MiB are free, and %llu MiB are to stay free (reserve=)",
		      (unsigned long long)(bytes >> 20), (unsigned long long)(available >> 20),
		      (unsigned long long)(reserve >> 20));
}

static uint64_t allocated_bytes(int fd)
{
	struct stat stat;

	return fstat(fd, &stat) == 0 ? (uint64_t)stat.st_blocks * 512 : UINT64_MAX;
}

static bool read_usage(int fd, struct qcow2_usage *ret_usage)
{
	struct qcow2_header header;

	return qcow2_read_header(fd, &header, NULL) == 0 && qcow2_read_usage(fd, &header, ret_usage, NULL) == 0;
}

uint64_t reserve_for_data(const struct qemu_node *node, bool dense)
{
	uint64_t allocated = allocated_bytes(node->fd);
	struct qcow2_usage usage;

	if (strcmp(node->format, "raw") == 0)
		return allocated;
	if (!read_usage(node->fd, &usage))
		return UINT64_MAX;
	if (!dense)
		return usage.whole_bytes;
	if (usage.compressed || usage.repeated)
		return usage.bytes;
	return usage.bytes < allocated ? usage.bytes : allocated;
}

/* How much of the disk has its place in the parent's file already. */
static uint64_t held_bytes(const struct qemu_node *parent)
{
	struct qcow2_usage usage;

	if (strcmp(parent->format, "raw") == 0)
		return allocated_bytes(parent->fd);
	return read_usage(parent->fd, &usage) && !usage.compressed && !usage.repeated ? usage.bytes : 0;
}

uint64_t reserve_for_fold(const struct qemu_node *layer, const struct qemu_node *parent, uint64_t virtual_size)
{
	uint64_t data = reserve_for_data(layer, strcmp(parent->format, "raw") == 0);
	uint64_t held = held_bytes(parent), room = held < virtual_size ? virtual_size - held : 0;

	return data < room ? data : room;
}
