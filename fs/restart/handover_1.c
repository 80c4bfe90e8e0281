/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layout 1 of the handover, and how it becomes layout 2. It did not note who had looked a file up
 * or opened it, and no faults.
 */
#include <string.h>

#include "layout.h"

struct node_1 {
	uint64_t id, lookups, serial, device, inode, parent;
	uint32_t kind, fixed;
	int32_t backing_id;
	uint8_t was_protected, is_image, labelled, restoring;
	uint32_t label_uid, label_gid, label_mode;
	struct {
		uint32_t length;
		int32_t type;
		unsigned char bytes[64];
	} file;
	char name[256];
};

struct handle_1 {
	uint64_t number, opened_by, node;
	uint32_t kind;
	int32_t flags;
};

struct request_1 {
	uint64_t unique, device, inode, other_device, other_inode;
	uint32_t restarts, line;
	uint8_t is_disk, has_snapshot, announced, unused;
	char head[36];
};

struct answer_1 {
	uint64_t handle;
	int64_t start;
	uint32_t length;
	char text[8000];
};

struct announcement_1 {
	uint64_t when;
	char uuid[40];
};

struct header_1 {
	char magic[8];
	uint32_t layout, restarts;
	uint64_t id;
	uint32_t last_backing_id, used[5];
	uint64_t device;
	char handshake[120];
	char images[4096], mount[4096], state[4096];
};

/* What layout 2 has as layout 1 had it. */
_Static_assert(sizeof(struct request_1) == sizeof(struct handover_request), "requests have changed");
_Static_assert(sizeof(struct answer_1) == sizeof(struct handover_answer), "answers have changed");
_Static_assert(sizeof(struct announcement_1) == sizeof(struct handover_announcement), "announcements have changed");
_Static_assert(sizeof(((struct header_1 *)NULL)->handshake) == sizeof(struct handshake), "the handshake has changed");

static void convert_node(const void *slot, void *ret_slot)
{
	const struct node_1 *old = slot;
	struct handover_node *node = ret_slot;

	*node = (struct handover_node){
		.id = old->id,
		.lookups = old->lookups,
		.serial = old->serial,
		.device = old->device,
		.inode = old->inode,
		.parent = old->parent,
		.kind = old->kind,
		.fixed = old->fixed,
		.backing_id = old->backing_id,
		.was_protected = old->was_protected,
		.is_image = old->is_image,
		.labelled = old->labelled,
		.label_uid = old->label_uid,
		.label_gid = old->label_gid,
		.label_mode = old->label_mode,
		.owner = HANDOVER_UNKNOWN,
		.file = { .length = old->file.length, .type = old->file.type },
	};
	memcpy(node->file.bytes, old->file.bytes, sizeof(old->file.bytes));
	memcpy(node->name, old->name, sizeof(old->name));
}

static void convert_handle(const void *slot, void *ret_slot)
{
	const struct handle_1 *old = slot;
	struct handover_handle *handle = ret_slot;

	*handle = (struct handover_handle){
		.number = old->number,
		.opened_by = old->opened_by,
		.node = old->node,
		.kind = old->kind,
		.flags = old->flags,
		.uid = HANDOVER_UNKNOWN,
		.gid = HANDOVER_UNKNOWN,
	};
}

static void convert_request(const void *slot, void *ret_slot)
{
	memcpy(ret_slot, slot, sizeof(struct request_1));
}

static void convert_answer(const void *slot, void *ret_slot)
{
	memcpy(ret_slot, slot, sizeof(struct answer_1));
}

static void convert_announcement(const void *slot, void *ret_slot)
{
	memcpy(ret_slot, slot, sizeof(struct announcement_1));
}

static void convert_header(const void *header, void *ret_header)
{
	const struct header_1 *old = header;
	struct handover_header *new = ret_header;

	new->restarts = old->restarts;
	new->id = old->id;
	new->last_backing_id = old->last_backing_id;
	new->device = old->device;
	memcpy(&new->handshake, old->handshake, sizeof(old->handshake));
	memcpy(new->images, old->images, sizeof(old->images));
	memcpy(new->mount, old->mount, sizeof(old->mount));
	memcpy(new->state, old->state, sizeof(old->state));
	new->converted = old->restarts + 1;
}

const struct layout layout_1 = {
	.name = "handover",
	.kinds = {
		[HANDOVER_NODE] = { sizeof(struct node_1), 1U << 20, convert_node },
		[HANDOVER_HANDLE] = { sizeof(struct handle_1), 1U << 17, convert_handle },
		[HANDOVER_REQUEST] = { sizeof(struct request_1), 1U << 10, convert_request },
		[HANDOVER_ANSWER] = { sizeof(struct answer_1), 1U << 8, convert_answer },
		[HANDOVER_ANNOUNCEMENT] = { sizeof(struct announcement_1), 1U << 8, convert_announcement },
	},
	.convert_header = convert_header,
};
