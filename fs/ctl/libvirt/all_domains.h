/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All domains of this libvirt, as they are defined, and which of them has a disk of a mount.
 */
#ifndef REVERTFS_CTL_LIBVIRT_ALL_DOMAINS_H
#define REVERTFS_CTL_LIBVIRT_ALL_DOMAINS_H

#include "domain.h"
#include "mounts.h"
#include "virsh.h"

struct all_domains {
	struct domain **items;
	size_t count;
};

/*
 * Ask libvirt for each. Errors are those of virsh_run(), with a sentence: a domain that could not
 * be read might have any disk.
 */
int all_domains_read(const struct virsh *virsh, const struct mounts *mounts, struct all_domains *ret_domains,
		     struct sentence *error);
void all_domains_clear(struct all_domains *domains); /* for CLEANUP() */

const struct domain *all_domains_find(const struct all_domains *domains, const char *name);

/*
 * The domain that has this name of the mount, or the real image, as a disk or beneath one; NULL:
 * none has. *ret_target is that disk's target. Borrowed.
 */
const struct domain *all_domains_find_user(const struct all_domains *domains, const struct mount *mount,
					   const char *name, const char **ret_target);

#endif
