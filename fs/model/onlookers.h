/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Onlookers: whoever has a view or a disk's scratch open for reading, and is neither a guest nor a
 * job. A fold waits for them, but not for ever: when its patience is over, they are cut. What they
 * have open is answered ESTALE from then on, and the fold begins when their last read that is in
 * flight has ended.
 *
 * Who is a guest is decided when the name is looked up, for an onlooker gets an inode of his own,
 * which the kernel never reads without the daemon. Of a scratch, whoever may write it: he could
 * hold folds off as a writer. Of a view, root and whoever may write the scratch of a disk that
 * stands on it, while such a disk is in a session or open for writing; and whom root gave the view
 * to (view_label()), as libvirt does before it has a QEMU open the files of a chain.
 *
 * The clock of a fold starts when onlookers alone keep it from running, or make it stop. It stands
 * still while guests, jobs or verbs keep the fold from running; onlookers who go and come again do
 * not set it back. Nor does it stand still while the fold runs: each onlooker who comes makes a
 * fold begin anew, so who comes for a moment, again and again, would keep it from ending. So once
 * it is over, none may come before a long fold has ended.
 *
 * Functions ending in _locked want disks->lock held; the others must not have it. None waits.
 */
#ifndef REVERTFS_MODEL_ONLOOKERS_H
#define REVERTFS_MODEL_ONLOOKERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct disks;
struct layer;
struct requester;
struct scratch;
struct view;

/* Those of one layer's view or of one scratch; zeroed when it is new. */
struct onlookers {
	unsigned open;         /* descriptors, without those that were cut */
	unsigned busy;         /* reads in flight, of those that were cut too */
	uint64_t cuts;         /* how often all were cut */
	uint64_t closed_until; /* monotonic ms: no more may come, so that the fold finds its moment */
};

/* One descriptor of theirs. */
struct onlooker {
	struct disks *disks;
	struct onlookers *among; /* NULL: it is a guest's, and never cut */
	uint64_t cuts;           /* of `among`, when it was opened */
	uint64_t seen;           /* what folds change of the file, as it was then: for the next daemon; 0: not known */
};

/* Of the fold of one layer; zeroed when it is new. */
struct patience {
	uint64_t waited_ms; /* before `since` */
	uint64_t since;     /* monotonic ms; 0: the clock stands still */
	unsigned cut;       /* descriptors that were cut and not yet told of in the log */
};

/* Whether somebody who looks up the name is an onlooker. */
bool is_onlooker_of_view(const struct view *view, const struct requester *who);
bool is_onlooker_of_scratch(const struct scratch *scratch, const struct requester *who);

/*
 * Around each read: 0, or -ESTALE when the descriptor was cut. After 0, onlooker_end() is to
 * follow; until then no fold touches the file. For a guest's descriptor both do nothing.
 */
int onlooker_begin(const struct onlooker *onlooker);
void onlooker_end(const struct onlooker *onlooker);

void onlooker_cut(struct onlooker *onlooker); /* this one alone */

/* ---- for the model */

/* Count a descriptor. -ESTALE while none may come. */
int onlookers_enter_locked(struct disks *disks, struct onlookers *among, struct onlooker *ret_onlooker);
void onlookers_leave_locked(const struct onlooker *onlooker);

/* The same for a descriptor of an earlier daemon. */
void onlookers_restore_locked(struct disks *disks, struct onlookers *among, struct onlooker *ret_onlooker);

/* Whether they keep a fold of the file from running. */
bool onlookers_obstruct(const struct onlookers *among);

/*
 * Cut all; none may come for the next seconds, or until they are admitted. Returns how many had it
 * open.
 */
unsigned onlookers_cut_locked(struct onlookers *among);
void onlookers_admit_locked(struct onlookers *among);

/* ---- the clock of a layer's fold */

void patience_run_locked(struct layer *folded);
void patience_pause_locked(struct layer *folded);
void patience_renew_locked(struct layer *folded);             /* a fold has failed for another reason than onlookers */
uint64_t patience_left_ms_locked(const struct layer *folded); /* 0: it is over */

#endif
