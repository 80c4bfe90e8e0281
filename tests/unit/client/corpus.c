/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's list of mounts, with whatever names people give them.
 */
#include "corpus.h"

#include "mounts.h"

CORPUS(mountinfo, "mountinfo", any_list_of_mounts_is_read)

static void feed_mountinfo(const void *data, size_t size)
{
	char *text = copy_of(data, size);
	struct mounts *mounts = NULL;

	check(mounts_parse(text, &mounts) == 0);
	mounts_of_path(mounts, "/srv/a b\\/x");
	mounts_of_image(mounts, "/im\n/x");
	for (const struct mount *m = mounts_next(mounts, NULL); m; m = mounts_next(mounts, m))
		check(m->revertfs && m->point && m->images);
	mounts_free(mounts);
	free(text);
}
