/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slots that an earlier daemon left, with bytes changed: it may have been ended at any
 * instruction, and have had any bug.
 *
 * An input is a list of changes to the slots of a daemon that had all kinds of files open:
 *
 *	kind index offset offset length byte...
 *
 * each number a byte, but for the offset in the slot, which is two, little end first. Kind
 * HANDOVER_KINDS is the header. So an input is good for any machine: device and inode numbers are
 * not in it.
 */
#include "corpus.h"
#include "world.h"

#include <sys/mman.h>

#include "fdstore.h"
#include "node.h"
#include "tree.h"

CORPUS(handover, "handover", any_slots_are_refused_or_restored)

#define SLOTS 32 /* of each kind that an input can change */

static const size_t sizes[HANDOVER_KINDS + 1] = {
	[HANDOVER_NODE] = sizeof(struct handover_node),
	[HANDOVER_HANDLE] = sizeof(struct handover_handle),
	[HANDOVER_REQUEST] = sizeof(struct handover_request),
	[HANDOVER_ANSWER] = sizeof(struct handover_answer),
	[HANDOVER_ANNOUNCEMENT] = sizeof(struct handover_announcement),
	[HANDOVER_KINDS] = sizeof(struct handover_header),
};

/* What the earlier daemon left. */
static struct {
	struct handover *handover;
	struct disk *disk;               /* a reference */
	struct tree *tree;               /* with all that is open */
	off_t first[HANDOVER_KINDS + 1]; /* where the slots of a kind begin in the memory */
	uint64_t nodes[SLOTS], handles[SLOTS];
	size_t node_count, handle_count;
} left;

/* ---- the earlier daemon */

static struct disk *protect(const char *name, int pattern)
{
	struct sentence why;
	struct disk *disk;

	make_raw(name, pattern);
	check_int(disk_protect(world->disks, name, "raw", &why), 0);
	disk = disks_find(world->disks, name);
	check(disk);
	return disk;
}

static uint64_t look_up(struct tree *tree, uint64_t parent, const char *name)
{
	struct entry entry;

	check_int(tree_look_up(tree, parent, name, &(struct requester){ .uid = 0 }, &entry, NULL), 0);
	check(left.node_count < SLOTS);
	return left.nodes[left.node_count++] = entry.id;
}

static uint64_t look_up_and_open(struct tree *tree, uint64_t parent, const char *name, int flags)
{
	uint64_t id = look_up(tree, parent, name);
	struct opening opening;
	struct requester root = { .pid = getpid() };
	struct replay none = { 0 };

	if (flags & O_DIRECTORY)
		check_int(tree_open_directory(tree, &none, id, &root, &opening), 0);
	else
		check_int(tree_open(tree, &none, id, flags, &root, &opening), 0);
	check(left.handle_count < SLOTS);
	left.handles[left.handle_count++] = opening.handle;
	return id;
}

static void open_everything(struct tree *tree)
{
	uint64_t directory = look_up_and_open(tree, NODE_ROOT, "d", O_DIRECTORY), below, admin, images;

	below = look_up(tree, directory, "e");
	look_up_and_open(tree, below, "plain", O_RDWR);
	look_up_and_open(tree, NODE_ROOT, "a.raw", O_RDWR);
	admin = look_up_and_open(tree, NODE_ROOT, ".revertfs", O_DIRECTORY);
	look_up_and_open(tree, admin, "control", O_RDWR);
	look_up_and_open(tree, admin, "status.json", O_RDONLY);
	look_up_and_open(tree, look_up(tree, admin, "layers"), left.disk->head->record.id, O_RDONLY);
	images = look_up(tree, admin, "images");
	look_up_and_open(tree, images, "a.raw", O_RDONLY);
	look_up_and_open(tree, look_up(tree, images, "d"), "b.raw", O_RDONLY);
}

static void note_more(struct handover *handover)
{
	struct handover_answer *answer = handover_take(handover, HANDOVER_ANSWER);
	struct handover_request *request = handover_take(handover, HANDOVER_REQUEST);
	struct handover_announcement *announcement = handover_take(handover, HANDOVER_ANNOUNCEMENT);

	check(answer && request && announcement);
	strcpy(answer->text, "{\"ok\":true}");
	answer->length = 11;
	answer->start = 20;
	handover_publish(&answer->handle, left.handles[4]); /* the control file's */
	handover_publish(&request->unique, 7);
	announcement->when = 1;
	strcpy(announcement->uuid, UUID1);
	handover_publish(&announcement->when, monotonic_ms());
}

