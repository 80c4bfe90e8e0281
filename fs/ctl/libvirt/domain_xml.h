/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's XML, asked of libvirt and parsed.
 */
#ifndef REVERTFS_CTL_LIBVIRT_DOMAIN_XML_H
#define REVERTFS_CTL_LIBVIRT_DOMAIN_XML_H

#include "domain.h"
#include "mounts.h"
#include "virsh.h"

enum domain_xml {
	DOMAIN_XML_CURRENT,  /* as the domain runs, where it runs */
	DOMAIN_XML_INACTIVE, /* as it is defined, to be looked at */
	DOMAIN_XML_DEFINED,  /* as it is defined, with its secrets: what `virsh define` takes back */
};

/*
 * *ret_domain is what the XML says, with the paths of volumes found out, and has a name: free with
 * domain_free(). *ret_xml is the text, to free(); NULL where the caller does not want it. Waits for
 * libvirt. Errors are those of virsh_run(), and -EBADMSG, with a sentence.
 */
int domain_xml_read(const struct virsh *virsh, const char *domain, enum domain_xml which, char **ret_xml,
		    struct domain **ret_domain, struct sentence *error);

/* Make the disks' paths those in the mounts, as the hook does (mounts_follow()). */
void domain_xml_follow(struct domain *domain, const struct mounts *mounts);

#endif
