/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gone_domain.h"

#include <errno.h>
#include <stdlib.h>

#include "hooklog.h"
#include "host.h"
#include "shown.h"

void gone_domain_clear(struct gone_domain *gone)
{
	for (size_t i = 0; i < gone->count; i++)
		free(gone->disks[i].name);
	free(gone->disks);
	*gone = (struct gone_domain){ 0 };
}

static void find_mount(struct gone_disk *disk, const struct statuses *statuses)
{
	if (!disk->name || statuses_count(statuses, disk->name) != 1)
		return;
	for (size_t i = 0; i < statuses->count && !disk->status; i++) {
		disk->mount = statuses->items[i].mount;
		disk->status = statuses_find(statuses, disk->mount, disk->name);
	}
}

int gone_domain_look(const struct config *config, const char *domain, const struct statuses *statuses,
		     const struct all_domains *domains, struct gone_domain *ret_gone, struct sentence *error)
{
	CLEANUP(freep) char *log = hooklog_read(HOST_HOOK_LOG);
	char shown[256];

	*ret_gone = (struct gone_domain){ .disks = calloc(config->count + 1, sizeof(struct gone_disk)) };
	if (!log || !ret_gone->disks)
		return report(error, -ENOMEM, "out of memory");
	shown_text(domain, shown, sizeof(shown));
	for (size_t i = 0; i < config->count; i++) {
		struct gone_disk *disk = &ret_gone->disks[ret_gone->count++];
		const struct domain *user;

		disk->target = config->disks[i].target;
		disk->name = hooklog_find_disk(log, shown, disk->target);
		find_mount(disk, statuses);
		user = disk->mount ? all_domains_find_user(domains, disk->mount, disk->name, &disk->user_target) : NULL;
		disk->user = user ? user->name : NULL;
	}
	return 0;
}
