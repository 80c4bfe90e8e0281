/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When an external snapshot is taken, libvirt goes on with the snapshot's file, and the scratch is
 * its backing file from then on. A session that ends so leaves the scratch undecided (release.c).
 * The domain may then be started on the snapshot's file, which lies in the mount, but is no disk:
 * the session goes on, with the scratch below as it is, so that `virsh blockcommit` can bring all
 * of it into the scratch. Once it has, the domain's source is the disk again, and its end is that
 * of any session. Until then each end leaves the disk undecided. So it is with several snapshots on
 * one another, and with those of a domain that was off, under which nothing was written.
 *
 * A snapshot of an earlier life would give the guest a mixture: the scratch must be the one that it
 * was taken of, so none that was made after one of the files.
 */
#include "left_snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "layer_header.h"
#include "log.h"
#include "scratch.h"
#include "stacked.h"
#include "table.h"

static bool is_of_scratch(const struct participant *participant)
{
	const struct disk *disk = participant->disk;
	struct disk *below =
		disk->scratch ? stacked_on_disk(disk->disks, participant->item->name, disk->scratch->fd, NULL) : NULL;
	bool is = below == disk;

	disk_put(below);
	return is;
}

/* A session of the domain ended on it; or it was taken while no session had written anything. */
static bool was_left_by(const struct disk *disk, const char *uuid)
{
	const struct disk_record *record = &disk->record;

	if (record->fate == FATE_UNDECIDED && (record->fate_armed || record->fate_unread))
		return strcmp(record->fate_uuid, uuid) == 0;
	return record->fate == FATE_DISCARD && !disk->hold && disk->scratch && !scratch_is_dirty(disk->scratch);
}

int left_snapshot_check(const struct participant *participant, const char *uuid, struct sentence *error)
{
	const struct disk *disk = participant->disk;

	if (was_left_by(disk, uuid) && is_of_scratch(participant))
		return 0;
	return report(
		error, -EINVAL,
		"'%s' is an external snapshot that was left on the disk '%s', which was reset or started since, or by "
		"another domain, so that what the snapshot has is of no use: set the domain's source back to '%s/%s' with "
		"'virsh edit', and remove the file",
		participant->item->name, disk->name, disk->disks->options->mount, disk->name);
}

void left_snapshot_keep(const struct participant *participant, const char *uuid, struct disk_record *record)
{
	if (record->fate != FATE_UNDECIDED)
		record->fate_since = time(NULL);
	record->fate = FATE_UNDECIDED;
	record->fate_armed = true;
	record->contents = scratch_contents(participant->disk);
	snprintf(record->fate_uuid, sizeof(record->fate_uuid), "%s", uuid);
	if (participant->item->source)
		left_snapshot_note(participant->item->source, record);
}

void left_snapshot_say_goes_on(const struct participant *participant, const char *domain, struct sentence *ret_warning)
{
	const struct disk *disk = participant->disk;
	struct sentence path, quoted_path, quoted_domain;

	report(&path, 0, "%s/%s", disk->disks->options->mount, disk->name);
	report(ret_warning, 0,
	       "disk '%s': domain '%s' goes on with the external snapshot '%s' that was left on it; nothing reverts until "
	       "'virsh blockcommit %s %s --active --pivot --base %s' has taken that back",
	       disk->name, domain, participant->item->name, quote_name(domain, &quoted_domain),
	       participant->item->target, quote_name(path.text, &quoted_path));
	log_warning("%s", ret_warning->text);
}

void left_snapshot_note(const char *file, struct disk_record *record)
{
	if (strlen(file) < sizeof(record->snapshot_file) && text_is_clean(file))
		strcpy(record->snapshot_file, file);
}

void left_snapshot_note_layer(const struct disk_record *record, char ret_note[NOTE_SIZE])
{
	static const char stands[] = "stands on this";

	ret_note[0] = '\0';
	if (record->fate != FATE_UNDECIDED || !record->snapshot_file[0])
		return;
	if (snprintf(ret_note, NOTE_SIZE, "'%s' %s", record->snapshot_file, stands) >= NOTE_SIZE)
		snprintf(ret_note, NOTE_SIZE, "an external snapshot %s", stands);
}

/*
 * The file that names the disk itself: the given one, or, of several snapshots on one another that
 * lie in the mount, the lowest. NULL: elsewhere that is not known here.
 */
static char *find_lowest(const struct disk *disk, const char *file)
{
	const char *mount = disk->disks->options->mount;
	CLEANUP(freep) char *lowest = NULL;
	struct disk *below = NULL;
	bool found;

	if (path_is_beneath(file, mount) && strlen(file) > strlen(mount) + 1)
		below = stacked_on_disk(disk->disks, file + strlen(mount) + 1, -1, &lowest);
	found = below == disk;
	disk_put(below);
	return found ? format_text("%s/%s", mount, lowest) : NULL;
}

void left_snapshot_warn(const struct disk *disk, const char *file, const struct layer *layer,
			struct sentence *ret_warning)
{
	CLEANUP(freep) char *view = layer_view_path(layer), *lowest = find_lowest(disk, file);
	struct sentence quoted_view, quoted_file;

	report(ret_warning, 0,
	       "disk '%s': the external snapshot '%s', which stands on it, reads other bytes from now on: remove it, or%s "
	       "'qemu-img rebase -u -f qcow2 -F qcow2 -b %s %s' has it read what it did",
	       disk->name, file, lowest ? "" : " (where its backing file is the disk, and not another snapshot)",
	       quote_name(view ? view : "", &quoted_view), quote_name(lowest ? lowest : file, &quoted_file));
	/* A command that is cut off is another command. */
	if (strlen(ret_warning->text) + 1 >= sizeof(ret_warning->text))
		report(ret_warning, 0,
		       "disk '%s': an external snapshot that stands on it reads other bytes from now on: remove it, or "
		       "give it the layer '%s' as its backing file with 'qemu-img rebase -u'",
		       disk->name, layer->record.id);
	log_warning("%s", ret_warning->text);
}
