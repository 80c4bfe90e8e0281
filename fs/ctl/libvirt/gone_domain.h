/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is left of a domain that libvirt does not have any more, as after `virsh undefine
 * --remove-all-storage`: the file that the hook read for it, and its disks, which nobody but
 * revertfs removes. The file names targets alone; which disks these were is in the hook's log, as
 * long as that goes back.
 */
#ifndef REVERTFS_CTL_LIBVIRT_GONE_DOMAIN_H
#define REVERTFS_CTL_LIBVIRT_GONE_DOMAIN_H

#include "all_domains.h"
#include "config.h"
#include "json.h"
#include "statuses.h"

/* An entry of the file; texts but the name are borrowed. */
struct gone_disk {
	const char *target;
	char *name;                 /* NULL: the log does not say */
	const struct mount *mount;  /* NULL: no mount has such a disk now, or several have */
	struct json_object *status; /* the disk's; NULL as above. Borrowed */
	const char *user;           /* the domain that has the disk now; NULL: none */
	const char *user_target;
};

struct gone_domain {
	struct gone_disk *disks; /* one for each entry of the file */
	size_t count;
};

/* -ENOMEM with a sentence is the only failure. What is found borrows from all that is given. */
int gone_domain_look(const struct config *config, const char *domain, const struct statuses *statuses,
		     const struct all_domains *domains, struct gone_domain *ret_gone, struct sentence *error);
void gone_domain_clear(struct gone_domain *gone); /* for CLEANUP() */

#endif
