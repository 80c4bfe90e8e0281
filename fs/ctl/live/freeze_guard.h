/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that is frozen and paused for a moment, and goes on afterwards whatever becomes of us.
 *
 * All that is done to the guest is done by a process of its own, the guard, which no terminal and
 * no signal to revertctl reaches. When revertctl says so, or is gone, or its time is over, the
 * guard resumes and thaws the guest, and tries that again until it has worked. Should the guard be
 * killed, revertctl does the same.
 */
#ifndef REVERTFS_CTL_LIVE_FREEZE_GUARD_H
#define REVERTFS_CTL_LIVE_FREEZE_GUARD_H

#include <sys/types.h>

#include "virsh.h"

enum quiesce { QUIESCE_NO, QUIESCE_TRY, QUIESCE_REQUIRE };

struct freeze_guard_plan {
	const struct virsh *virsh;
	const char *domain; /* a running one's UUID */
	enum quiesce quiesce;
	/*
	 * The guest goes on at the latest so long after the freeze began (or the pause, without a
	 * freeze).
	 */
	unsigned timeout_s;
};

struct freeze_guard {
	struct freeze_guard_plan plan;
	pid_t pid;
	int fd; /* to the guard; -1: none, or all is over */
	bool quiesced;
	struct sentence why_not; /* quiesced, though it was asked for */
	uint64_t deadline;       /* of monotonic_ms(): the guest goes on then */
};

/*
 * How long the guest stood still at most: from before it was asked for until the end was answered.
 */
struct freeze_guard_times {
	double paused_ms, frozen_ms;
};

/*
 * Freeze and pause the guest. Fails when it cannot be paused, and with QUIESCE_REQUIRE when it
 * cannot be frozen; it then goes on, or the sentence says that it does not yet. Nothing that
 * revertctl has locked or open is with the guard.
 */
int freeze_guard_begin(const struct freeze_guard_plan *plan, struct freeze_guard *ret_guard, struct sentence *error);

/*
 * Let the guest go on. -ETIME when it had gone on before, because its time was over or somebody
 * else had thawed it: what was done in between was not done of a guest that stood still. Other
 * errors: it may still stand still; the sentence says what happens next.
 */
int freeze_guard_end(struct freeze_guard *guard, struct freeze_guard_times *ret_times, struct sentence *error);

/* For CLEANUP(): let it go on where freeze_guard_end() was not called. */
void freeze_guard_endp(struct freeze_guard *guard);

#endif
