/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot of all protected disks of a domain, at one instant, whether the domain runs or not.
 */
#ifndef REVERTFS_CTL_LIVE_LIVE_SNAPSHOT_H
#define REVERTFS_CTL_LIVE_LIVE_SNAPSHOT_H

#include "served_domain.h"
#include "freeze_guard.h"

#define LIVE_TIMEOUT_S 30 /* how long a guest stands still at most, unless --freeze-timeout says otherwise */

struct live_plan {
	const char *domain, *snapshot;
	const char *note; /* or NULL */
	enum quiesce quiesce;
	unsigned timeout_s;
};

struct live_result {
	struct served_domain domain;
	struct json_object **answers; /* of the daemons, one for each disk; NULL: none was asked */
	bool was_paused;              /* by revertctl, for `times` */
	bool was_frozen;              /* by somebody else, and still is */
	struct freeze_guard_times times;
	const char *consistency; /* the weakest label of the disks */
	struct sentence warning; /* why the guest is not quiesced, though that was asked for; or empty */
};

/*
 * Make snapshots of all disks of result->domain, which served_domain_find() has found, or of none.
 * A guest that does not go on afterwards is an error, too, though the snapshots are then made.
 * live_result_clear() the result in any case.
 */
int live_snapshot(const struct virsh *virsh, const struct live_plan *plan, struct live_result *result,
		  struct sentence *error);
void live_result_clear(struct live_result *result); /* for CLEANUP() */

/* Delete the snapshots that were made; errors are logged as warnings. */
void live_forget(const struct live_result *result, const char *snapshot);

#endif
