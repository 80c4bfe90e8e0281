/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an export and a full clone have in common before the work begins.
 */
#ifndef REVERTFS_EXPORT_FLAT_COPY_H
#define REVERTFS_EXPORT_FLAT_COPY_H

#include "export.h"
#include "transfer.h"

/*
 * Set the format (`otherwise` when none is given), the compression and the rate. -EINVAL with a
 * sentence.
 */
int flat_copy_parse(const struct export_request *request, const char *otherwise, struct qemu_conversion *conversion,
		    struct sentence *error);

/*
 * A transfer of the layer to copy; all that needs the disk claimed is checked. Waits for the claim.
 * The result receives what the disk has besides its head. NULL with a sentence and an errno in
 * *ret_error, as transfer_new() and disk_claim_name() have them.
 */
struct transfer *flat_copy_choose(struct disks *disks, const struct export_request *request, const char *kind,
				  struct export_result *result, int *ret_error, struct sentence *error);

/*
 * Whether the copy leaves the reserve free (reserve.h). What the chain's files hold, or the disk's
 * size where that is less, is enough for sure; where there is not even that for a qcow2, qemu-img
 * measures what is needed: a raw file's size is all that it could say of that. A compressed copy
 * may take as much, since data may be such as do not shrink; without a reserve it is not checked.
 * -ENOSPC with a sentence.
 */
int flat_copy_check_space(struct transfer *transfer, int directory, const struct qemu_conversion *conversion,
			  struct sentence *error);

/*
 * Hand the transfer to the workers. The result receives what is being made, and the number of the
 * job. Errors as transfer_queue().
 */
int flat_copy_queue(struct transfer *transfer, const struct caller *caller, struct export_result *result,
		    struct sentence *error);

#endif
