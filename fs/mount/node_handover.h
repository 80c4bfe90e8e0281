/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes are written down for the next daemon (handover.h), where tree_restore.c reads them.
 */
#ifndef REVERTFS_MOUNT_NODE_HANDOVER_H
#define REVERTFS_MOUNT_NODE_HANDOVER_H

#include "node.h"

/*
 * Take a slot and fill it with all but the number, which node.c publishes. NULL when there is no
 * room. `fd` is the node's file, or -1.
 */
struct handover_node *node_handover_note(struct handover *handover, const struct node *node, int fd);

/*
 * Write down what has changed. They do nothing for a node that has no slot. The first three want
 * the table's lock held.
 */
void node_handover_lookups(struct node *node);
void node_handover_owner(struct node *node);
void node_handover_seen(struct node *node, const struct node *parent, const char *name);
void node_handover_label(struct node *node, uid_t uid, gid_t gid, mode_t mode);

#endif
