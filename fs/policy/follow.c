/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "follow.h"

void follow_links(struct domain_disk *disk, const struct mounts *mounts)
{
	mounts_follow(mounts, &disk->path);
	for (size_t i = 0; i < disk->chain_length; i++)
		mounts_follow(mounts, &disk->chain[i]);
}
