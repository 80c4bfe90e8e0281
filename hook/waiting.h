/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What earlier sessions left in a domain's disks, and how it is kept: for the sentence that refuses
 * a start.
 */
#ifndef REVERTFS_HOOK_WAITING_H
#define REVERTFS_HOOK_WAITING_H

#include "domain.h"
#include "mounts.h"
#include "util.h"

/*
 * Add to the sentence what waits in the domain's disks, as their daemons say. Nothing is added
 * where they do not answer within seconds.
 */
void waiting_add(const struct domain *domain, const struct mounts *mounts, struct sentence *sentence);

#endif
