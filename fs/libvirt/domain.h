/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a domain's XML says about its disks.
 */
#ifndef REVERTFS_LIBVIRT_DOMAIN_H
#define REVERTFS_LIBVIRT_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

#define DOMAIN_XML_MAX (16 << 20)
#define UUID_TEXT_SIZE 37

/* A disk; what the XML does not have is NULL. */
struct domain_disk {
	char *target;        /* "vda" */
	char *type;          /* "file", "volume", "block", ... */
	char *device;        /* "disk", "cdrom", ... */
	char *format;        /* of the driver */
	char *path;          /* of a file, or of a volume once it is resolved */
	char *pool, *volume; /* of a volume */
	char *problem;       /* why a volume has no path, a sentence */
	bool transient;      /* libvirt's own discarding */
	bool backing_store;  /* the chain is spelled out: libvirt will not look at the image for it */
};

struct domain {
	char uuid[UUID_TEXT_SIZE]; /* lower case */
	char *name;                /* NULL where the XML has none */
	struct domain_disk *disks;
	size_t count;
};

/* -EBADMSG with a sentence where the text is not a domain. Free with domain_free(). */
int domain_parse(const char *text, size_t length, struct domain **ret_domain, struct sentence *error);
void domain_free(struct domain *domain); /* NULL is fine */
void domain_freep(struct domain **domain);

/*
 * The XML without the <backingStore> of the disks that `is_ours` is true for. NULL in *ret_text
 * when there is nothing to take out. To be called for a text that domain_parse() has accepted.
 */
int domain_without_chains(const char *text, size_t length, bool (*is_ours)(const void *context, const char *target),
			  const void *context, char **ret_text, struct sentence *error);

/* The disk with this target, or NULL. Borrowed. */
struct domain_disk *domain_find(const struct domain *domain, const char *target);

/*
 * Give a disk of type volume its path, from the first of the directories that has the pool's XML.
 * Without success `problem` says why. Other disks are left alone.
 */
void domain_resolve_volume(struct domain_disk *disk, const char *const *storage_dirs, size_t count);

#endif
