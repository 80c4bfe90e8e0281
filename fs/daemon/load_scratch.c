/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A scratch is replaced by a fresh one when
 *
 *   there is none           a crash came before the fresh one had its name, or somebody removed it
 *   it has become a layer   a seal was cut off before its step 5 (seal.c)
 *   the host has booted     a scratch that is not to be kept was never synced and may be torn
 *                           (crashed.c says which may be to be kept)
 *   it is of the layer      and without data: a new size was cut off before its scratch was made
 *   below                   (properties.c)
 *   it is of a layer that   and without data: the fold was cut off before it had made the scratch
 *   is being folded         anew (fold.c, step 6)
 *   its header is wrong     and nothing is to be kept of it
 *
 * A wrong header of a scratch that is to be kept is mended when it only names another layer.
 * Otherwise it stays as it is: the next prepare moves the scratch to lost/.
 */
#include "load_scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "crashed.h"
#include "layer.h"
#include "layer_header.h"
#include "leftovers.h"
#include "log.h"
#include "qcow2.h"
#include "rebase.h"
#include "scratch.h"
#include "session.h"
#include "table.h"

static bool is_discarded(const struct disk *disk)
{
	return disk->record.fate == FATE_DISCARD;
}

/* --- a seal that was cut off ------------------------------------------------------------------ */

/* The layer whose file the scratch has become, or NULL. */
static struct layer *sealed_as(struct disk *disk)
{
	struct stat scratch, stat;

	if (fstat(disk->scratch->fd, &scratch) < 0 || scratch.st_nlink < 2)
		return NULL;
	for (struct layer *layer = disk->disks->layers; layer; layer = layer->next) {
		CLEANUP(close_fdp) int fd = layer->record.image ? -1 : layer_open_file(layer, O_PATH);

		if (fd >= 0 && fstat(fd, &stat) == 0 && stat.st_ino == scratch.st_ino &&
		    stat.st_dev == scratch.st_dev && layer_is_reached(layer))
			return layer;
	}
	return NULL;
}

/*
 * A commit with a name is recorded in the layer before step 4 of its seal: the layer is to be the
 * head, which the disk's record may not say yet. The name may have been deleted since.
 */
static void complete_head(struct disk *disk, struct layer *layer)
{
	struct disk_record record = disk->record;
	int r;

	if (!layer->record.becomes_head || !layer->record.name_count || layer->parent != disk->head ||
	    strcmp(layer->record.names[0].disk, disk->name) != 0)
		return;
	strcpy(record.head, layer->record.id);
	record.fate = FATE_DISCARD;
	record.follow = false;
	r = disk_save(disk, &record);
	if (r < 0) {
		log_error(
			"disk '%s': a commit that a crash cut off cannot be completed: %s; what was committed is its snapshot '%s'",
			disk->name, error_text(r), layer->record.names[0].snapshot);
		return;
	}
	disk_set_head(disk, layer);
	if (disk->session)
		session_end(disk);
	log_debug("disk", "start: '%s': the commit that was cut off is completed", disk->name);
}

/* --- headers ---------------------------------------------------------------------------------- */

/*
 * Whether the header differs from ours only in its backing file, and that is a view. Any other
 * difference a QEMU may have written. Such a header is not mended, for then it would pass for ours,
 * nor shown to qemu-img, which would open a data file that it names.
 */
static bool names_another_view(const struct scratch *scratch)
{
	struct qcow2_header found;
	struct blank *blank;

	if (layer_blank(scratch->layer, &blank, NULL) < 0 || qcow2_read_header(scratch->fd, &found, NULL) < 0 ||
	    !strstr(found.backing, "/.revertfs/"))
		return false;
	strcpy(found.backing, blank_header(blank)->backing);
	strcpy(found.backing_format, blank_header(blank)->backing_format);
	return qcow2_check_scratch(&found, blank_header(blank), NULL) == 0;
}

/* As it was made, for this layer. */
static bool is_blank_of(const struct disk *disk, struct layer *layer)
{
	struct blank *blank;
	struct stat stat;

	return layer && layer_blank(layer, &blank, NULL) == 0 && fstat(disk->scratch->fd, &stat) == 0 &&
	       blank_matches(blank, &stat) && layer_check_scratch(layer, disk->scratch->fd, NULL, NULL) == 0;
}

