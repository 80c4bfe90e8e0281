/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An upgrade keeps the mount only where the next version finds the slots where this one wrote them.
 * Whoever changes a number here raises HANDOVER_LAYOUT, as layout.h says.
 */
#include "handover.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "layout.h"
#include "test.h"

TEST(slots_lie_where_layout_2_has_them)
{
	check_int(HANDOVER_LAYOUT, 2);
	check_int(sizeof(struct handover_node), 408);
	check_int(offsetof(struct handover_node, kind), 48);
	check_int(offsetof(struct handover_node, label_mode), 72);
	check_int(offsetof(struct handover_node, owner), 76);
	check_int(offsetof(struct handover_node, file), 80);
	check_int(offsetof(struct handover_node, name), 152);
	check_int(sizeof(struct handover_handle), 184);
	check_int(offsetof(struct handover_handle, flags), 28);
	check_int(offsetof(struct handover_handle, uid), 32);
	check_int(offsetof(struct handover_handle, groups), 44);
	check_int(offsetof(struct handover_handle, vouched), 176);
	check_int(sizeof(struct handover_request), 88);
	check_int(offsetof(struct handover_request, line), 44);
	check_int(offsetof(struct handover_request, unused), 50);
	check_int(offsetof(struct handover_request, head), 52);
	check_int(sizeof(struct handover_answer), 8024);
	check_int(offsetof(struct handover_answer, text), 20);
	check_int(sizeof(struct handover_decision), 7864);
	check_int(offsetof(struct handover_decision, disks), 24);
	check_int(sizeof(struct handover_decided), 224);
	check_int(offsetof(struct handover_decided, outcome), 18);
	check_int(offsetof(struct handover_decided, target), 24);
	check_int(offsetof(struct handover_decided, name), 88);
	check_int(sizeof(struct handover_announcement), 48);
	check_int(offsetof(struct handover_announcement, uuid), 8);
	check_int(sizeof(struct handover_fault), 24);
}

TEST(the_header_lies_where_layout_2_has_it)
{
	check_int(offsetof(struct handover_header, layout), 8);
	check_int(offsetof(struct handover_header, restarts), 12);
	check_int(offsetof(struct handover_header, used), 28);
	check_int(offsetof(struct handover_header, handshake), 56);
	check_int(offsetof(struct handover_header, state), 8368);
	check_int(offsetof(struct handover_header, converted), 12464);
	check_int(offsetof(struct handover_header, faults), 12472);
	check_int(sizeof(struct handover_header), 14008);
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
	handover_mount(first)->layout = HANDOVER_LAYOUT + 1;
	check_int(handover_adopt(dup(handover_fd(first)), &next, &error), -EPROTO);
	check(strstr(error.text, "another version"));
	handover_free(first);
}

/* ---- layout 1 as commit fc8d36e has it; in numbers, which no change of the sources can touch */

struct old {
	int fd;
	char *memory;
};

#define OLD_NODES 65536
#define OLD_HANDLES (OLD_NODES + ((408UL << 20) + 65535) / 65536 * 65536)
#define OLD_REQUESTS (OLD_HANDLES + (32UL << 17))
#define OLD_ANSWERS (OLD_REQUESTS + (88UL << 10) / 65536 * 65536 + 65536)
#define OLD_ANNOUNCEMENTS (OLD_ANSWERS + ((8024UL << 8) + 65535) / 65536 * 65536)
#define OLD_LENGTH (OLD_ANNOUNCEMENTS + 65536)

static void put32(struct old *old, size_t offset, uint32_t value)
{
	memcpy(old->memory + offset, &value, sizeof(value));
}

static void put64(struct old *old, size_t offset, uint64_t value)
{
	memcpy(old->memory + offset, &value, sizeof(value));
}

static struct old layout_1_memory(void)
{
	struct old old = { .fd = memfd_create("old", MFD_CLOEXEC) };

	check_int(ftruncate(old.fd, OLD_LENGTH), 0);
	old.memory = mmap(NULL, OLD_LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, old.fd, 0);
	check(old.memory != MAP_FAILED);
	memcpy(old.memory, "revertfs", 8);
	put32(&old, 8, 1);       /* layout */
	put32(&old, 12, 4);      /* restarts */
	put64(&old, 16, 77);     /* id */
	put32(&old, 24, 9);      /* last_backing_id */
	put32(&old, 28, 3);      /* used: nodes */
	put32(&old, 32, 1);      /* ... handles */
	put32(&old, 36, 1);      /* ... requests */
	put32(&old, 40, 1);      /* ... answers */
	put32(&old, 44, 1);      /* ... announcements */
	put64(&old, 48, 55);     /* device */
	put64(&old, 56, 0x1234); /* handshake.granted */
	strcpy(old.memory + 176, "/images");
	strcpy(old.memory + 176 + 4096, "/mnt");
	strcpy(old.memory + 176 + 8192, "/state");
	return old;
}

static void old_free(struct old *old)
{
	munmap(old->memory, OLD_LENGTH);
	close(old->fd);
}