static void note_first(void *context, void *slot)
{
	off_t *first = context, offset = (char *)slot - (char *)handover_mount(left.handover);

	if (!*first || offset < *first)
		*first = offset;
}

static void live(void)
{
	struct commit_result result = { .layer = "" };
	struct sentence why;

	world_make();
	world_open();
	mkdir(in_world("images/d"), 0755);
	mkdir(in_world("images/d/e"), 0755);
	check_int(shell("echo plain >'%s'", in_world("images/d/e/plain")), 0);
	left.disk = protect("a.raw", 1);
	guest_write("a.raw", 0, 1, 3);
	check_int(disk_commit(world->disks, "a.raw", NULL, &result, &why), 0);
	disk_put(protect("d/b.raw", 2));
	check_int(tree_new(&world->options, world->images_fd, world->disks, world->handover, &left.tree), 0);
	open_everything(left.tree);
	note_more(world->handover);
	left.handover = world->handover;
	for (int kind = 0; kind < HANDOVER_KINDS; kind++)
		handover_visit(world->handover, (enum handover_kind)kind, note_first, &left.first[kind]);
}

/* ---- the next daemon */

static void copy_memory(int from, int to)
{
	static char buffer[65536];
	off_t end = lseek(from, 0, SEEK_END);

	check(end > 0 && ftruncate(to, end) == 0);
	for (off_t data = 0; (data = lseek(from, data, SEEK_DATA)) >= 0;) {
		ssize_t n = pread(from, buffer, sizeof(buffer), data);

		check(n > 0 && pwrite(to, buffer, (size_t)n, data) == n);
		data += n;
	}
}

static void change_memory(int fd, const unsigned char *p, size_t size)
{
	while (size > 5) {
		size_t kind = p[0] % (HANDOVER_KINDS + 1), index = kind == HANDOVER_KINDS ? 0 : p[1] % SLOTS;
		size_t offset = (size_t)(p[2] | p[3] << 8) % sizes[kind], length = p[4];

		p += 5;
		size -= 5;
		length = length < size ? length : size;
		length = length < sizes[kind] - offset ? length : sizes[kind] - offset;
		check(pwrite(fd, p, length, left.first[kind] + (off_t)(index * sizes[kind] + offset)) ==
		      (ssize_t)length);
		p += length;
		size -= length;
	}
}

static bool visit_entry(void *context, const char *name, uint64_t inode, mode_t type, off_t next)
{
	return *name != '\0';
}

/* What was open is asked for, and all of it closed. */
static void use(struct tree *tree)
{
	for (size_t i = 0; i < left.node_count; i++) {
		struct entry entry;
		struct stat st;

		tree_attributes(tree, left.nodes[i], &st);
		tree_look_up(tree, left.nodes[i], "plain", &(struct requester){ .uid = 0 }, &entry, NULL);
	}
	for (size_t i = 0; i < left.handle_count; i++) {
		struct piece piece;

		if (tree_read(tree, left.handles[i], 4096, 20, &piece) == 0)
			tree_read_done(tree, &piece);
		tree_read_directory(tree, left.handles[i], 0, visit_entry, NULL);
		tree_flush(tree, left.handles[i]);
		tree_close(tree, left.handles[i]);
	}
	for (size_t i = 0; i < left.node_count; i++)
		tree_forget(tree, left.nodes[i], 1);
}

static void restore(struct handover *handover)
{
	static struct fdstore store;
	int kernel = open("/dev/null", O_RDWR | O_CLOEXEC); /* it knows every node */
	struct tree *tree = NULL;

	check(kernel >= 0);
	check_int(tree_new(&world->options, world->images_fd, world->disks, handover, &tree), 0);
	tree_connect(tree, kernel, false);
	tree_restore(tree, &store);
	use(tree);
	tree_free(tree);
	close(kernel);
}

static void feed_handover(const void *data, size_t size)
{
	struct sentence why = { "" };
	struct handover *handover = NULL;
	int fd = memfd_create("fuzzed", MFD_CLOEXEC), r;

	if (!world)
		live();
	check(fd >= 0);
	copy_memory(handover_fd(left.handover), fd);
	change_memory(fd, data, size);
	r = handover_adopt(fd, &handover, &why);
	if (r == 0)
		restore(handover);
	else
		check(!handover && *why.text);
	handover_free(handover);
	check_int(left.disk->scratch->writers, 1); /* the earlier daemon's */
	check_int(left.disk->scratch->readers, 0);
}
