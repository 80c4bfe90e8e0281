/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of a protection: what disown does for a domain that is there, and for what is left of one
 * that is not.
 */
#ifndef REVERTFS_CTL_DOMAIN_DISOWN_H
#define REVERTFS_CTL_DOMAIN_DISOWN_H

#include "conversion.h"

enum changes { CHANGES_ASK, CHANGES_COMMIT, CHANGES_DISCARD };

struct disown {
	struct conversion conversion;
	bool *which; /* which of the file's entries: one bool for each */
	enum changes changes;
	bool committed; /* changes were committed, which is not taken back */
};

void disown_clear(struct disown *disown); /* for CLEANUP() */

/*
 * Whether the protection of this disk may end: -EBUSY with a sentence where it is in use or held,
 * or has clones or snapshots. And the refusal of changes of which nobody said what becomes of them.
 */
int disown_check_status(const struct conversion_disk *disk, struct json_object *status, struct sentence *error);
int disown_refuse_changes(const struct conversion_disk *disk, struct sentence *error);

/* The text of the domain's file without the entries that are disowned. */
int disown_compose_file(struct disown *disown, struct sentence *error);

/* Commit the changes, if they are to be kept, and fold what was committed into the images. */
int disown_commit_and_fold(struct disown *disown, bool quiet, struct sentence *error);

/*
 * A step of a transaction on a struct disown, with its undo. After an undo, the disks get their
 * properties back.
 */
int disown_unprotect(void *subject, struct sentence *error);
int disown_protect_again(void *subject, struct sentence *error);
void disown_restore_properties(const struct disown *disown);

/*
 * libvirt says nothing of such a domain: the word is the name of one that it had, or of a disk.
 * Returns as run() does.
 */
int disown_gone(const struct context *context, const struct arguments *arguments, enum changes changes,
		struct sentence *error);

#endif
