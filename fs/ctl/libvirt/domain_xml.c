/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The path of a volume is read from the XML that libvirt keeps of its storage pools, where the hook
 * reads it by default: a hook must not ask libvirt, and both have to find the same path.
 */
#include "domain_xml.h"

#include <errno.h>
#include <string.h>

#include "follow.h"

static const char *const storage_dirs[] = { "/run/libvirt/storage", "/etc/libvirt/storage" };

static int dump(const struct virsh *virsh, const char *domain, enum domain_xml which, char **ret_xml,
		struct sentence *error)
{
	const char *const current[] = { "dumpxml", "--domain", domain, NULL };
	const char *const inactive[] = { "dumpxml", "--inactive", "--domain", domain, NULL };
	/* A definition that is given back without its secrets would lose them. */
	const char *const defined[] = { "dumpxml", "--inactive", "--security-info", "--domain", domain, NULL };
	const char *const *const words[] = {
		[DOMAIN_XML_CURRENT] = current,
		[DOMAIN_XML_INACTIVE] = inactive,
		[DOMAIN_XML_DEFINED] = defined,
	};

	return virsh_run(virsh, words[which], ret_xml, error);
}

int domain_xml_read(const struct virsh *virsh, const char *domain, enum domain_xml which, char **ret_xml,
		    struct domain **ret_domain, struct sentence *error)
{
	CLEANUP(domain_freep) struct domain *parsed = NULL;
	CLEANUP(freep) char *xml = NULL;
	int r = dump(virsh, domain, which, &xml, error);

	if (r == 0)
		r = domain_parse(xml, strlen(xml), &parsed, error);
	if (r < 0 || !parsed)
		return r;
	if (!parsed->name)
		return report(error, -EBADMSG, "what virsh printed is no domain's XML: it has no name");
	for (size_t i = 0; i < parsed->count; i++)
		domain_resolve_volume(&parsed->disks[i], storage_dirs, ARRAY_SIZE(storage_dirs));
	if (ret_xml)
		*ret_xml = steal_pointer(&xml);
	*ret_domain = steal_pointer(&parsed);
	return 0;
}

void domain_xml_follow(struct domain *domain, const struct mounts *mounts)
{
	for (size_t i = 0; i < domain->count; i++)
		follow_links(&domain->disks[i], mounts);
}
