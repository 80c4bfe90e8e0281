/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A name that a SIGKILL catches half-written leads nowhere or to another inode, which tree_restore.c sees.
 */
#include "node_handover.h"

#include <stdio.h>
#include <string.h>

static void copy_name(struct kept_node *kept, const char *name)
{
	snprintf(kept->name, sizeof(kept->name), "%s", name);
}

struct kept_node *node_handover_note(struct handover *handover, const struct node *node, int fd)
{
	struct kept_node *kept = handover_take(handover, KEPT_NODE);
	bool is_image;

	if (!kept)
		return NULL;
	kept->kind = node->kind;
	kept->fixed = node->fixed;
	kept->serial = node->serial;
	kept->device = node->device;
	kept->inode = node->inode;
	if (fd >= 0)
		kept_file_note(fd, &kept->file);
	switch (node->kind) {
	case NODE_SCRATCH:
		copy_name(kept, disk_name(node->disk));
		break;
	case NODE_VIEW:
		copy_name(kept, view_name(node->view, &is_image));
		kept->is_image = is_image;
		break;
	case NODE_VIEWS:
		copy_name(kept, node->path);
		break;
	case NODE_FILE:
	case NODE_FIXED:
		break;
	}
	return kept;
}

void node_handover_lookups(struct node *node)
{
	if (node->kept)
		node->kept->lookups = node->lookups;
}

void node_handover_seen(struct node *node, const struct node *parent, const char *name)
{
	struct kept_node *kept = node->kept;

	if (!kept)
		return;
	kept->was_protected = node->was_protected;
	if (kept->parent == parent->id && strcmp(kept->name, name) == 0)
		return;
	kept->parent = parent->id;
	copy_name(kept, name);
}

void node_handover_label(struct node *node, uid_t uid, gid_t gid, mode_t mode)
{
	struct kept_node *kept = node->kept;

	if (!kept)
		return;
	kept->label_uid = uid;
	kept->label_gid = gid;
	kept->label_mode = mode;
	kept->labelled = true;
}
