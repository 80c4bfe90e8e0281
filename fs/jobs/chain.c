/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A chain that is counted as read stays as it is from its top to its root: a fold moves a layer
 * only while neither it nor its parent has a reader, and what stands above the top is nobody's
 * business here.
 */
#include "chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layer.h"
#include "claim.h"

void chain_close(struct chain *chain)
{
	for (size_t i = 0; i < chain->length; i++)
		close_fdp(&chain->nodes[i].fd);
	free(chain->nodes);
	*chain = (struct chain){ 0 };
}

int chain_open(struct layer *layer, size_t writable, struct chain *chain, struct sentence *error)
{
	size_t depth;

	pthread_mutex_lock(&layer->disks->lock);
	depth = layer_depth_locked(layer);
	pthread_mutex_unlock(&layer->disks->lock);
	chain->nodes = calloc(depth, sizeof(*chain->nodes));
	if (!chain->nodes)
		return report(error, -ENOMEM, "out of memory");
	for (; layer; layer = layer->parent) {
		int fd = layer_open_file(layer, chain->length < writable ? O_RDWR : O_RDONLY);

		if (fd < 0)
			return report(error, fd, "the file of layer %s cannot be opened: %s", layer->record.id,
				      error_text(fd));
		chain->nodes[chain->length++] =
			(struct qemu_node){ .fd = fd, .format = format_name(layer->record.format) };
	}
	return 0;
}

static void count_locked(struct layer *layer, bool begin)
{
	for (; layer; layer = layer->parent)
		layer->pins += begin ? 1U : -1U;
}

int chain_begin_reading(struct layer *layer)
{
	struct disks *disks = layer->disks;
	int r;

	pthread_mutex_lock(&disks->lock);
	/*
	 * Counted before the fold is gone, so that it does not begin again in between. What it
	 * folds away on the way takes its count along.
	 */
	count_locked(layer, true);
	while (!layer->removed && fold_owns_chain_locked(layer)) {
		fold_ask_to_stop_locked(layer);
		pthread_cond_wait(&disks->changed, &disks->lock);
	}
	r = layer->removed ? -ESTALE : layer_is_torn_locked(layer) ? -EBUSY : 0;
	if (r < 0)
		count_locked(layer, false);
	pthread_cond_broadcast(&disks->changed);
	pthread_mutex_unlock(&disks->lock);
	return r;
}

void chain_end_reading(struct layer *layer)
{
	pthread_mutex_lock(&layer->disks->lock);
	count_locked(layer, false);
	pthread_cond_broadcast(&layer->disks->changed);
	pthread_mutex_unlock(&layer->disks->lock);
}

uint64_t chain_bytes(const struct chain *chain)
{
	uint64_t bytes = 0;
	struct stat stat;

	for (size_t i = 0; i < chain->length; i++)
		if (fstat(chain->nodes[i].fd, &stat) == 0)
			bytes += (uint64_t)stat.st_blocks * 512;
	return bytes;
}
