/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an export and a full clone have in common before the work begins.
 */
#ifndef REVERTFS_EXPORT_FLAT_COPY_H
#define REVERTFS_EXPORT_FLAT_COPY_H

#include "export.h"
#include "transfer.h"

/* Format (`otherwise` when none is given), compression and rate. -EINVAL with a sentence. */
int flat_copy_parse(const struct export_request *request, const char *otherwise, struct qemu_conversion *conversion,
		    struct sentence *error);

/*
 * The layer to copy, with everything checked that wants the disk claimed. As transfer_new();
 * *ret_uncommitted: the scratch has changes.
 */
struct transfer *flat_copy_choose(struct disks *disks, const struct export_request *request, const char *kind,
				  bool *ret_uncommitted, int *ret_error, struct sentence *error);

/*
 * What the chain's files take on the medium, but no more than the disk's size, is enough for sure.
 * Where there is less, qemu-img counts. -ENOSPC with a sentence.
 */
int flat_copy_check_space(struct transfer *transfer, int directory, const struct qemu_conversion *conversion,
			  struct sentence *error);

/*
 * Hand it to the workers, and wait if that is wanted. The result receives what is being made, and
 * the number of the job.
 */
int flat_copy_queue(struct transfer *transfer, struct caller *caller, const struct export_request *request,
		    struct export_result *result, struct sentence *error);

#endif
