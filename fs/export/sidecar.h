/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The JSON file beside an export, which says what the export is.
 */
#ifndef REVERTFS_EXPORT_SIDECAR_H
#define REVERTFS_EXPORT_SIDECAR_H

#include "export.h"
#include "transfer.h"

/*
 * The sidecar's text, which the caller frees; NULL when out of memory. `snapshot` is NULL where the
 * head was exported, or with `held` what a saved guest resumes on. The transfer pins the layers, so
 * their records cannot change meanwhile.
 */
char *sidecar_text(const struct transfer *transfer, const char *snapshot, bool held,
		   const struct qemu_conversion *conversion, const struct exported_file *file);

#endif
