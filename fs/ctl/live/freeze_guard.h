/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that is frozen and paused for a moment, and goes on afterwards whatever becomes of
 * revertctl.
 *
 * All that is done to the guest is done by a child process, the guard, which no terminal and no
 * signal to revertctl reaches. When revertctl says so, or is gone, or the time is over, the guard
 * resumes and thaws the guest, and tries again until that has worked. Should the guard be killed,
 * revertctl does the same.
 */
#ifndef REVERTFS_CTL_LIVE_FREEZE_GUARD_H
#define REVERTFS_CTL_LIVE_FREEZE_GUARD_H

#include <sys/types.h>

#include "virsh.h"

enum quiesce { QUIESCE_NO, QUIESCE_TRY, QUIESCE_REQUIRE };

struct freeze_guard_plan {
	const struct virsh *virsh;
	const char *domain; /* the UUID of a running domain */
	enum quiesce quiesce;
	/*
	 * The guest goes on so long after the freeze began, at the latest (after the pause began,
	 * without a freeze).
	 */
	unsigned timeout_s;
};

struct freeze_guard {
	struct freeze_guard_plan plan;
	pid_t pid;
	int fd; /* to the guard; -1: there is none, or it has ended */
	bool quiesced;
	bool was_frozen;         /* by somebody else, and stays so */
	struct sentence why_not; /* why the guest is not quiesced, though that was asked for */
	uint64_t deadline;       /* of monotonic_ms(): the guest then goes on */
};

/*
 * How long the guest stood still at most: from before the request to freeze or pause it until the
 * answer to the request that ended it.
 */
struct freeze_guard_times {
	double paused_ms, frozen_ms;
};

/*
 * Freeze and pause the guest; waits for that. A guest that is frozen counts as quiesced, and is not
 * thawed by freeze_guard_end(), which asks whether it still is frozen. Fails when the guest cannot
 * be paused, and with QUIESCE_REQUIRE when it cannot be frozen. The guest then goes on, or the
 * sentence says that it does not yet. The guard has no descriptor and no lock of revertctl's.
 */
int freeze_guard_begin(const struct freeze_guard_plan *plan, struct freeze_guard *ret_guard, struct sentence *error);

/*
 * Resume and thaw the guest. -ETIME when it went on earlier, because its time was over or somebody
 * else had thawed it: what was done in between was not done to a guest that stood still. With other
 * errors the guest may still stand still; the sentence says what happens next.
 */
int freeze_guard_end(struct freeze_guard *guard, struct freeze_guard_times *ret_times, struct sentence *error);

/* For CLEANUP(): resume and thaw the guest where freeze_guard_end() was not called. */
void freeze_guard_endp(struct freeze_guard *guard);

#endif
