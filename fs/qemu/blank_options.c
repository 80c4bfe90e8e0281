/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Subclusters are what scratches profit from most: a guest's small write copies nothing from the
 * image, and takes a fifteenth of the space that it takes in a default overlay. But a QEMU before
 * 8.2 dies of an assertion when it copies a cluster on read of which only the first subclusters are
 * there ("block/io: align requests to subcluster_size" mended that): of copy_on_read='on' in a
 * domain's XML, of `virsh blockpull`, of `qemu-io -C`. No option of the reader avoids that, and a
 * guest that is killed by a block job is worse than one that writes more slowly. So there scratches
 * have whole clusters.
 *
 * Those are of 16 KiB. Measured with QEMU 7.2, over a raw image on ext4, against subclusters: 4 KiB
 * scattered writes take 1.8 to 2.5 times as long and four times the space; with QEMU's own 64 KiB
 * it is 3 to 4 times and 15 times, with 4 KiB 3.5 times and 1.4 times, since each new table costs
 * more than the copying that it saves. Sequential writes, and a flush after each, are as fast as
 * with subclusters. And QEMU's cache of tables still reaches over a disk of 64 GiB.
 *
 * What a head has is kept, whatever is chosen later: blanks of both kinds are the same to all but
 * qemu-img, and a newer QEMU takes effect with the next head. But where the QEMU is known to be an
 * old one, heads that have subclusters lose them at a start at which their scratches are fresh
 * (daemon/load_blanks.c).
 */
#include "blank_options.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "qemu_img.h"

#define MENDED_MAJOR 8
#define MENDED_MINOR 2

void blank_options_choose(struct options *options)
{
	unsigned major = 0, minor = 0;
	struct sentence why;
	bool mended;
	int r;

	if (options->template_options)
		return;
	r = qemu_img_version(options, &major, &minor, &why);
	mended = r == 0 && (major > MENDED_MAJOR || (major == MENDED_MAJOR && minor >= MENDED_MINOR));
	options->renew_blanks = r == 0 && !mended;
	/* Where no version is to be had, a slower disk is the smaller mistake. */
	if (r < 0)
		log_warning("%s; scratches are made as for an old QEMU, unless template= says otherwise", why.text);
	options->template_options = strdup(mended ? BLANK_WITH_SUBCLUSTERS : BLANK_WITHOUT_SUBCLUSTERS);
	log_debug("disk", "start: scratches are made with '%s'",
		  options->template_options ? options->template_options : "");
}
