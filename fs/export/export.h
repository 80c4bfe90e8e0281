/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flat copies of a layer: files outside the mount that need nothing of revertfs any more, and full
 * clones.
 */
#ifndef REVERTFS_EXPORT_EXPORT_H
#define REVERTFS_EXPORT_EXPORT_H

#include <json-c/json.h>

#include "caller.h"
#include "disks.h"
#include "util.h"

struct export_request {
	const char *name;     /* the disk */
	const char *to;       /* export: an absolute path; clone: a name in the mount */
	const char *snapshot; /* NULL: the head */
	const char *format;   /* NULL: qcow2 for an export, the template's image's for a clone */
	bool compress, replace, wait;
	uint64_t rate; /* bytes in a second; 0: as fast as it goes */
};

/*
 * [waits] For the end of the work, unless told not to. `answer` receives what was made, and the
 * number of the job; -EINTR when the caller went away meanwhile (it goes on).
 */
int disk_export(struct disks *disks, struct caller *caller, const struct export_request *request,
		struct json_object *answer, struct sentence *error);

/* [waits] The same for an image in the images directory, which is then protected. */
int disk_clone_full(struct disks *disks, struct caller *caller, const struct export_request *request,
		    struct json_object *answer, struct sentence *error);

#endif
