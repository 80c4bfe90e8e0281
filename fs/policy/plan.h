/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hook's policy: from what happened and what is configured it makes the command for each mount,
 * or the sentence that refuses.
 *
 * Pure: nothing is read, opened or asked here, so that every case can be tested as a line in a
 * table.
 */
#ifndef REVERTFS_POLICY_PLAN_H
#define REVERTFS_POLICY_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "domain.h"
#include "event.h"
#include "mounts.h"
#include "util.h"

/* All that a plan is made of; borrowed. */
struct situation {
	const struct event *event;
	const struct domain *domain; /* volumes are resolved, symbolic links followed */
	const struct config *config; /* NULL where there is none, or (at release) no valid one */
	const struct mounts *mounts;
};

/* One command for one mount. */
struct request {
	const struct mount *mount; /* borrowed from the situation */
	char *line;
	bool ours;  /* the domain has a configured disk there, as far as the XML says */
	bool armed; /* ... and one that is to be committed */
};

struct plan {
	struct request *requests;
	size_t count;
};

/*
 * Make a plan; -EINVAL (or -E2BIG, -ENOMEM) with the one sentence that keeps the domain from
 * starting. plan_prepare() names all of the domain's disks in a mount in one command;
 * plan_announce() tells the same mounts that a saved state will be restored.
 */
int plan_prepare(const struct situation *situation, struct plan **ret_plan, struct sentence *refusal);
int plan_announce(const struct situation *situation, struct plan **ret_plan, struct sentence *refusal);

/*
 * 0, or -EINVAL with the sentence, where the XML says that a disk is an external snapshot of one in
 * a mount. plan_prepare() refuses it, too.
 */
int plan_refuse_snapshot(const struct situation *situation, const struct domain_disk *disk, struct sentence *refusal);

/* For every mount, since each daemon knows by itself which disks it recorded for this domain. */
int plan_release(const struct situation *situation, struct plan **ret_plan, struct sentence *refusal);

/*
 * A release with the reason "failed" for each request of `prepared` that `done` is true for (one
 * bool for each): it takes back what these mounts have prepared, because another one has refused.
 */
int plan_undo(const struct situation *situation, const struct plan *prepared, const bool *done, struct plan **ret_plan,
	      struct sentence *refusal);

void plan_free(struct plan *plan); /* NULL is fine */
void plan_freep(struct plan **plan);

#endif