/* Two nodes, with a slot between them that is not valid. */
static void fill_layout_1(struct old *old)
{
	put64(old, OLD_NODES, 7);
	put64(old, OLD_NODES + 8, 3);     /* lookups */
	put32(old, OLD_NODES + 52, 2);    /* fixed */
	put32(old, OLD_NODES + 56, 8);    /* backing_id */
	put32(old, OLD_NODES + 72, 0640); /* label_mode */
	put32(old, OLD_NODES + 76, 64);   /* file.length */
	old->memory[OLD_NODES + 84 + 63] = 42;
	strcpy(old->memory + OLD_NODES + 148, "web1.qcow2");
	strcpy(old->memory + OLD_NODES + 408 + 148, "half written");
	put64(old, OLD_NODES + 2 * 408, 9);
	strcpy(old->memory + OLD_NODES + 2 * 408 + 148, "web1.qcow2");
	put64(old, OLD_HANDLES, 11);
	put64(old, OLD_HANDLES + 16, 7);  /* node */
	put32(old, OLD_HANDLES + 28, 02); /* flags */
	put64(old, OLD_REQUESTS, 13);
	strcpy(old->memory + OLD_REQUESTS + 52, "a head");
	put64(old, OLD_ANSWERS, 11);
	put32(old, OLD_ANSWERS + 16, 3); /* length */
	memcpy(old->memory + OLD_ANSWERS + 20, "{}\n", 3);
	put64(old, OLD_ANNOUNCEMENTS, 17);
	strcpy(old->memory + OLD_ANNOUNCEMENTS + 8, "a uuid");
}

TEST(layout_1_lies_where_commit_fc8d36e_has_it)
{
	static const struct {
		enum handover_kind kind;
		size_t size, most, offset;
	} kinds[] = {
		{ HANDOVER_NODE, 408, 1 << 20, OLD_NODES },
		{ HANDOVER_HANDLE, 32, 1 << 17, OLD_HANDLES },
		{ HANDOVER_REQUEST, 88, 1 << 10, OLD_REQUESTS },
		{ HANDOVER_ANSWER, 8024, 1 << 8, OLD_ANSWERS },
		{ HANDOVER_ANNOUNCEMENT, 48, 1 << 8, OLD_ANNOUNCEMENTS },
	};

	check_str(layout_1.name, "handover");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		check_int(layout_1.kinds[kinds[i].kind].size, kinds[i].size);
		check_int(layout_1.kinds[kinds[i].kind].most, kinds[i].most);
		check_int(layout_offset(&layout_1, kinds[i].kind), kinds[i].offset);
	}
	check_int(layout_offset(&layout_1, HANDOVER_KINDS), OLD_LENGTH);
}

static void check_node(void *context, void *slot)
{
	const struct handover_node *node = slot;

	count_nodes(context, slot);
	check_int(node->owner, HANDOVER_UNKNOWN);
	if (node->id != 7)
		return;
	check_int(node->lookups, 3);
	check_int(node->fixed, 2);
	check_int(node->backing_id, 8);
	check_int(node->label_mode, 0640);
	check_int(node->file.length, 64);
	check_int(node->file.bytes[63], 42);
}

static void check_handle(void *context, void *slot)
{
	const struct handover_handle *handle = slot;

	check_int(handle->number, 11);
	check_int(handle->node, 7);
	check_int(handle->flags, 02);
	check_int(handle->uid, HANDOVER_UNKNOWN);
	check_int(handle->gid, HANDOVER_UNKNOWN);
	check_int(handle->group_count, 0);
	++*(unsigned *)context;
}

static void check_rest(void *context, void *slot)
{
	const struct handover_request *request = slot;
	const struct handover_answer *answer = slot;
	const struct handover_announcement *announcement = slot;

	++*(unsigned *)context;
	if (request->unique == 13)
		check_str(request->head, "a head");
	else if (answer->handle == 11)
		check(answer->length == 3 && memcmp(answer->text, "{}\n", 3) == 0);
	else
		check_str(announcement->uuid, "a uuid");
}

TEST(what_layout_1_holds_is_converted)
{
	struct old old = layout_1_memory();
	struct handover *handover = NULL;
	struct sentence error = { "" };
	unsigned nodes = 0, handles = 0, rest = 0;
	const struct handover_header *mount;

	fill_layout_1(&old);
	check_int(handover_adopt(layout_convert(dup(old.fd), &error), &handover, &error), 0);
	mount = handover_mount(handover);
	check_int(mount->layout, HANDOVER_LAYOUT);
	check_int(mount->restarts, 5);
	check_int(mount->converted, 5);
	check_int(mount->id, 77);
	check_int(mount->last_backing_id, 9);
	check_int(mount->device, 55);
	check_int(mount->handshake.granted, 0x1234);
	check_str(mount->images, "/images");
	check_str(mount->mount, "/mnt");
	check_str(mount->state, "/state");
	handover_visit(handover, HANDOVER_NODE, check_node, &nodes);
	handover_visit(handover, HANDOVER_HANDLE, check_handle, &handles);
	handover_visit(handover, HANDOVER_REQUEST, check_rest, &rest);
	handover_visit(handover, HANDOVER_ANSWER, check_rest, &rest);
	handover_visit(handover, HANDOVER_ANNOUNCEMENT, check_rest, &rest);
	check_int(nodes, 2);
	check_int(handles, 1);
	check_int(rest, 3);
	check_int(*(uint32_t *)(void *)(old.memory + 12), 4);
	handover_free(handover);
	old_free(&old);
}

TEST(a_damaged_layout_1_is_refused)
{
	struct old old = layout_1_memory();
	struct sentence error = { "" };

	put32(&old, 28, (1 << 20) + 1);
	check_int(layout_convert(dup(old.fd), &error), -EPROTO);
	check(strstr(error.text, "damaged"));
	put32(&old, 28, 1);
	check_int(ftruncate(old.fd, OLD_LENGTH - 65536), 0);
	check_int(layout_convert(dup(old.fd), &error), -EPROTO);
	put32(&old, 8, 0);
	check_int(layout_convert(dup(old.fd), &error), -EPROTO);
	check(strstr(error.text, "another version"));
	old_free(&old);
}

TEST(the_present_layout_is_not_converted)
{
	struct handover *first = NULL;
	struct sentence error = { "" };
	int fd;

	check_int(handover_new(&first), 0);
	fd = dup(handover_fd(first));
	check_int(layout_convert(fd, &error), fd);
	close(fd);
	handover_free(first);
}
