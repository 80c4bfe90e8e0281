/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An output is a file that is made outside the state directory: an export, or the image of a full
 * clone.
 *
 * Until the file is complete it has a temporary name in the same directory, so that under its own
 * name it is complete or not there. A record in the state directory says what is being made; the
 * next daemon removes by it what a crash left.
 */
#ifndef REVERTFS_EXPORT_OUTPUT_H
#define REVERTFS_EXPORT_OUTPUT_H

#include "model.h"

struct output {
	struct disks *disks;
	/* Set by the caller, down to `record`. */
	int directory; /* where the file goes: owned, open for reading, so that it can be synced */
	bool replace;  /* a file that has the name already is replaced */
	uid_t uid;     /* owner and mode of the complete file */
	gid_t gid;
	mode_t mode;
	struct output_record record; /* directory, name and format; owned */

	bool begun, finished;
	int fd;            /* the file while it is being made: root's alone until it is complete */
	char *record_file; /* in makings/ */
	char *temporary, *sidecar_temporary, *sidecar;
};

/* For CLEANUP(): free everything; a file that is not finished is removed, then its record. */
void output_clear(struct output *output);

/* Record what is to be made and create the empty file. 0 or a negative errno with a sentence. */
int output_begin(struct output *output, struct sentence *error);

/*
 * Give the file its owner, sync it, and give it its name; a file with the text `sidecar` (NULL:
 * none) gets the same name with .json behind it. -EEXIST when the name was taken meanwhile. Blocks
 * for the sync. Where the sidecar alone fails, a file that replaced another stays, and the sentence
 * says so.
 */
int output_finish(struct output *output, const char *sidecar, struct sentence *error);

/* The last component of the file's name; borrowed. */
const char *output_name(const struct output *output);

/*
 * What a killed daemon was making: noted at start, for `file` in makings/; and cleaned up in the
 * background, since a directory may lie on a server that does not answer.
 */
void output_note_unfinished(struct disks *disks, const char *file);
void output_clean_up(struct disks *disks);

/*
 * Wait, some seconds at most, until that is done: for who is asked again for what the killed daemon
 * was making, and has to see whether it was made.
 */
void output_await_clean_up(struct disks *disks);

#endif
