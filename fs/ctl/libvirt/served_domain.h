/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A libvirt domain, with those of its disks that revertfs serves, in whichever mounts they are.
 */
#ifndef REVERTFS_CTL_LIBVIRT_SERVED_DOMAIN_H
#define REVERTFS_CTL_LIBVIRT_SERVED_DOMAIN_H

#include "domain.h"
#include "json.h"
#include "virsh.h"

enum domain_state { DOMAIN_OFF, DOMAIN_RUNNING, DOMAIN_PAUSED };

struct served_disk {
	char *target, *point, *name; /* "vda", the mount, the name in it */
	bool is_leftover;            /* a session has not ended, or it is undecided what becomes of its data */
};

struct served_domain {
	char uuid[UUID_TEXT_SIZE];
	enum domain_state state;
	struct served_disk *disks;
	size_t count;
};

/*
 * Ask libvirt and the daemons; waits for both. -ENOENT when revertfs serves none of the domain's
 * disks; -EBUSY when the domain is saved, or neither off, running nor paused; always with a
 * sentence. Clear with served_domain_clear().
 */
int served_domain_find(const struct virsh *virsh, const char *domain, struct served_domain *ret_domain,
		       struct sentence *error);
void served_domain_clear(struct served_domain *domain); /* for CLEANUP() */

#endif
