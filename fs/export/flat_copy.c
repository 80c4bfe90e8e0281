/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All this runs while the caller waits, so that the caller hears at once of most that can go wrong.
 */
#include "flat_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "claim.h"
#include "image.h"
#include "record.h"
#include "scratch.h"
#include "table.h"

int flat_copy_parse(const struct export_request *request, const char *otherwise, struct qemu_conversion *conversion,
		    struct sentence *error)
{
	enum image_format format;

	if (format_parse(request->format ? request->format : otherwise, &format) < 0)
		return report(error, -EINVAL, "format must be qcow2 or raw");
	conversion->format = format_name(format);
	conversion->compress = request->compress;
	conversion->rate = request->rate;
	if (request->compress && format != FORMAT_QCOW2)
		return report(error, -EINVAL, "a raw file cannot be compressed; take format=qcow2");
	return 0;
}

int flat_copy_check_space(struct transfer *transfer, int directory, const struct qemu_conversion *conversion,
			  struct sentence *error)
{
	uint64_t needed = transfer->bytes, free_bytes;
	struct statvfs stat;
	int r = 0;

	if (fstatvfs(directory, &stat) < 0)
		return report(error, -errno, "how much space is free there cannot be found out: %s",
			      error_text(-errno));
	free_bytes = (uint64_t)stat.f_bavail * stat.f_frsize;
	if (free_bytes >= needed || conversion->compress)
		return 0;
	r = qemu_img_measure(transfer->disk->disks->options, transfer->chain.nodes, transfer->chain.length,
			     conversion->format, &needed, error);
	if (r == 0 && needed > free_bytes)
		r = report(error, -ENOSPC, "it needs about %llu MiB there, and %llu MiB are free",
			   (unsigned long long)(needed >> 20), (unsigned long long)(free_bytes >> 20));
	return r;
}

struct transfer *flat_copy_choose(struct disks *disks, const struct export_request *request, const char *kind,
				  bool *ret_uncommitted, int *ret_error, struct sentence *error)
{
	struct transfer *transfer = NULL;
	struct disk *disk;
	int r = disk_claim_name(disks, request->name, &disk, error);

	if (r == 0) {
		*ret_uncommitted = disk->scratch && scratch_is_dirty(disk->scratch);
		r = image_check(disk, *ret_uncommitted, error);
		if (r == 0)
			transfer = transfer_new(disk, kind, request->snapshot, &r, error);
		disk_release_claim(disk);
	}
	*ret_error = r;
	return transfer;
}

int flat_copy_queue(struct transfer *transfer, struct caller *caller, const struct export_request *request,
		    struct export_result *result, struct sentence *error)
{
	int r;

	result->to = strdup(transfer->target);
	if (!result->to)
		return report(error, -ENOMEM, "out of memory");
	strcpy(result->layer, transfer->layer->record.id);
	r = transfer_queue(transfer, error);
	if (r < 0)
		return r;
	result->job = transfer->number;
	return request->wait ? transfer_wait(transfer, caller, error) : 0;
}

void export_result_clear(struct export_result *result)
{
	free(result->to);
}
