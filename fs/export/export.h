/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flat copies of a layer, which need no other file: exports, which lie outside the mount, and full
 * clones, which are images.
 */
#ifndef REVERTFS_EXPORT_EXPORT_H
#define REVERTFS_EXPORT_EXPORT_H

#include "caller.h"
#include "digest.h"
#include "disks.h"
#include "record.h"
#include "util.h"

enum checksum {
	CHECKSUM_IF_CHEAP, /* not where that would take much longer than the copy does */
	CHECKSUM_YES,
	CHECKSUM_NO,
};

struct export_request {
	const char *name;     /* the disk */
	const char *to;       /* export: an absolute path; clone: a name in the mount */
	const char *snapshot; /* NULL: the head, or with `held` what a saved guest resumes on */
	bool held;
	const char *format; /* NULL: qcow2 for an export, that of the disk's image for a clone */
	bool compress, replace, wait;
	enum checksum checksum; /* of an export */
	uint64_t rate;          /* bytes in a second; 0: as fast as it goes */
};

/* A file that was exported. */
struct exported_file {
	uint64_t bytes, allocated;
	char sha256[DIGEST_SIZE];      /* "": none was taken */
	char consistency[TARGET_SIZE]; /* "" until the file is complete */
};

/* What an export or a full clone makes; filled as far as the verb came, also when it fails. */
struct export_result {
	char *to; /* owned; NULL: the verb failed before it knew what to make, and nothing below is set */
	char layer[LAYER_ID_SIZE];
	bool uncommitted;          /* the scratch has changes, which are not in the copy of the head */
	bool held;                 /* a saved guest has a state, which is not in the copy of the head */
	uint64_t job;              /* 0: it was not queued */
	struct exported_file file; /* of an export that was waited for */
};

void export_result_clear(struct export_result *result); /* for CLEANUP() */

/*
 * [waits] For the end of the work, unless told not to. -EINTR when the caller went away meanwhile
 * (the work goes on). The caller clears the result in any case.
 */
int disk_export(struct disks *disks, struct caller *caller, const struct export_request *request,
		struct export_result *ret_result, struct sentence *error);

/* [waits] The same for an image in the images directory, which is then protected. */
int disk_clone_full(struct disks *disks, struct caller *caller, const struct export_request *request,
		    struct export_result *ret_result, struct sentence *error);

#endif
