/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * adopt --from-renaming-hook: an image that a renaming hook has put aside gets its name back, and
 * what its overlay has is thrown away or kept. The overlay itself stays, under another name.
 */
#ifndef REVERTFS_CTL_DOMAIN_RENAMING_HOOK_H
#define REVERTFS_CTL_DOMAIN_RENAMING_HOOK_H

#include "conversion.h"

/* The row of this option in adopt's table. */
#define RENAMING_HOOK_OPTION                                                                                           \
	{                                                                                                              \
		"from-renaming-hook", "[=discard|keep]",                                                               \
			"undo what a hook that renames images has left:\ndiscard (or keep) what its overlay has", NULL \
	}

/* -EINVAL with a sentence for another word than discard and keep. */
int renaming_hook_parse(const struct arguments *arguments, enum renaming_hook *ret_choice, struct sentence *error);

/*
 * What such a hook has left of the conversion's disks, but of those that are disks already. -EBUSY
 * where one is written, -EINVAL where it has not been said what is to become of it, with a sentence
 * that has both commands. Changes nothing.
 */
int renaming_hook_look(struct conversion *conversion, struct sentence *error);

/* Whether the image is called NAME.backing_file as yet. */
bool renaming_hook_has_aside(const struct conversion_disk *disk);

/* The steps of a transaction. */
int renaming_hook_restore(void *subject, struct sentence *error);
int renaming_hook_put_back(void *subject, struct sentence *error);

/*
 * What the image is to be protected as: as the definition has it, or, since an overlay is qcow2
 * whatever the image is, as the overlay's header has it. NULL: as the image looks.
 */
const char *renaming_hook_format(const struct conversion *conversion, const struct conversion_disk *disk);

/* What is to be done, for --dry-run; what was done. */
void renaming_hook_show(const struct conversion *conversion);
void renaming_hook_print(const struct conversion *conversion);

#endif
