/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All this runs while the caller waits, so that the caller hears at once of most that can go wrong.
 */
#include "flat_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "image.h"
#include "layer.h"
#include "record.h"
#include "reserve.h"
#include "scratch.h"
#include "table.h"

#define RATE_MIN ((uint64_t)1 << 20) /* 100 GiB take a day at it, and no copy keeps a worker for ever */

int flat_copy_parse(const struct export_request *request, const char *otherwise, struct qemu_conversion *conversion,
		    struct sentence *error)
{
	enum image_format format;

	if (format_parse(request->format ? request->format : otherwise, &format) < 0)
		return report(error, -EINVAL, "format must be qcow2 or raw");
	conversion->format = format_name(format);
	conversion->compress = request->compress;
	conversion->rate = request->rate;
	if (request->rate && request->rate < RATE_MIN)
		return report(error, -EINVAL, "rate must be 1M (a mebibyte a second) at least");
	if (request->compress && format != FORMAT_QCOW2)
		return report(error, -EINVAL, "a raw file cannot be compressed; take format=qcow2");
	return 0;
}

/* What the copy takes at most, found without a process. */
static uint64_t estimate(const struct transfer *transfer, const struct qemu_conversion *conversion)
{
	uint64_t most = layer_virtual_size(transfer->layer), bytes = 0;
	bool dense = strcmp(conversion->format, "raw") == 0;

	for (size_t i = 0; i < transfer->chain.length && bytes < most; i++) {
		uint64_t data = reserve_for_data(&transfer->chain.nodes[i], dense);

		bytes = data < most - bytes ? bytes + data : most;
	}
	return bytes;
}

int flat_copy_check_space(struct transfer *transfer, int directory, const struct qemu_conversion *conversion,
			  struct sentence *error)
{
	const struct options *options = transfer->disk->disks->options;
	uint64_t bytes = estimate(transfer, conversion);
	int r;

	if (options->reserve == 0 && conversion->compress)
		return 0;
	r = reserve_check(options, directory, bytes, error);
	if (r != -ENOSPC || strcmp(conversion->format, "raw") == 0)
		return r;
	r = qemu_img_measure(options, transfer->chain.nodes, transfer->chain.length, conversion->format, &bytes, error);
	return r < 0 ? r : reserve_check(options, directory, bytes, error);
}

struct transfer *flat_copy_choose(struct disks *disks, const struct export_request *request, const char *kind,
				  struct export_result *result, int *ret_error, struct sentence *error)
{
	const struct transfer_source source = { .snapshot = request->snapshot, .held = request->held };
	struct transfer *transfer = NULL;
	struct disk *disk;
	int r = disk_claim_name(disks, request->name, &disk, error);

	if (r == 0) {
		result->uncommitted = disk->scratch && scratch_is_dirty(disk->scratch);
		result->held = disk->hold;
		r = image_check(disk, result->uncommitted, error);
		if (r == 0)
			transfer = transfer_new(disk, kind, &source, &r, error);
		disk_release_claim(disk);
	}
	*ret_error = r;
	return transfer;
}

int flat_copy_queue(struct transfer *transfer, const struct caller *caller, struct export_result *result,
		    struct sentence *error)
{
	int r;

	result->to = strdup(transfer->target);
	if (!result->to)
		return report(error, -ENOMEM, "out of memory");
	strcpy(result->layer, transfer->layer->record.id);
	transfer->uid = caller->who.uid;
	r = transfer_queue(transfer, error);
	if (r == 0)
		result->job = transfer->number;
	return r;
}

void export_result_clear(struct export_result *result)
{
	free(result->to);
}
