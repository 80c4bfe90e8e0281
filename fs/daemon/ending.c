/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIGUSR1 asks for another daemon in this one's place. SIGTERM and SIGINT are orders to unmount,
 * with one exception: where systemd keeps our descriptors, it is process 1 that stops the
 * service. A SIGTERM of anybody else (`pkill revertfs`) is then no reason to take the disks from
 * the guests, and systemd starts the next daemon. A sender outside this pid namespace, as a
 * container's manager, has the number 0; it stands above process 1, and its SIGTERM is an order
 * too.
 */
#include "ending.h"

#include <signal.h>
#include <string.h>

#include "fdstore.h"
#include "lock.h"
#include "log.h"
#include "model.h"
#include "notify.h"
#include "table.h"

#define MANAGER 1

/* A daemon that took a mount over knows that the store keeps it. */
static bool is_kept_by_systemd(struct handover *handover)
{
	return notify_is_systemds() && (handover_mount(handover)->restarts || fdstore_keeps(handover_fd(handover)));
}

static bool asks_for_successor(const struct signalfd_siginfo *info, struct handover *handover)
{
	if (info->ssi_signo == SIGUSR1)
		return notify_is_heard();
	return info->ssi_signo == SIGTERM && info->ssi_pid > MANAGER && is_kept_by_systemd(handover);
}

bool ending_leaves_mount(const struct signalfd_siginfo *info, struct handover *handover)
{
	bool left = asks_for_successor(info, handover) && notify("STATUS=The mount is left to the next daemon.") == 0;
	const char *consequence = "";

	if (left && info->ssi_signo == SIGTERM)
		consequence =
			"; the mount is left to the next daemon, which systemd starts. To unmount, stop the service with systemctl";
	else if (left)
		consequence = "; the mount is left to the next daemon";
	else if (info->ssi_signo == SIGUSR1)
		consequence = "; nobody would start another daemon, so the mount goes";
	log_info("ending: process %u (uid %u) sent %s%s", info->ssi_pid, info->ssi_uid,
		 sigdescr_np((int)info->ssi_signo), consequence);
	return left;
}

/* False when nobody has the disk open. `session` is a copy whose `source` is not to be used. */
static bool look_at_openers(const struct disk *disk, struct session_record *session)
{
	bool is_open = false;

	LOCKED (&disk->disks->lock) {
		is_open = disk_is_kept_open_locked(disk);
		if (disk->session)
			*session = *disk->session;
	}
	return is_open;
}

static void warn(const struct disk *disk)
{
	struct session_record session = { 0 };

	if (!look_at_openers(disk, &session))
		return;
	if (session.uuid[0])
		log_warning(
			"the mount goes while domain '%s' has its disk '%s' (%s) open: its guest gets errors. End it, and start it again when the mount is back; shut domains down before a stop",
			session.domain, disk->name, session.target);
	else
		log_warning("the mount goes while disk '%s' is open: whoever has it open gets errors", disk->name);
}

void ending_warn(struct disks *disks)
{
	for (struct disk *disk = disks_step(disks, NULL); disk; disk = disks_step(disks, disk))
		warn(disk);
}
