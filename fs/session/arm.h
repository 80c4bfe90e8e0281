/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions that are to be kept after all: somebody has said so while they run.
 */
#ifndef REVERTFS_SESSION_ARM_H
#define REVERTFS_SESSION_ARM_H

#include "domain_request.h"

/*
 * What the items say of the running session of the domain, disk by disk: that it is armed, or is
 * not any more. On return what its guest had written and flushed has been synced, and a crash of
 * the host loses neither that nor what it flushes from then on. A domain without a session gets
 * an empty result. Of disks that the domain has no session on, but of whose last session nobody
 * could read whether it was armed, it says that the next one is meant. Waits for the medium. An
 * errno with the first sentence; *ret_result then has the disks of which it is true.
 */
int session_arm(struct disks *disks, const struct session_request *request, struct session_result *ret_result,
		struct sentence *error);

/*
 * Look at what nobody tells: whether a running domain's file was edited. Called every few seconds;
 * waits for the medium where one was.
 */
void sessions_watch(struct disks *disks);

#endif
