/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a domain's XML says about its disks; and where a volume of a storage pool lies.
 */
#ifndef REVERTFS_LIBVIRT_DOMAIN_H
#define REVERTFS_LIBVIRT_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

#define DOMAIN_XML_MAX (16 << 20) /* bytes */
#define UUID_TEXT_SIZE 37
#define DOMAIN_CHAIN_MAX 64

/* A disk; NULL is what the XML does not say. */
struct domain_disk {
	char *target;        /* "vda" */
	char *type;          /* "file", "volume", "block", ... */
	char *device;        /* "disk", "cdrom", ... */
	char *format;        /* of the driver */
	char *path;          /* of a file, or of a volume once it is resolved */
	char *pool, *volume; /* of a volume */
	char *problem;       /* a sentence: why a volume has no path */
	bool transient;      /* libvirt itself is to discard what is written */
	bool backing_store;  /* the XML has the chain, so libvirt will not look for it in the image */
	char **chain;        /* the files of that chain, from the top down; at most DOMAIN_CHAIN_MAX */
	size_t chain_length;
	/*
	 * What in it does not go together with a disk that revertfs serves, as the end of "disk
	 * 'vda' ..."; static. NULL: nothing.
	 */
	const char *misfit;
	bool readonly; /* for the guest */
};

struct domain {
	char uuid[UUID_TEXT_SIZE]; /* lower case */
	char *name;                /* NULL where the XML has none */
	struct domain_disk *disks;
	size_t count;
};

/* Read a domain's XML. -EBADMSG with a sentence where it is none. Free with domain_free(). */
int domain_parse(const char *text, size_t length, struct domain **ret_domain, struct sentence *error);

/*
 * The same for the domain that a snapshot of libvirt's remembers. -ENOENT when it remembers none.
 */
int domain_parse_snapshot(const char *text, size_t length, struct domain **ret_domain, struct sentence *error);
void domain_free(struct domain *domain); /* NULL is fine */
void domain_freep(struct domain **domain);

/*
 * The XML of a domain, which domain_parse() has accepted, without the <backingStore> of the disks
 * that `is_ours` is true for. *ret_text is the caller's to free; NULL when nothing was removed.
 */
int domain_without_chains(const char *text, size_t length, bool (*is_ours)(const void *context, const char *target),
			  const void *context, char **ret_text, struct sentence *error);

/* The same for a disk that has been read. */
void domain_forget_chain(struct domain_disk *disk);

/* The disk with this target, or NULL. Borrowed. */
struct domain_disk *domain_find(const struct domain *domain, const char *target);

/* Whether the disk is the file at this path, or stands on it, as far as the XML says. */
bool domain_disk_uses(const struct domain_disk *disk, const char *path);

/*
 * Set the path of a disk of type volume, by the XML of its pool in the first of the directories
 * that has it. On failure `problem` says why. Other disks are left alone.
 */
void domain_resolve_volume(struct domain_disk *disk, const char *const *storage_dirs, size_t count);

#endif
