/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The words follow what a prepare decides (session/choice.c), as far as it can be known before: a
 * domain's file may say leftover= of its own.
 */
#include "kept.h"

#include <sys/stat.h>

#include "aside.h"
#include "command.h"

static const char *else_what(const struct disk_record *record)
{
	return record->leftover_keep ? "else keeps it as " ASIDE_CRASH "-TIME" : "else throws it away";
}

static void say_start(const struct disk_record *record, struct sentence *ret)
{
	switch (record->fate) {
	case FATE_ARMED:
	case FATE_UNCOMMITTED:
		report(ret, 0, "keeps it as %s-TIME", ASIDE_UNCOMMITTED);
		break;
	case FATE_UNHOOKED:
		report(ret, 0, "keeps it as %s-TIME", ASIDE_UNHOOKED);
		break;
	case FATE_LEFTOVER:
		report(ret, 0, "keeps it as %s-TIME", ASIDE_CRASH);
		break;
	case FATE_EDITED:
		report(ret, 0, "keeps it as %s-TIME where one-shot-commit is true, and %s", ASIDE_UNCOMMITTED,
		       else_what(record));
		break;
	case FATE_UNSYNCED:
		if (record->fate_torn)
			report(ret, 0,
			       "moves it to lost/ where one-shot-commit is true, for qemu-img finds errors in it, and %s",
			       record->leftover_keep ? "else does so too" : "else throws it away");
		else
			report(ret, 0, "keeps it as %s-TIME where one-shot-commit is true, and %s", ASIDE_UNSYNCED,
			       else_what(record));
		break;
	case FATE_UNDECIDED:
	case FATE_SNAPSHOT:
		if (record->fate_armed)
			report(ret, 0,
			       "goes on with it where libvirt restores its domain or starts it on its snapshot, and else keeps it as %s-TIME",
			       ASIDE_UNCOMMITTED);
		else if (record->fate_unread)
			report(ret, 0, "keeps it as %s-TIME, for nobody could read whether it was to be committed",
			       ASIDE_UNDECIDED);
		else
			report(ret, 0,
			       "goes on with it where libvirt restores its domain or starts it on its snapshot, and %s",
			       else_what(record));
		break;
	case FATE_DISCARD:
		report(ret, 0, "throws it away");
		break;
	}
}

void kept_say_next(const char *disk, const struct disk_record *record, struct sentence *ret_what)
{
	struct sentence start, quoted;
	const char *name = quote_name(disk, &quoted);

	say_start(record, &start);
	if (record->fate == FATE_UNHOOKED)
		report(ret_what, 0,
		       "waits for its next start with a file for the hook, which %s; 'revertctl commit %s' makes it the disk's content now, 'revertctl reset %s' throws it away",
		       start.text, name, name);
	/* No head is made of what was never synced (history.c). */
	else if (record->fate == FATE_UNSYNCED)
		report(ret_what, 0, "waits for its next start, which %s; 'revertctl reset %s' throws it away now",
		       start.text, name);
	else
		report(ret_what, 0,
		       "waits for its next start, which %s; 'revertctl commit %s' makes it the disk's content now, 'revertctl reset %s' throws it away",
		       start.text, name, name);
}

bool kept_waits_locked(const struct disk *disk, struct sentence *ret_what)
{
	const struct scratch *scratch = disk->scratch;
	char size[SIZE_TEXT_SIZE];
	struct sentence next;
	struct stat st;

	/* Kept data waits for nothing. */
	if (disk->record.keeps_data)
		return false;
	if (disk->record.fate == FATE_DISCARD || disk->session || disk->hold || !scratch || scratch->writers ||
	    !scratch_looks_dirty_locked(scratch) || fstat(scratch->fd, &st) < 0)
		return false;
	size_text((uint64_t)st.st_blocks * 512, size);
	kept_say_next(disk->name, &disk->record, &next);
	report(ret_what, 0, "disk '%s': %s, which %s, %s", disk->name, size,
	       disk->record.fate == FATE_UNHOOKED ? "was written without the hook's protection"
						  : "its last session wrote",
	       next.text);
	return true;
}
