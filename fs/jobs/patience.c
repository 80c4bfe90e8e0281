/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fold that may run now begins under the same lock, so that no onlooker comes in between. Where
 * reads are in flight it may not yet: it is asked again when the last of them has ended, and until
 * then no onlooker may come.
 */
#include "patience.h"

#include "foldable.h"
#include "layer.h"

static unsigned cut_or_admit_locked(struct onlookers *onlookers, bool cut)
{
	if (cut)
		return onlookers_cut_locked(onlookers);
	onlookers_admit_locked(onlookers);
	return 0;
}

/* All that a fold would disturb. Returns how many descriptors were cut. */
static unsigned cut_or_admit_all_locked(struct layer *folded, bool cut)
{
	struct disks *disks = folded->disks;
	unsigned count = 0;

	for (struct layer *layer = disks->layers; layer; layer = layer->next)
		if (fold_changes_locked(folded, layer))
			count += cut_or_admit_locked(&layer->onlookers, cut);
	for (struct disk *disk = disks->first; disk; disk = disk->next_disk)
		if (fold_moves_locked(folded, disk) && disk->scratch)
			count += cut_or_admit_locked(&disk->scratch->onlookers, cut);
	return count;
}

/* A fold that runs refuses onlookers by itself, where its patience is over. */
static bool may_run_locked(struct layer *layer)
{
	bool may = fold_may_run_locked(layer, NULL);

	if (may)
		cut_or_admit_all_locked(layer, false);
	return may;
}

bool fold_may_begin_locked(struct layer *layer)
{
	if (may_run_locked(layer))
		return true;
	if (!fold_waits_for_onlookers_locked(layer)) {
		patience_pause_locked(layer);
		return false;
	}
	patience_run_locked(layer);
	if (patience_left_ms_locked(layer))
		return false;
	layer->patience.cut += cut_or_admit_all_locked(layer, true);
	return may_run_locked(layer);
}
