/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt's domains, and the files that the hook reads for them. Whether a domain would start is
 * asked of those who decide it: the hook's own policy, and then the daemons, which check what they
 * would check at `prepare`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "doctor.h"
#include "domain_xml.h"
#include "host.h"
#include "status_json.h"

void doctor_check_libvirt(struct doctor *doctor)
{
	struct sentence why;
	int r = virsh_check_host(&doctor->virsh, &why);

	if (r == 0)
		r = virsh_domain_names(&doctor->virsh, &doctor->domains, &why);
	if (r == -EINVAL)
		doctor_note_sentence(doctor, LEVEL_WARNING, &why);
	else if (r < 0)
		doctor_note(doctor, r == -ENOENT ? LEVEL_NOTE : LEVEL_WARNING, "start libvirtd, or say --connect=URI",
			    "%s", why.text);
}

static bool is_domain(const struct doctor *doctor, const char *name)
{
	for (char **n = doctor->domains; n && *n; n++)
		if (strcmp(*n, name) == 0)
			return true;
	return false;
}

/* ---- the hook's files */

/* One that does not has been noted, and is not waited for once for each domain. */
static bool all_answer(const struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->mount_count; i++)
		if (!doctor->mounts[i].status)
			return false;
	return true;
}

static void check_entries(struct doctor *doctor, const char *name, const struct config *config)
{
	CLEANUP(domain_freep) struct domain *domain = NULL;
	struct sentence why;
	int r;

	if (domain_xml_read(&doctor->virsh, name, DOMAIN_XML_DEFINED, NULL, &domain, &why) < 0 || !doctor->mount_table)
		return;
	domain_xml_follow(domain, doctor->mount_table);
	r = defined_domain_ask_hook(domain, config, doctor->mount_table, &why);
	if (r == 0 && all_answer(doctor))
		r = defined_domain_ask_daemons(&doctor->virsh, domain, config, doctor->mount_table, &why);
	if (r < 0) {
		report_context(&why, 0, "domain '%s' would not start: ", name);
		doctor_note_sentence(doctor, LEVEL_PROBLEM, &why);
	}
}

static void check_file(void *context, const char *name)
{
	struct doctor *doctor = context;
	CLEANUP(config_freep) struct config *config = NULL;
	struct sentence why;
	int r = config_load(HOST_CONFIG_DIR, name, &config, &why);

	if (r < 0)
		doctor_note_sentence(doctor, LEVEL_PROBLEM, &why);
	else if (r > 0 && doctor->domains && !is_domain(doctor, name))
		doctor_check_gone(doctor, name, config);
	else if (r > 0 && doctor->domains)
		check_entries(doctor, name, config);
}

void doctor_check_files(struct doctor *doctor)
{
	host_visit_files(check_file, doctor);
}

/* ---- domains */

struct json_object *doctor_find_disk(const struct doctor *doctor, const struct mount *mount, const char *name)
{
	struct json_object *disk = NULL;
	struct sentence ignored;

	for (size_t i = 0; i < doctor->mount_count; i++)
		if (doctor->mounts[i].mount == mount && doctor->mounts[i].status)
			ask_find_disk(doctor->mounts[i].status, name, &disk, &ignored);
	return disk;
}

bool doctor_is_served(const struct doctor *doctor, const struct mount *mount, const char *name)
{
	return doctor_find_disk(doctor, mount, name);
}

bool doctor_is_off(const struct doctor *doctor, const struct domain *domain)
{
	CLEANUP(freep) char *state = NULL;
	struct sentence ignored;

	return virsh_domain_state(&doctor->virsh, domain->uuid, &state, &ignored) == 0 &&
	       strcmp(state, "shut off") == 0;
}

/* A file of the disk's chain, as far as the XML says what stands on what. */
static void check_backing(struct doctor *doctor, const char *domain, const struct domain_disk *disk, const char *path)
{
	static const char fix[] = "give the domain a copy ('qemu-img convert'), or a clone ('revertctl clone')";
	const struct mount *mount = mounts_of_path(doctor->mount_table, path);
	const struct mount *images = mount ? NULL : mounts_of_image(doctor->mount_table, path);

	if (images && doctor_is_served(doctor, images, name_beneath(path, images->images)))
		doctor_note(doctor, LEVEL_PROBLEM, fix,
			    "the disk '%s' of domain '%s' stands on the real image '%s', which commits change under it",
			    disk->target, domain, path);
	if (mount && doctor_is_served(doctor, mount, name_beneath(path, mount->point)))
		doctor_note(doctor, LEVEL_PROBLEM, fix,
			    "the disk '%s' of domain '%s' stands on '%s', which reverts under it", disk->target, domain,
			    path);
}

static void check_disk(struct doctor *doctor, const char *domain, const struct config *config,
		       const struct domain_disk *disk)
{
	const struct mount *mount = mounts_of_path(doctor->mount_table, disk->path);
	const struct mount *images = mount ? NULL : mounts_of_image(doctor->mount_table, disk->path);
	struct json_object *served =
		mount ? doctor_find_disk(doctor, mount, name_beneath(disk->path, mount->point)) : NULL;
	struct sentence quoted;
	CLEANUP(freep)
	char *adopt = format_text("'revertctl adopt %s --target %s', while it is off", quote_name(domain, &quoted),
				  disk->target);

	if (images && doctor_is_served(doctor, images, name_beneath(disk->path, images->images)))
		doctor_note(
			doctor, LEVEL_PROBLEM, adopt,
			"domain '%s' has the real image '%s' as its disk '%s', past the mount, and would change it under "
			"the layers that stand on it",
			domain, disk->path, disk->target);
	if (served && !disk_keeps_data(served) && !(config && config_find(config, disk->target)))
		doctor_note(
			doctor, LEVEL_WARNING, adopt,
			"domain '%s' has '%s' as its disk '%s', but its file does not name that: nothing reverts it",
			domain, disk->path, disk->target);
}

static void check_domain(struct doctor *doctor, const char *name)
{
	CLEANUP(domain_freep) struct domain *domain = NULL;
	CLEANUP(config_freep) struct config *config = NULL;
	struct sentence ignored;

	/*
	 * A domain that has just gone is not looked at; a file that is not valid has been noted
	 * before.
	 */
	if (domain_xml_read(&doctor->virsh, name, DOMAIN_XML_DEFINED, NULL, &domain, &ignored) < 0 ||
	    config_load(HOST_CONFIG_DIR, name, &config, &ignored) < 0)
		return;
	domain_xml_follow(domain, doctor->mount_table);
	for (size_t i = 0; i < domain->count; i++) {
		const struct domain_disk *disk = &domain->disks[i];

		if (disk->path)
			check_disk(doctor, name, config, disk);
		/* Of a disk that the hook has a word on, doctor_check_files() has said it. */
		for (size_t k = 0; k < disk->chain_length && !(config && config_find(config, disk->target)); k++)
			check_backing(doctor, name, disk, disk->chain[k]);
	}
	if (config && config->count)
		doctor_check_snapshots(doctor, domain);
	doctor_check_renamed(doctor, domain);
}

void doctor_check_domains(struct doctor *doctor)
{
	for (char **name = doctor->domains; doctor->mount_table && name && *name; name++)
		check_domain(doctor, *name);
}