/* Of one that is being folded into the disk's base, which the disk's record names already. */
static bool is_blank_of_folded(const struct disk *disk)
{
	for (struct layer *layer = disk->disks->layers; layer; layer = layer->next)
		if (layer->parent == disk->scratch->layer && layer->record.state == LAYER_FOLDING &&
		    is_blank_of(disk, layer))
			return true;
	return false;
}

/*
 * The mount has moved, or a fold was cut short after it had given the scratch its new backing file.
 */
static void rebase_scratch(struct disk *disk)
{
	struct sentence why;
	int r;

	if (!names_another_view(disk->scratch)) {
		log_warning(
			"disk '%s': its scratch has a header that revertfs did not write; it is kept, and the next prepare moves it to lost/",
			disk->name);
		return;
	}
	r = rebase_header(disk->disks, disk->scratch->fd, disk->directory, SCRATCH_HEADER, disk->scratch->layer, &why);
	if (r < 0)
		log_warning(
			"disk '%s': its scratch stands on another layer than its record says: %s; it is kept for the next prepare",
			disk->name, why.text);
	else
		log_debug("disk", "start: '%s': the header of its scratch names layer %s again", disk->name,
			  disk->scratch->layer->record.id);
}

/*
 * A guest that runs through a restart may have the scratch open, which nobody has counted yet, and
 * have changed its header (virsh blockresize). The header is checked when the scratch is sealed.
 */
static bool is_open(const struct disk *disk)
{
	struct stat stat;

	return fstat(disk->scratch->fd, &stat) == 0 &&
	       handover_has_open(disk->disks->handover, stat.st_dev, stat.st_ino);
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Mend what a crash left of a scratch. Why it must be replaced all the same, or NULL. */
static const char *mend(struct disk *disk, const struct session_record *crashed)
{
	struct layer *sealed;

	rebase_recover(disk->scratch->fd, disk->directory, SCRATCH_HEADER);
	sealed = sealed_as(disk);
	if (sealed)
		complete_head(disk, sealed);
	crashed_decide(disk, crashed, !sealed);
	if (sealed)
		return "the old one has become a layer";
	if (disk->disks->first_of_boot && is_discarded(disk)) {
		if (scratch_is_dirty(disk->scratch))
			crashed_say_discarded(disk, crashed);
		return "the old one is of an earlier boot";
	}
	if (scratch_check(disk->scratch, NULL) == 0)
		return NULL;
	if (is_blank_of(disk, disk->scratch->layer->parent))
		return "the old one is of the layer below, and without data";
	if (is_blank_of_folded(disk))
		return "the old one is of a layer that was folded, and without data";
	if (is_open(disk))
		return NULL;
	if (!scratch_is_dirty(disk->scratch) || is_discarded(disk))
		return "the old one has another header than revertfs wrote";
	rebase_scratch(disk);
	return NULL;
}

static const char *why_there_is_none(const struct disk *disk)
{
	if (!is_discarded(disk))
		log_error("disk '%s': its scratch, which was to be kept (%s), is gone", disk->name,
			  fate_name(disk->record.fate));
	return "there was none";
}

/* What its data stands on: of the session that wrote it, if it is known, else as disk.json says. */
static uint64_t contents_of_scratch(const struct disk *disk, const struct session_record *crashed)
{
	if (disk->session)
		return disk->session->contents;
	if (crashed->uuid[0])
		return crashed->contents;
	return is_discarded(disk) ? disk->scratch->contents : disk->record.contents;
}

void load_scratch(struct disk *disk, const struct session_record *crashed)
{
	int r = scratch_adopt(disk, disk_base(disk));
	const char *replaced;
	struct sentence why;

	if (r == 0 && scratch_is_dirty(disk->scratch))
		disk->scratch->contents = contents_of_scratch(disk, crashed);
	if (r < 0)
		crashed_decide(disk, crashed, false);
	replaced = r == 0 ? mend(disk, crashed) : r == -ENOENT ? why_there_is_none(disk) : NULL;
	if (replaced) {
		log_debug("disk", "start: '%s': a fresh scratch: %s", disk->name, replaced);
		r = scratch_replace(disk, disk_base(disk), &why);
	} else if (r < 0) {
		report(&why, r, "its scratch cannot be opened: %s", error_text(r));
	} else {
		log_debug("disk", "start: '%s': goes on with its scratch", disk->name);
	}
	if (r < 0) {
		report_context(&why, r, "disk '%s' cannot be served until a reset succeeds: ", disk->name);
		disk_fail(disk, &why);
	}
}
