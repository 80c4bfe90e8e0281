/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's file whose domain libvirt does not have: it was renamed, or undefined. Where that was
 * to remove its storage, its disks are still there, for only revertfs ends their protection.
 */
#include <errno.h>
#include <stdlib.h>

#include "command.h"
#include "doctor.h"
#include "gone_domain.h"
#include "status_json.h"

/* What is known already, as others want it; borrowed. */
static int borrow_statuses(const struct doctor *doctor, struct statuses *ret_statuses)
{
	struct mount_status *items = calloc(doctor->mount_count + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < doctor->mount_count; i++)
		items[i] =
			(struct mount_status){ .mount = doctor->mounts[i].mount, .status = doctor->mounts[i].status };
	*ret_statuses = (struct statuses){ doctor->mount_table, items, doctor->mount_count };
	return 0;
}

static void note_user(struct doctor *doctor, const struct config *config, const struct gone_disk *disk)
{
	doctor_note(doctor, LEVEL_WARNING, "remove the file, or correct its name",
		    "'%s' is for a domain that libvirt does not have; its disk '%s' is domain '%s''s now",
		    config->shown, disk->name, disk->user);
}

/* The first disk that is still there says enough: disown names them all. */
static void note_disk(struct doctor *doctor, const char *domain, const struct config *config,
		      const struct gone_disk *disk)
{
	CLEANUP(freep) char *path = format_text("%s/%s", disk->mount->point, disk->name);
	struct sentence quoted_domain, quoted_path;
	CLEANUP(freep)
	char *fix = path ? format_text("'revertctl disown %s' clears that, and then 'rm %s' removes what it had; or "
				       "correct the file's name, if the domain has another one",
				       quote_name(domain, &quoted_domain), quote_name(path, &quoted_path))
			 : NULL;

	doctor_note(
		doctor, LEVEL_WARNING, fix,
		"'%s' is for a domain that libvirt does not have, as after 'virsh undefine'; its disk '%s' is still "
		"%s",
		config->shown, disk->name, string_of(disk->status, "template", NULL) ? "there" : "protected");
}

static void note_file(struct doctor *doctor, const struct config *config)
{
	doctor_note(doctor, LEVEL_WARNING, "remove the file, or correct its name",
		    "'%s' is for a domain that libvirt does not have", config->shown);
}

static void note(struct doctor *doctor, const char *domain, const struct config *config, const struct gone_domain *gone)
{
	for (size_t i = 0; i < gone->count; i++)
		if (gone->disks[i].user) {
			note_user(doctor, config, &gone->disks[i]);
			return;
		}
	for (size_t i = 0; i < gone->count; i++)
		if (gone->disks[i].status) {
			note_disk(doctor, domain, config, &gone->disks[i]);
			return;
		}
	note_file(doctor, config);
}

void doctor_check_gone(struct doctor *doctor, const char *domain, const struct config *config)
{
	CLEANUP(all_domains_clear) struct all_domains domains = { 0 };
	CLEANUP(gone_domain_clear) struct gone_domain gone = { 0 };
	struct statuses statuses = { 0 };
	struct sentence why;

	if (doctor->mount_table && borrow_statuses(doctor, &statuses) == 0 &&
	    all_domains_read(&doctor->virsh, doctor->mount_table, &domains, &why) == 0 &&
	    gone_domain_look(config, domain, &statuses, &domains, &gone, &why) == 0)
		note(doctor, domain, config, &gone);
	else
		note_file(doctor, config);
	free(statuses.items);
}
