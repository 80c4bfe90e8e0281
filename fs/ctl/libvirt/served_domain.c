/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paths are taken from the domain's current XML. revertfs serves a disk when its path lies in a
 * revertfs mount (compared as text) and the daemon there has a disk of that name.
 */
#include "served_domain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "domain_xml.h"
#include "status_json.h"

void served_domain_clear(struct served_domain *domain)
{
	for (size_t i = 0; i < domain->count; i++) {
		free(domain->disks[i].target);
		free(domain->disks[i].point);
		free(domain->disks[i].name);
	}
	free(domain->disks);
	*domain = (struct served_domain){ 0 };
}

static int find_state(const struct virsh *virsh, const char *domain, enum domain_state *ret_state,
		      struct sentence *error)
{
	static const struct {
		const char *word;
		enum domain_state state;
	} states[] = {
		{ "running", DOMAIN_RUNNING }, { "idle", DOMAIN_RUNNING }, { "paused", DOMAIN_PAUSED },
		{ "shut off", DOMAIN_OFF },    { "crashed", DOMAIN_OFF },
	};
	CLEANUP(freep) char *state = NULL;
	int r = virsh_domain_state(virsh, domain, &state, error);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (strcmp(states[i].word, state) == 0) {
			*ret_state = states[i].state;
			return 0;
		}
	}
	return report(error, -EBUSY, "domain '%s' is neither off nor running (%s): try again later", domain, state);
}

static int check_hold(struct json_object *disk, const char *name, const struct served_domain *domain,
		      struct sentence *error)
{
	const char *uuid = string_of(object_of(disk, "hold"), "uuid", NULL);
	struct sentence quoted;

	if (domain->state == DOMAIN_OFF && uuid && strcasecmp(uuid, domain->uuid) == 0)
		return report(error, -EBUSY,
			      "disk '%s' is held for the domain's saved state: start the domain, and try again, or "
			      "copy what it resumes on with 'revertctl export %s --held --to=FILE'",
			      name, quote_name(name, &quoted));
	return 0;
}

static int add(struct served_domain *domain, const char *target, const char *point, const char *name,
	       struct json_object *status)
{
	struct served_disk *larger = reallocarray(domain->disks, domain->count + 1, sizeof(*larger)), *disk;

	if (!larger)
		return -ENOMEM;
	domain->disks = larger;
	disk = &larger[domain->count++];
	disk->target = strdup(target);
	disk->point = strdup(point);
	disk->name = strdup(name);
	disk->is_leftover = object_of(status, "session") || string_of(status, "kept", NULL);
	return disk->target && disk->point && disk->name ? 0 : -ENOMEM;
}

static int add_if_served(struct served_domain *domain, const struct mounts *mounts, const struct domain_disk *disk,
			 struct sentence *error)
{
	const struct mount *mount = disk->path ? mounts_of_path(mounts, disk->path) : NULL;
	CLEANUP(json_putp) struct json_object *status = NULL;
	struct json_object *found = NULL;
	const char *name;
	int r;

	if (!mount)
		return 0;
	name = name_beneath(disk->path, mount->point);
	r = ask_status(mount->point, &status, error);
	if (r < 0)
		return r;
	if (ask_find_disk(status, name, &found, NULL) < 0)
		return 0; /* a file of the mount that is not protected */
	r = check_hold(found, name, domain, error);
	if (r < 0)
		return r;
	r = add(domain, disk->target ? disk->target : "?", mount->point, name, found);
	return r < 0 ? report(error, r, "out of memory") : 0;
}

int served_domain_find(const struct virsh *virsh, const char *domain, struct served_domain *ret_domain,
		       struct sentence *error)
{
	CLEANUP(served_domain_clear) struct served_domain found = { 0 };
	CLEANUP(mounts_freep) struct mounts *mounts = NULL;
	CLEANUP(domain_freep) struct domain *parsed = NULL;
	int r = ask_mounts(&mounts, error);

	if (r == 0)
		r = find_state(virsh, domain, &found.state, error);
	if (r < 0)
		return r;
	r = domain_xml_read(virsh, domain, DOMAIN_XML_CURRENT, NULL, &parsed, error);
	if (r < 0)
		return r;
	domain_xml_follow(parsed, mounts);
	memcpy(found.uuid, parsed->uuid, sizeof(found.uuid));
	for (size_t i = 0; i < parsed->count && r == 0; i++)
		r = add_if_served(&found, mounts, &parsed->disks[i], error);
	if (r < 0)
		return r;
	if (!found.count)
		return report(error, -ENOENT, "domain '%s' has no disk that revertfs protects", domain);
	*ret_domain = found;
	found = (struct served_domain){ 0 };
	return 0;
}
