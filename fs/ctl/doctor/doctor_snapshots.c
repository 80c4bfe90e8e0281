/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots and checkpoints that libvirt has of a domain whose disks revert. A snapshot from before
 * the domain was adopted names the real image, and a revert to it writes there, past the mount.
 * What was taken in a session is gone when that has ended, but libvirt goes on listing it.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ask.h"
#include "command.h"
#include "doctor.h"
#include "domain_xml.h"
#include "status_json.h"

#define LOOKED_AT 32 /* snapshots of a domain: each takes a virsh */

static bool names_real_image(const struct doctor *doctor, const struct domain *domain)
{
	for (size_t i = 0; i < domain->count; i++) {
		const char *path = domain->disks[i].path;
		const struct mount *images = path && !mounts_of_path(doctor->mount_table, path)
						     ? mounts_of_image(doctor->mount_table, path)
						     : NULL;

		if (images && doctor_is_served(doctor, images, name_beneath(path, images->images)))
			return true;
	}
	return false;
}

/* Its XML, to free(); NULL: libvirt does not have it any more. */
static char *snapshot_xml(const struct doctor *doctor, const struct domain *domain, const char *snapshot)
{
	const char *words[] = { "snapshot-dumpxml", "--domain", domain->uuid, "--snapshotname", snapshot, NULL };
	struct sentence ignored;
	char *text = NULL;

	return virsh_run(&doctor->virsh, words, &text, &ignored) < 0 ? NULL : text;
}

static bool is_past_mount(const struct doctor *doctor, const char *xml)
{
	CLEANUP(domain_freep) struct domain *remembered = NULL;
	struct sentence ignored;

	if (domain_parse_snapshot(xml, strlen(xml), &remembered, &ignored) < 0)
		return false;
	domain_xml_follow(remembered, doctor->mount_table);
	return names_real_image(doctor, remembered);
}

/* When the domain's session began with a fresh scratch; 0: none has, or a daemon does not say. */
static time_t session_since(const struct doctor *doctor, const struct domain *domain)
{
	struct json_object *disk;
	struct tm parts = { 0 };

	for (size_t i = 0; i < doctor->mount_count; i++)
		for (size_t k = 0; (disk = element_of(doctor->mounts[i].status, "disks", k)); k++) {
			struct json_object *session = object_of(disk, "session");

			if (strcmp(string_of(session, "uuid", ""), domain->uuid) == 0 &&
			    !flag_of(session, "continued") &&
			    strptime(string_of(session, "since", ""), "%Y-%m-%dT%H:%M:%SZ", &parts))
				return timegm(&parts);
		}
	return 0;
}

/* Whether it was taken before; its own disk is then past, whatever libvirt says. */
static bool is_older(const char *xml, time_t since)
{
	static const char element[] = "<creationTime>";
	const char *time = strstr(xml, element);

	return since && time && strtoll(time + strlen(element), NULL, 10) < since;
}

/* A domain that runs: libvirt would stop it, and then find that its disk has no such snapshot. */
static void warn_of_old(struct doctor *doctor, const struct domain *domain, const char *snapshot)
{
	CLEANUP(freep) char *forget = virsh_say_forget("snapshot-delete", domain->name, snapshot);
	CLEANUP(freep) char *fix = format_text("%s; 'revertctl snapshot' makes one that stays", forget ? forget : "");

	doctor_note(
		doctor, LEVEL_WARNING, fix,
		"the snapshot '%s' that libvirt has of domain '%s' is from before its session, and gone from its disks: a "
		"'virsh snapshot-revert' to it stops the guest that runs, and fails",
		snapshot, domain->name);
}

static void check_snapshots(struct doctor *doctor, const struct domain *domain, char *const *names)
{
	CLEANUP(freep) char *list = virsh_show_names(names);
	time_t since = session_since(doctor, domain);
	const char *past = NULL, *old = NULL;
	CLEANUP(freep) char *fix = NULL;

	for (size_t i = 0; names[i] && i < LOOKED_AT && !past; i++) {
		CLEANUP(freep) char *xml = snapshot_xml(doctor, domain, names[i]);

		past = xml && is_past_mount(doctor, xml) ? names[i] : NULL;
		old = !old && xml && is_older(xml, since) ? names[i] : old;
	}
	fix = virsh_say_forget("snapshot-delete", domain->name, past ? past : names[0]);
	if (past)
		doctor_note(
			doctor, LEVEL_PROBLEM, fix,
			"the snapshot '%s' that libvirt has of domain '%s' is from before that was adopted: a revert "
			"to it would write the real image, past the mount",
			past, domain->name);
	else if (old)
		warn_of_old(doctor, domain, old);
	else if (doctor_is_off(doctor, domain)) /* in a session its own snapshots are as good as anywhere */
		doctor_note(doctor, LEVEL_WARNING, fix,
			    "libvirt has snapshots of domain '%s' (%s), which were gone when the disks reverted",
			    domain->name, list ? list : "");
}

static void check_checkpoints(struct doctor *doctor, const struct domain *domain, char *const *names)
{
	CLEANUP(freep) char *list = virsh_show_names(names);
	CLEANUP(freep) char *forget = virsh_say_forget("checkpoint-delete", domain->name, names[0]);
	CLEANUP(freep) char *fix = format_text("make full backups; %s", forget ? forget : "");

	if (doctor_is_off(doctor, domain))
		doctor_note(
			doctor, LEVEL_WARNING, fix,
			"libvirt has checkpoints of domain '%s' (%s), and refuses incremental backups from them after the "
			"disks have reverted",
			domain->name, list ? list : "");
}

void doctor_check_snapshots(struct doctor *doctor, const struct domain *domain)
{
	CLEANUP(virsh_free_names) char **snapshots = NULL;
	CLEANUP(virsh_free_names) char **checkpoints = NULL;
	struct sentence ignored;

	/* A libvirt that knows no such thing has none. */
	if (virsh_names_of(&doctor->virsh, "snapshot-list", domain->uuid, &snapshots, &ignored) == 0 && snapshots &&
	    snapshots[0])
		check_snapshots(doctor, domain, snapshots);
	if (virsh_names_of(&doctor->virsh, "checkpoint-list", domain->uuid, &checkpoints, &ignored) == 0 &&
	    checkpoints && checkpoints[0])
		check_checkpoints(doctor, domain, checkpoints);
}
