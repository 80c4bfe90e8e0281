/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who removes a layer keeps folds from beginning over it (layer->pins); what a fold is at work on
 * is left to that fold's end (layer->given_up), for it would write the record again that is removed
 * here.
 */
#include "gc.h"

#include "layer.h"
#include "log.h"
#include "claim.h"

/*
 * A fold that was stopped halfway needs neither layer: nothing but the upper one gave the lower one
 * a meaning.
 */
static bool is_needed_locked(const struct layer *layer)
{
	if (layer->children || layer->record.name_count || layer->record.image || layer->disks->incomplete)
		return true;
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (disk->head == layer || disk->hold == layer)
			return true;
	return false;
}

void gc_layer(struct layer *layer)
{
	struct disks *disks = layer->disks;

	pthread_mutex_lock(&disks->lock);
	layer_get_locked(layer);
	while (layer && !layer->removed && !is_needed_locked(layer)) {
		struct layer *parent = layer->parent ? layer_get_locked(layer->parent) : NULL;
		int r;

		/* It would write the record again that we remove. */
		layer->given_up = fold_owns_layer_locked(layer);
		if (layer->given_up) {
			layer_put_locked(parent);
			break;
		}
		layer->pins++; /* no fold over it begins */
		pthread_mutex_unlock(&disks->lock);
		r = layer_remove(layer);
		if (r < 0)
			log_warning("layer %s is no longer needed but cannot be removed; the next start tries again",
				    layer->record.id);
		pthread_mutex_lock(&disks->lock);
		layer->pins--;
		layer_put_locked(layer);
		layer = parent;
		if (r < 0)
			break;
	}
	layer_put_locked(layer);
	pthread_cond_broadcast(&disks->changed);
	pthread_mutex_unlock(&disks->lock);
}

void gc_given_up(struct disks *disks)
{
	struct layer *layer;

	pthread_mutex_lock(&disks->lock);
	for (;;) {
		for (layer = disks->layers; layer; layer = layer->next)
			if (layer->given_up && !fold_owns_layer_locked(layer))
				break;
		if (!layer)
			break;
		layer->given_up = false;
		layer_get_locked(layer);
		pthread_mutex_unlock(&disks->lock);
		gc_layer(layer);
		pthread_mutex_lock(&disks->lock);
		layer_put_locked(layer);
	}
	pthread_mutex_unlock(&disks->lock);
}
