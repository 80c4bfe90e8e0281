/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the table of nodes share; no other includes this.
 */
#ifndef REVERTFS_MOUNT_NODE_INTERNAL_H
#define REVERTFS_MOUNT_NODE_INTERNAL_H

#include <pthread.h>

#include "node.h"

struct node_table {
	pthread_mutex_t lock;
	struct node **by_id, **by_key; /* `size` chains each, a power of two */
	size_t size, count;
	uint64_t next_id;
	struct node *root;
	struct handover *handover;
	struct shares shares;
	pthread_cond_t freed;        /* CLOCK_MONOTONIC; a node that is counted has gone */
	struct node *doubtful;       /* a reference on each */
	void (*wake)(void *context); /* NULL: nobody listens */
	void *context;
};

/* Have the kernel asked whether it still has an inherited node. The caller wakes the notifier. */
void node_doubt_locked(struct node_table *table, struct node *node);

/* node_owner.c: have the owner pay for a new node. 0 or -ENFILE. */
int node_pay_locked(struct node_table *table, struct node *node);

/*
 * Have a user pay for a node that he has looked up, where its owner has nearly as much as he may;
 * root pays for nobody else. 0 or -ENFILE.
 */
int node_take_over_locked(struct node_table *table, struct node *node, uid_t owner);

/* Under the lock, so that who no longer listens is not called. */
void node_wake_locked(struct node_table *table);

#endif
