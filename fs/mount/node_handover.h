/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a node is written down for the next daemon (handover.h); tree_restore.c reads it.
 */
#ifndef REVERTFS_MOUNT_NODE_HANDOVER_H
#define REVERTFS_MOUNT_NODE_HANDOVER_H

#include "node.h"

/*
 * A slot with everything but the number, which node.c publishes; NULL when there is no room. `fd`
 * is its file, or -1.
 */
struct handover_node *node_handover_note(struct handover *handover, const struct node *node, int fd);

/* What changes while it lives; nothing where it is not written down. Under the table's lock. */
void node_handover_lookups(struct node *node);
void node_handover_seen(struct node *node, const struct node *parent, const char *name);
void node_handover_label(struct node *node, uid_t uid, gid_t gid, mode_t mode);

#endif
