/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images that a renaming hook has put aside: of a domain that is off, what a crash has left; of one
 * that runs, that it does so under that hook.
 */
#include "ask.h"
#include "command.h"
#include "doctor.h"
#include "renamed_disk.h"

static void note_leftover(struct doctor *doctor, const struct domain *domain, const struct domain_disk *disk,
			  const struct renamed_disk *renamed)
{
	struct sentence quoted;
	const char *name = quote_name(domain->name, &quoted);
	CLEANUP(freep)
	char *discard = format_text("'revertctl adopt %s --from-renaming-hook' has the image back", name);
	CLEANUP(freep)
	char *both = format_text("'revertctl adopt %s --from-renaming-hook' throws away what the overlay has, "
				 "'revertctl adopt %s --from-renaming-hook=keep' keeps it",
				 name, name);
	CLEANUP(freep) char *keep = format_text("'revertctl adopt %s --from-renaming-hook=keep' goes on with it", name);

	if (renamed->state == RENAMED_OVERLAY)
		doctor_note(
			doctor, LEVEL_PROBLEM, both,
			"the disk '%s' of domain '%s', '%s', is an overlay of a hook that renames images, and the image is "
			"'%s.backing_file': a session has not ended in order",
			disk->target, domain->name, disk->path, renamed->name);
	else if (renamed->state == RENAMED_MISSING)
		doctor_note(doctor, LEVEL_PROBLEM, discard,
			    "the disk '%s' of domain '%s', '%s', is not there, but '%s.backing_file' beside it is",
			    disk->target, domain->name, disk->path, renamed->name);
	else if (renamed->state == RENAMED_HALF_KEPT)
		doctor_note(
			doctor, LEVEL_PROBLEM, keep,
			"of the disk '%s' of domain '%s', '%s', a renaming hook's overlay is half committed into its image",
			disk->target, domain->name, disk->path);
}

/* The images directory may be a mount: one whose daemon does not answer is not touched. */
static bool answers(const struct doctor *doctor, const struct mount *mount)
{
	for (size_t i = 0; i < doctor->mount_count; i++)
		if (doctor->mounts[i].mount == mount)
			return doctor->mounts[i].status != NULL;
	return false;
}

static void check_disk(struct doctor *doctor, const struct domain *domain, const struct domain_disk *disk, bool is_off)
{
	const struct mount *mount = mounts_of_path(doctor->mount_table, disk->path);
	const struct mount *images = mount ? mount : mounts_of_image(doctor->mount_table, disk->path);
	const char *name = images ? name_beneath(disk->path, mount ? mount->point : images->images) : NULL;
	CLEANUP(renamed_disk_clear) struct renamed_disk renamed = { .directory = -1 };
	struct sentence ignored;

	if (!name || !answers(doctor, images) || doctor_is_served(doctor, images, name) ||
	    renamed_disk_look(images->images, name, &renamed, &ignored) < 0)
		return;
	if (is_off)
		note_leftover(doctor, domain, disk, &renamed);
	else if (renamed.state == RENAMED_OVERLAY)
		doctor_note(doctor, LEVEL_WARNING,
			    "leave that hook where it is until the domain has ended, then remove it",
			    "the disk '%s' of domain '%s' runs under a hook that renames images", disk->target,
			    domain->name);
}

void doctor_check_renamed(struct doctor *doctor, const struct domain *domain)
{
	bool is_off = doctor_is_off(doctor, domain);

	for (size_t i = 0; i < domain->count; i++)
		if (domain->disks[i].path)
			check_disk(doctor, domain, &domain->disks[i], is_off);
}
