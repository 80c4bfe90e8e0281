/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that is made outside the state directory: an export, or the image of a full clone.
 *
 * It has a temporary name beside its own until it is whole, so that under its own name it is complete or not there. What a crash
 * leaves is known by a record in the state directory, and removed by the next daemon.
 */
#ifndef REVERTFS_EXPORT_OUTPUT_H
#define REVERTFS_EXPORT_OUTPUT_H

#include "model.h"

struct making {
	struct disks *disks;
	int directory; /* where it goes: owned, open for syncing; set by the caller, as are the members down to `record` */
	bool replace; /* what has its name already may go */
	uid_t uid;    /* whose the file is to be ... */
	gid_t gid;
	mode_t mode;
	struct making_record record; /* directory, name and format; owned */

	bool begun, finished;
	int fd;            /* the file while it is being made: root's alone until it is whole */
	char *record_file; /* in makings/ */
	char *temporary, *sidecar_temporary, *sidecar;
};

/* For CLEANUP(): let go of everything; what is not finished is removed, and the record of it. */
void making_clear(struct making *making);

/* Record what is coming and create the empty file. */
int making_begin(struct making *making, struct sentence *error);

/*
 * Give the file its owner, sync it, and give it its name, and `sidecar` (NULL: none) the same name with .json. -EEXIST when the name was taken
 * meanwhile. Where just the sidecar fails, the file stays, and the sentence says so.
 */
int making_finish(struct making *making, const char *sidecar, struct sentence *error);

/* Its last component. */
const char *making_name(const struct making *making);

/* At start: remember what there is to be done; and do it, without holding the start up: a directory may lie on a server that is not there. */
void making_note_unfinished(struct disks *disks, const char *file);
void making_clean_up(struct disks *disks);

#endif
