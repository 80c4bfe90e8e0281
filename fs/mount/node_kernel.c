/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel still has. Two kinds of nodes stay for no reason but that: inherited ones whose
 * forgetting was not heard, and those that are in its cache alone, which it forgets only when
 * memory runs short. Of the first it is asked, of the second it is told to let go.
 *
 * Neither is done here, since a message to the kernel may wait for an inode that is just being
 * released and is written back before, by requests that want an answer. The notifier's thread
 * fetches here what it is to ask.
 */
#include <stddef.h>
#include <stdlib.h>

#include "lock.h"
#include "log.h"
#include "node_handover.h"
#include "node_internal.h"
#include "util.h"

#define LOOKED_AT_MAX 4096 /* nodes, under the table's lock */

void node_wake_locked(struct node_table *table)
{
	if (table->wake)
		table->wake(table->context);
}

void node_table_connect(struct node_table *table, void (*wake)(void *context), void *context)
{
	LOCKED (&table->lock) {
		table->wake = wake;
		table->context = context;
	}
}

void node_doubt_locked(struct node_table *table, struct node *node)
{
	if (node->doubtful)
		return;
	node->doubtful = true;
	node->references++;
	node->next_doubtful = table->doubtful;
	table->doubtful = node;
}

struct node *node_next_doubtful(struct node_table *table, uint64_t *ret_lookups)
{
	struct node *node = NULL;

	LOCKED (&table->lock) {
		node = table->doubtful;
		if (node) {
			table->doubtful = node->next_doubtful;
			node->doubtful = false;
			*ret_lookups = node->lookups;
		}
	}
	return node;
}

void node_correct(struct node_table *table, struct node *node, uint64_t lookups, bool known)
{
	if (!known) {
		log_debug("fuse", "node %llu: the kernel has forgotten it unheard", (unsigned long long)node->id);
		LOCKED (&table->lock) {
			/*
			 * Another count means that the node was looked up again since the kernel
			 * was asked; or before, by a request whose answer it has not got yet.
			 */
			if (node->lookups == lookups && !node->told) {
				node->lookups = 0;
				node_handover_lookups(node);
			}
		}
	}
	node_put(table, node);
}

/*
 * Nodes that are open, or the parents of others, have references and are not looked at. A parent is
 * doubted when its last child has gone: node_put().
 */
void node_doubt_inherited(struct node_table *table)
{
	LOCKED (&table->lock) {
		for (size_t i = 0; i < table->size; i++)
			for (struct node *node = table->by_id[i]; node; node = node->next_by_id)
				if (node->inherited && !node->references)
					node_doubt_locked(table, node);
		node_wake_locked(table);
	}
}

static struct node *node_of_stake(struct stake *stake)
{
	return (struct node *)(void *)((char *)stake - offsetof(struct node, stake));
}

/* The share that the round is at, or comes to next; NULL when there is none. */
static const struct share *share_of_round_locked(const struct node_table *table, struct idle_round *round)
{
	uint64_t owner = 0;
	const struct share *share = shares_next_near(&table->shares, round->from, &owner);

	if (share && (!round->left || owner != round->from)) {
		round->from = owner;
		round->left = share_count(share);
		round->found_some = true;
	}
	return share;
}

size_t node_idle(struct node_table *table, struct idle_round *round, uint64_t *ids, size_t room)
{
	size_t count = 0, looked_at = 0;

	LOCKED (&table->lock) {
		const struct share *share = share_of_round_locked(table, round);

		round->over = !share;
		while (share && count < room && looked_at < LOOKED_AT_MAX && round->left) {
			struct node *node = node_of_stake(share_oldest(share));

			shares_use(&node->stake);
			looked_at++;
			round->left--;
			if (!node->references && node->lookups)
				ids[count++] = node->id;
		}
		if (share && !round->left)
			round->from++;
	}
	return count;
}
