/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why is a pin on each layer enough to keep a chain as it is, from its top to its root? A fold
 * begins only while neither the layer nor its parent is pinned. What stands above the top does not
 * matter to who reads the chain.
 */
#include "chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "claim.h"
#include "layer.h"
#include "lock.h"
#include "log.h"

void chain_close(struct chain *chain)
{
	for (size_t i = 0; i < chain->length; i++)
		close_fdp(&chain->nodes[i].fd);
	free(chain->nodes);
	*chain = (struct chain){ 0 };
}

int chain_open(struct layer *layer, size_t writable, struct chain *chain, struct sentence *error)
{
	size_t depth = 0;

	LOCKED (&layer->disks->lock)
		depth = layer_depth_locked(layer);
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

static void pin_all_locked(struct layer *layer)
{
	for (; layer; layer = layer->parent)
		layer->pins++;
}

static void unpin_all_locked(struct layer *layer)
{
	for (; layer; layer = layer->parent)
		layer->pins--;
}

static int begin_reading_locked(struct layer *layer)
{
	struct disks *disks = layer->disks;
	int r;

	/*
	 * Pinned before the fold has stopped, so that the fold does not begin again in between. A
	 * layer of the chain that the fold removes before it stops takes its pin along.
	 */
	pin_all_locked(layer);
	while (!layer->removed && fold_owns_chain_locked(layer)) {
		fold_ask_to_stop_locked(layer);
		pthread_cond_wait(&disks->changed, &disks->lock);
	}
	r = layer->removed ? -ESTALE : layer_is_torn_locked(layer) ? -EBUSY : 0;
	if (r < 0)
		unpin_all_locked(layer);
	pthread_cond_broadcast(&disks->changed);
	return r;
}

int chain_begin_reading(struct layer *layer)
{
	int r = 0;

	LOCKED (&layer->disks->lock)
		r = begin_reading_locked(layer);
	if (r == 0)
		log_debug("job", "layer %s: its chain is pinned", layer->record.id);
	return r;
}

void chain_end_reading(struct layer *layer)
{
	log_debug("job", "layer %s: its chain is unpinned", layer->record.id);
	LOCKED (&layer->disks->lock) {
		unpin_all_locked(layer);
		pthread_cond_broadcast(&layer->disks->changed);
	}
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
