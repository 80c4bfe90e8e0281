/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An upgrade keeps the mount only where the next version finds the slots where this one wrote them.
 * Whoever changes a number here raises LAYOUT in handover.c: then the next daemon mounts anew.
 */
#include "handover.h"

#include <unistd.h>

#include "test.h"

TEST(slots_lie_where_layout_1_has_them)
{
	check_int(sizeof(struct handover_node), 408);
	check_int(offsetof(struct handover_node, kind), 48);
	check_int(offsetof(struct handover_node, label_mode), 72);
	check_int(offsetof(struct handover_node, file), 76);
	check_int(offsetof(struct handover_node, name), 148);
	check_int(sizeof(struct handover_handle), 32);
	check_int(offsetof(struct handover_handle, flags), 28);
	check_int(sizeof(struct handover_request), 88);
	check_int(offsetof(struct handover_request, line), 44);
	check_int(offsetof(struct handover_request, announced), 50);
	check_int(offsetof(struct handover_request, head), 52);
	check_int(sizeof(struct handover_answer), 8024);
	check_int(offsetof(struct handover_answer, text), 20);
	check_int(sizeof(struct handover_announcement), 48);
	check_int(offsetof(struct handover_announcement, uuid), 8);
}

TEST(the_header_lies_where_layout_1_has_it)
{
	check_int(sizeof(struct handover_header), 12464);
	check_int(offsetof(struct handover_header, layout), 8);
	check_int(offsetof(struct handover_header, restarts), 12);
	check_int(offsetof(struct handover_header, used), 28);
	check_int(offsetof(struct handover_header, handshake), 56);
	check_int(offsetof(struct handover_header, state), 8368);
}

static void count_nodes(void *context, void *slot)
{
	const struct handover_node *node = slot;
	unsigned *count = context;

	check_str(node->name, "web1.qcow2");
	(*count)++;
}

TEST(the_next_daemon_finds_what_was_published_and_nothing_else)
{
	struct handover *first = NULL, *next = NULL;
	struct handover_node *published, *unpublished;
	struct sentence error = { "" };
	unsigned count = 0;

	check_int(handover_new(&first), 0);
	published = handover_take(first, HANDOVER_NODE);
	unpublished = handover_take(first, HANDOVER_NODE);
	check(published && unpublished);
	strcpy(published->name, "web1.qcow2");
	strcpy(unpublished->name, "half written");
	handover_publish(&published->id, 7);
	check_int(handover_adopt(dup(handover_fd(first)), &next, &error), 0);
	check_int(handover_mount(next)->restarts, 1);
	handover_visit(next, HANDOVER_NODE, count_nodes, &count);
	check_int(count, 1);
	handover_free(first);
	handover_free(next);
}

TEST(another_layout_is_refused_with_a_sentence)
{
	struct handover *first = NULL, *next = NULL;
	struct sentence error = { "" };

	check_int(handover_new(&first), 0);
	handover_mount(first)->layout++;
	check_int(handover_adopt(dup(handover_fd(first)), &next, &error), -EPROTO);
	check(strstr(error.text, "another version"));
	handover_free(first);
}
