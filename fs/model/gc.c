/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pin keeps folds from beginning over a layer that is being removed. A layer that a running fold
 * owns is left to that fold's end (layer->given_up): the fold would write the record again that is
 * removed here.
 */
#include "gc.h"

#include "claim.h"
#include "layer.h"
#include "lock.h"
#include "log.h"

/*
 * A fold that was stopped halfway does not count as a need: its parent has a meaning only through
 * the layer, so both go.
 */
static bool is_needed_locked(const struct layer *layer)
{
	if (layer->children || layer->chosen || layer->record.name_count || layer->record.image ||
	    layer->disks->incomplete)
		return true;
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (disk->head == layer || disk->hold == layer)
			return true;
	return false;
}

enum decision { GC_KEEP, GC_LATER, GC_REMOVE };

/* GC_REMOVE: the layer is pinned, and *ret_parent is its parent, a reference, or NULL. */
static enum decision decide_locked(struct layer *layer, struct layer **ret_parent)
{
	if (layer->removed || is_needed_locked(layer))
		return GC_KEEP;
	layer->given_up = fold_owns_layer_locked(layer);
	if (layer->given_up)
		return GC_LATER;
	layer->pins++;
	*ret_parent = layer->parent ? layer_get_locked(layer->parent) : NULL;
	return GC_REMOVE;
}

/* Remove a layer that is pinned for that, and drop the pin. */
static int remove_pinned(struct layer *layer)
{
	int r;

	log_debug("disk", "layer %s: nothing needs it", layer->record.id);
	r = layer_remove(layer);
	if (r < 0)
		log_warning("layer %s is no longer needed but cannot be removed: %s; the next start tries again",
			    layer->record.id, error_text(r));
	LOCKED (&layer->disks->lock) {
		layer->pins--;
		pthread_cond_broadcast(&layer->disks->changed);
	}
	return r;
}

/*
 * Remove the layer where nothing needs it; its reference is consumed. The parent, with a reference,
 * where that is to be looked at next, else NULL.
 */
static struct layer *collect(struct layer *layer)
{
	enum decision decision = GC_KEEP;
	struct layer *parent = NULL;

	LOCKED (&layer->disks->lock)
		decision = decide_locked(layer, &parent);
	if (decision == GC_LATER)
		log_debug("disk", "layer %s: nothing needs it but a fold; to be removed when that ends",
			  layer->record.id);
	if (decision == GC_REMOVE && remove_pinned(layer) < 0) {
		layer_put(parent);
		parent = NULL;
	}
	layer_put(layer);
	return parent;
}

void gc_layer(struct layer *layer)
{
	LOCKED (&layer->disks->lock)
		layer_get_locked(layer);
	while (layer)
		layer = collect(layer);
}

/* A reference to a layer that was left to a fold which has ended, or NULL. */
static struct layer *take_given_up_locked(struct disks *disks)
{
	struct layer *layer = disks->layers;

	while (layer && (!layer->given_up || fold_owns_layer_locked(layer)))
		layer = layer->next;
	if (!layer)
		return NULL;
	layer->given_up = false;
	return layer_get_locked(layer);
}

struct layer *gc_given_up(struct disks *disks)
{
	struct layer *layer = NULL, *root = NULL;

	LOCKED (&disks->lock) {
		layer = take_given_up_locked(disks);
		root = layer ? layer_get_locked(layer_root_locked(layer)) : NULL;
	}
	if (layer)
		gc_layer(layer);
	layer_put(layer);
	return root;
}
