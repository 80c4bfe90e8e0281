/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loading, in this order:
 *
 *   1. intents       a release of several disks that was promised is completed, so that the records
 *                    below are whole
 *   2. layers        (load_layers.c) records, then the tree. A layer whose parent is not there is
 *                    not used, and nothing is removed
 *   3. headers       (load_layers.c) of layers whose parent's path is another than the header says:
 *                    the mount has moved, or a fold was cut short
 *      Where not one image of the layers is there, the start ends here (images_directory.c)
 *   4. disks         (load_disks.c, load_scratch.c) records, sessions, scratches. A scratch that is
 *                    the same file as a layer was sealed: it is replaced. At the first start of a
 *                    boot, scratches that may be discarded are replaced too, for they were never
 *                    synced; unless their domain's file may have been edited (crashed.c)
 *   5. blanks        (load_blanks.c) those that this QEMU had better not have are made anew
 *   6. outputs       exports and full clones that were being made are noted; a thread cleans
 *                    up behind them, since they may lie on a server that does not answer
 *   7. leftovers     (leftovers.c) names of disks that are gone, layers that nothing reaches, files
 *                    without a record
 *
 * When any record cannot be read, disks->incomplete is set, and nothing is removed and no fold
 * begun from then on: what looks unreached may be what the unreadable record needs. A disk whose
 * record cannot be read stays protected and has failed.
 *
 * With the debug topic "disk" each step says what it found and what it mended.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "entries.h"
#include "images_directory.h"
#include "io.h"
#include "leftovers.h"
#include "load_blanks.h"
#include "load_disks.h"
#include "load_layers.h"
#include "log.h"
#include "output.h"
#include "seal.h"

#define BOOT_RECORD "boot"

static void complete_intent(struct disks *disks, const char *name)
{
	struct sentence why;

	if (!entry_has_suffix(name, ".json")) {
		io_unlink(disks->intents_fd, name);
		return;
	}
	log_debug("disk", "start: the promised release '%s' is completed", name);
	if (seal_complete_intent(disks, name, &why) < 0) {
		log_error("the promised release '%s' cannot be completed: %s; it is kept for the next start", name,
			  why.text);
		disks->incomplete = true;
	}
}

static void note_unfinished(struct disks *disks, const char *name)
{
	if (entry_has_suffix(name, ".json"))
		output_note_unfinished(disks, name);
	else
		io_unlink(disks->outputs_fd, name);
}

/*
 * The record is not synced: after a crash of the host it names at worst the boot before last, which
 * is as good. A mount that is taken over is of this boot.
 */
static bool is_first_of_boot(const struct disks *disks)
{
	CLEANUP(close_fdp) int fd = io_open_file(disks->state_fd, BOOT_RECORD, O_RDONLY);
	CLEANUP(freep) char *text = NULL;

	if (handover_mount(disks->handover)->restarts)
		return false;
	return fd < 0 || read_all(fd, BOOT_ID_SIZE, &text, NULL) < 0 || strcmp(text, disks->boot) != 0;
}

int load_state(struct disks *disks, struct sentence *error)
{
	int r;

	disks->first_of_boot = is_first_of_boot(disks);
	log_debug("disk", "start: %s of this boot", disks->first_of_boot ? "the first" : "not the first");
	r = entries_visit(disks, disks->intents_fd, complete_intent);
	if (r == 0)
		r = load_layers(disks);
	if (r == 0 && images_directory_check(disks, error) < 0)
		return -ENOENT;
	if (r == 0)
		r = load_disks(disks);
	if (r == 0)
		load_blanks(disks);
	if (r < 0)
		return report(error, r, "the state directory '%s' cannot be read: %s", disks->options->state,
			      error_text(r));
	entries_visit(disks, disks->outputs_fd, note_unfinished);
	if (disks->incomplete)
		log_debug("disk", "start: something could not be read, so that nothing is removed");
	else
		leftovers_remove(disks);
	io_replace(disks->state_fd, BOOT_RECORD, disks->boot, strlen(disks->boot), false);
	return 0;
}
