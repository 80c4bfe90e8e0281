/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names are overwritten in place. After a SIGKILL a name may be half-written: it then leads
 * nowhere, or to another inode, and tree_restore.c checks for both.
 */
#include "node_handover.h"

#include <stdio.h>
#include <string.h>

static void copy_name(struct handover_node *noted, const char *name)
{
	snprintf(noted->name, sizeof(noted->name), "%s", name);
}

struct handover_node *node_handover_note(struct handover *handover, const struct node *node, int fd)
{
	struct handover_node *noted = handover_take(handover, HANDOVER_NODE);
	bool is_image;

	if (!noted)
		return NULL;
	noted->kind = node->kind;
	noted->fixed = node->kind == NODE_FIXED ? (uint32_t)node->fixed : node->for_onlookers;
	noted->owner = node->owner;
	noted->serial = node->serial;
	noted->device = node->device;
	noted->inode = node->inode;
	if (fd >= 0)
		handover_file_note(fd, &noted->file);
	switch (node->kind) {
	case NODE_SCRATCH:
		copy_name(noted, disk_name(node->disk));
		break;
	case NODE_VIEW:
		copy_name(noted, view_name(node->view, &is_image));
		noted->is_image = is_image;
		noted->parent = view_contents(node->view);
		break;
	case NODE_IMAGES_DIRECTORY:
		copy_name(noted, node->path);
		break;
	case NODE_FILE:
	case NODE_FIXED:
		break;
	}
	return noted;
}

void node_handover_lookups(struct node *node)
{
	if (node->noted)
		node->noted->lookups = node->lookups;
}

void node_handover_owner(struct node *node)
{
	if (node->noted)
		node->noted->owner = node->owner;
}

void node_handover_seen(struct node *node, const struct node *parent, const char *name)
{
	struct handover_node *noted = node->noted;

	if (!noted)
		return;
	noted->was_protected = node->was_protected;
	if (noted->parent == parent->id && strcmp(noted->name, name) == 0)
		return;
	noted->parent = parent->id;
	copy_name(noted, name);
}

void node_handover_label(struct node *node, uid_t uid, gid_t gid, mode_t mode)
{
	struct handover_node *noted = node->noted;

	if (!noted)
		return;
	noted->label_uid = uid;
	noted->label_gid = gid;
	noted->label_mode = mode;
	noted->labelled = true;
}
