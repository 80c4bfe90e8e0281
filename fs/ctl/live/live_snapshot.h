/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot of all protected disks of a domain, at one instant, whether it runs or not.
 */
#ifndef REVERTFS_CTL_LIVE_LIVE_SNAPSHOT_H
#define REVERTFS_CTL_LIVE_LIVE_SNAPSHOT_H

#include "served_domain.h"
#include "freeze_guard.h"

#define LIVE_TIMEOUT_S 30 /* that a guest stands still at most, unless another is asked for */

struct live_plan {
	const char *domain, *snapshot;
	const char *note; /* or NULL */
	enum quiesce quiesce;
	unsigned timeout_s;
};

struct live_result {
	struct served_domain domain;
	struct json_object **answers; /* the daemon's, one for each disk */
	bool was_paused;              /* by us, for `times` */
	struct freeze_guard_times times;
	const char *consistency; /* the weakest of their labels */
	struct sentence warning; /* why it is not quiesced, though it was to be tried; empty: nothing to say */
};

/*
 * Of result->domain, which served_domain_find() has found: all of its disks, or none. A guest that
 * does not go on afterwards is an error, too, though the snapshots are then there. Clear the result
 * in any case.
 */
int live_snapshot(const struct virsh *virsh, const struct live_plan *plan, struct live_result *result,
		  struct sentence *error);
void live_result_clear(struct live_result *result); /* for CLEANUP() */

/* Delete the snapshots again; errors are warnings. */
void live_forget(const struct live_result *result, const char *snapshot);

#endif
