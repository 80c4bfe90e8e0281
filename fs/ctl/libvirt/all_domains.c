/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "all_domains.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "domain_xml.h"

void all_domains_clear(struct all_domains *domains)
{
	for (size_t i = 0; i < domains->count; i++)
		domain_free(domains->items[i]);
	free(domains->items);
	*domains = (struct all_domains){ 0 };
}

int all_domains_read(const struct virsh *virsh, const struct mounts *mounts, struct all_domains *ret_domains,
		     struct sentence *error)
{
	CLEANUP(virsh_free_names) char **names = NULL;
	size_t count = 0;
	int r = virsh_domain_names(virsh, &names, error);

	*ret_domains = (struct all_domains){ 0 };
	if (r < 0)
		return r;
	while (names[count])
		count++;
	ret_domains->items = calloc(count + 1, sizeof(struct domain *));
	if (!ret_domains->items)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count && r == 0; i++) {
		struct domain *domain = NULL;

		r = domain_xml_read(virsh, names[i], DOMAIN_XML_INACTIVE, NULL, &domain, error);
		if (r < 0)
			return r;
		domain_xml_follow(domain, mounts);
		ret_domains->items[ret_domains->count++] = domain;
	}
	return 0;
}

const struct domain *all_domains_find(const struct all_domains *domains, const char *name)
{
	for (size_t i = 0; i < domains->count; i++)
		if (strcmp(domains->items[i]->name, name) == 0)
			return domains->items[i];
	return NULL;
}

const struct domain *all_domains_find_user(const struct all_domains *domains, const struct mount *mount,
					   const char *name, const char **ret_target)
{
	CLEANUP(freep) char *disk = format_text("%s/%s", mount->point, name);
	CLEANUP(freep) char *image = format_text("%s/%s", mount->images, name);

	for (size_t i = 0; i < domains->count && disk && image; i++) {
		const struct domain *domain = domains->items[i];

		for (size_t k = 0; k < domain->count; k++) {
			if (!domain_disk_uses(&domain->disks[k], disk) && !domain_disk_uses(&domain->disks[k], image))
				continue;
			*ret_target = domain->disks[k].target;
			return domain;
		}
	}
	return NULL;
}
