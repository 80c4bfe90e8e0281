/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain that is taken into protection or out of it: what adopt and disown have in common.
 *
 * The definition and the domain's file are changed by steps of a transaction (transaction.h), which
 * can be taken back.
 */
#ifndef REVERTFS_CTL_DOMAIN_CONVERSION_H
#define REVERTFS_CTL_DOMAIN_CONVERSION_H

#include "defined_domain.h"
#include "json.h"
#include "mounts.h"
#include "domain_edit.h"
#include "renamed_disk.h"
#include "transaction.h"

/* What becomes of what a renaming hook's overlay has (renaming_hook.h). */
enum renaming_hook { RENAMING_HOOK_NONE, RENAMING_HOOK_DISCARD, RENAMING_HOOK_KEEP };

/* A disk of the domain. Texts are owned but for the target. */
struct conversion_disk {
	const char *target;
	const struct mount *mount;
	char *name;                     /* in the mount */
	char *from, *to;                /* the source in the XML, before and after */
	char *from_format, *to_format;  /* the driver type */
	struct json_object *properties; /* of the status; NULL: not looked at */
	bool is_disk;                   /* protected before this began */
	bool acted;                     /* protect or unprotect was done, for the undo */
	struct renamed_disk renamed;    /* what a renaming hook has left of it */
	char *overlay;                  /* the name that its overlay gets */
	unsigned renames;               /* how many were made, for the undo */
	bool kept, half_kept;           /* all that its overlay has is in the image; a part of it is */
};

struct conversion {
	struct defined_domain defined;
	struct mounts *mounts;
	struct conversion_disk *disks;
	size_t count;
	char *before, *after; /* the definition; written by the same program, for a diff */
	char *warning;        /* what to say besides, when all is done; NULL: nothing */
	char *file;           /* the text that the domain's file is to have; NULL: no file */
	bool file_written, definition_written;
	enum renaming_hook renaming_hook;
};

void conversion_clear(struct conversion *conversion); /* for CLEANUP() */

/* Say this besides, too, in a line of its own. */
void conversion_warn(struct conversion *conversion, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Add a disk; its target is borrowed. NULL when out of memory. */
struct conversion_disk *conversion_add(struct conversion *conversion, const char *target);

/* Fill in `before` and `after`, from the disks. */
int conversion_edit(struct conversion *conversion, struct sentence *error);

/* Print what would be changed: a diff of the definition and one of the file. */
int conversion_show(const struct conversion *conversion, struct sentence *error);

/*
 * The status of the disk in its mount, to release with json_object_put(); *ret_disk is NULL when
 * the mount has no such disk.
 */
int conversion_status(const struct conversion_disk *disk, struct json_object **ret_disk, struct sentence *error);

/*
 * Send one command to the disk's daemon and wait: the verb, the disk's name, and a setting where
 * `value` is not NULL.
 */
int conversion_ask(const struct conversion_disk *disk, const char *verb, const char *key, const char *value,
		   struct sentence *error);

/*
 * Have libvirt define what is defined already: one that refuses does so before anything is changed.
 * -ESTALE when somebody has changed the definition since it was read.
 */
int conversion_try_define(const struct conversion *conversion, struct sentence *error);

/* Steps of a transaction whose subject is a struct conversion. */
int conversion_write_file(void *subject, struct sentence *error);
int conversion_unwrite_file(void *subject, struct sentence *error);
int conversion_define(void *subject, struct sentence *error);
int conversion_undefine(void *subject, struct sentence *error);
int conversion_verify(void *subject, struct sentence *error);

/* Print what was done, with --json as an object: `verb` is "adopted" or "disowned". */
void conversion_print(const struct context *context, const struct conversion *conversion, const char *verb);

#endif
