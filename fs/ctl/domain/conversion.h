/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain on its way into protection or out of it: what adopt and disown have in common.
 *
 * The definition and the domain's file are changed by steps (transaction.h) that can be taken back.
 */
#ifndef REVERTFS_CTL_DOMAIN_CONVERSION_H
#define REVERTFS_CTL_DOMAIN_CONVERSION_H

#include "defined_domain.h"
#include "json.h"
#include "mounts.h"
#include "domain_edit.h"
#include "transaction.h"

/* A disk of the domain; texts are owned but for the target. */
struct conversion_disk {
	const char *target;
	const struct mount *mount;
	char *name;                     /* in the mount */
	char *from, *to;                /* the source in the XML, before and after */
	char *from_format, *to_format;  /* the driver type */
	struct json_object *properties; /* as the status has them; NULL: not looked at */
	bool is_disk;                   /* revertfs serves it already */
	bool acted;                     /* for the undo: protect or unprotect was done */
};

struct conversion {
	struct defined_domain defined;
	struct mounts *mounts;
	struct conversion_disk *disks;
	size_t count;
	char *before, *after; /* the definition, written alike */
	char *file;           /* the domain's file as it is to be; NULL: none */
	bool file_written, definition_written;
};

void conversion_clear(struct conversion *conversion); /* for CLEANUP() */

/* Make room for a disk; its target is borrowed. NULL when out of memory. */
struct conversion_disk *conversion_add(struct conversion *conversion, const char *target);

/* From the disks: fill in `before` and `after`. */
int conversion_edit(struct conversion *conversion, struct sentence *error);

/* Show what would be changed: both diffs, on stdout. */
int conversion_show(const struct conversion *conversion, struct sentence *error);

/* The status of the disk in its mount, as a reference; *ret_disk is NULL when it is none. */
int conversion_status(const struct conversion_disk *disk, struct json_object **ret_disk, struct sentence *error);

/* One command about a disk: verb, name, and a setting where it is not NULL. */
int conversion_ask(const struct conversion_disk *disk, const char *verb, const char *key, const char *value,
		   struct sentence *error);

/* Steps of a transaction whose subject is a struct conversion. */
int conversion_write_file(void *subject, struct sentence *error);
int conversion_unwrite_file(void *subject, struct sentence *error);
int conversion_define(void *subject, struct sentence *error);
int conversion_undefine(void *subject, struct sentence *error);
int conversion_verify(void *subject, struct sentence *error);

/* Say, or with --json print, what was done: `verb` is "adopted" or "disowned". */
void conversion_print(const struct context *context, const struct conversion *conversion, const char *verb);

#endif
