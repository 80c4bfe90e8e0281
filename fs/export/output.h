/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that is made outside the state directory: an export, or the image of a full clone.
 *
 * It has a temporary name beside its own until it is whole, so that under its own name it is
 * complete or not there. What a crash leaves is known by a record in the state directory, and
 * removed by the next daemon.
 */
#ifndef REVERTFS_EXPORT_OUTPUT_H
#define REVERTFS_EXPORT_OUTPUT_H

#include "model.h"

struct output {
	struct disks *disks;
	/* Set by the caller, down to `record`. */
	int directory; /* where it goes: owned, open for syncing */
	bool replace;  /* what has its name already may go */
	uid_t uid;     /* whose the file is to be ... */
	gid_t gid;
	mode_t mode;
	struct output_record record; /* directory, name and format; owned */

	bool begun, finished;
	int fd;            /* the file while it is being made: root's alone until it is whole */
	char *record_file; /* in makings/ */
	char *temporary, *sidecar_temporary, *sidecar;
};

/* For CLEANUP(): let go of everything; what is not finished is removed, and the record of it. */
void output_clear(struct output *output);

/* Record what is coming and create the empty file. */
int output_begin(struct output *output, struct sentence *error);

/*
 * Give the file its owner, sync it, and give it its name, and `sidecar` (NULL: none) the same name
 * with .json. -EEXIST when the name was taken meanwhile. Where just the sidecar fails, the file
 * stays, and the sentence says so.
 */
int output_finish(struct output *output, const char *sidecar, struct sentence *error);

/* Its last component. */
const char *output_name(const struct output *output);

/*
 * At start: remember what there is to be done; and do it, without holding the start up: a directory
 * may lie on a server that is not there.
 */
void output_note_unfinished(struct disks *disks, const char *file);
void output_clean_up(struct disks *disks);

#endif
