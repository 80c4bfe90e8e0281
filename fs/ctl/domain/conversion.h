/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain on its way into protection or out of it: what adopt and disown have in common.
 *
 * The definition and the domain's file are changed by steps (transaction.h) that can be taken back.
 */
#ifndef REVERTFS_CTL_DOMAIN_CONVERSION_H
#define REVERTFS_CTL_DOMAIN_CONVERSION_H

#include "guest.h"
#include "json.h"
#include "mounts.h"
#include "domain_edit.h"
#include "transaction.h"

/* A disk of the domain; texts are owned but for the target. */
struct moving_disk {
	const char *target;
	const struct mount *mount;
	char *name;                     /* in the mount */
	char *from, *to;                /* the source in the XML, before and after */
	char *from_format, *to_format;  /* the driver type */
	struct json_object *properties; /* as the status has them; NULL: not looked at */
	bool is_disk;                   /* revertfs serves it already */
	bool acted;                     /* for the undo: protect or unprotect was done */
};

struct moving {
	struct guest guest;
	struct mounts *mounts;
	struct moving_disk *disks;
	size_t count;
	char *before, *after; /* the definition, written alike */
	char *file;           /* the domain's file as it is to be; NULL: none */
	bool file_written, defined;
};

void moving_clear(struct moving *moving); /* for CLEANUP() */

/* Make room for a disk; its target is borrowed. NULL when out of memory. */
struct moving_disk *moving_add(struct moving *moving, const char *target);

/* From the disks: fill in `before` and `after`. */
int moving_rewrite(struct moving *moving, struct sentence *error);

/* Show what would be changed: both diffs, on stdout. */
int moving_show(const struct moving *moving, struct sentence *error);

/* The status of the disk in its mount, as a reference; *ret_disk is NULL when it is none. */
int moving_status(const struct moving_disk *disk, struct json_object **ret_disk, struct sentence *error);

/* One command about a disk: verb, name, and a setting where it is not NULL. */
int moving_ask(const struct moving_disk *disk, const char *verb, const char *key, const char *value,
	       struct sentence *error);

/* Steps: the subject is a struct moving. */
int moving_write_file(void *subject, struct sentence *error);
int moving_unwrite_file(void *subject, struct sentence *error);
int moving_define(void *subject, struct sentence *error);
int moving_undefine(void *subject, struct sentence *error);
int moving_verify(void *subject, struct sentence *error);

/* Say, or with --json print, what was done: `verb` is "adopted" or "disowned". */
void moving_print(const struct context *context, const struct moving *moving, const char *verb);

#endif
