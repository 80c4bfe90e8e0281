/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memfd is sparse and as long as all slots together. Before a slot is used for the first time,
 * its memory is allocated with fallocate(2): a lack of memory is an error there, and never a SIGBUS
 * at some later store. The lists of free slots lie in the process; the next daemon makes them again
 * from the slots.
 *
 * One mutex guards those lists and the count of used slots. The content of a slot is its taker's.
 */
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"
#include "lock.h"
#include "log.h"

static const char *const names[HANDOVER_KINDS] = {
	[HANDOVER_NODE] = "files that the kernel knows",
	[HANDOVER_HANDLE] = "open files",
	[HANDOVER_REQUEST] = "requests",
	[HANDOVER_ANSWER] = "answers",
	[HANDOVER_ANNOUNCEMENT] = "announced restores",
};

static const struct layout_kind *const kinds = layout_present.kinds;

/* The slots of one kind. */
struct pool {
	size_t offset; /* in the memfd */
	uint32_t *free;
	uint32_t free_count, free_room;
	size_t backed;   /* how many bytes from `offset` on have memory */
	bool complained; /* the administrator was told that there are too many */
};

struct handover {
	int fd;
	char *memory;
	size_t length;
	pthread_mutex_t lock; /* guards the pools; `used` of the header is raised under it */
	struct pool pools[HANDOVER_KINDS];
};

int handover_fd(const struct handover *handover)
{
	return handover->fd;
}

struct handover_header *handover_mount(struct handover *handover)
{
	return (struct handover_header *)(void *)handover->memory;
}

uint64_t handover_first_number(struct handover *handover)
{
	return ((uint64_t)handover_mount(handover)->restarts << 32) + 1;
}

static char *slot_at(struct handover *handover, enum handover_kind kind, uint32_t index)
{
	return handover->memory + handover->pools[kind].offset + kinds[kind].size * index;
}

static uint64_t *first_of(void *slot)
{
	return slot;
}

void handover_publish(uint64_t *first, uint64_t value)
{
	__atomic_store_n(first, value, __ATOMIC_RELEASE);
}

/* Others may publish it at this moment. */
static bool is_published(void *slot)
{
	return __atomic_load_n(first_of(slot), __ATOMIC_ACQUIRE) != 0;
}

/* ---- taking and giving */

static bool note_free_locked(struct pool *pool, uint32_t index)
{
	if (pool->free_count == pool->free_room) {
		uint32_t room = pool->free_room ? pool->free_room * 2 : 64;
		uint32_t *larger = reallocarray(pool->free, room, sizeof(*larger));

		if (!larger)
			return false;
		pool->free = larger;
		pool->free_room = room;
	}
	pool->free[pool->free_count++] = index;
	return true;
}

static int back_locked(struct handover *handover, struct pool *pool, size_t length)
{
	while (pool->backed < length) {
		if (fallocate(handover->fd, 0, (off_t)(pool->offset + pool->backed), LAYOUT_PIECE) < 0)
			return -errno;
		pool->backed += LAYOUT_PIECE;
	}
	return 0;
}

static void *take_locked(struct handover *handover, enum handover_kind kind)
{
	struct pool *pool = &handover->pools[kind];
	uint32_t *used = &handover_mount(handover)->used[kind];

	if (pool->free_count)
		return slot_at(handover, kind, pool->free[--pool->free_count]);
	if (*used == kinds[kind].most || back_locked(handover, pool, kinds[kind].size * (*used + 1)) < 0) {
		if (!pool->complained)
			log_warning("too many %s: further ones do not survive a restart of the daemon", names[kind]);
		pool->complained = true;
		return NULL;
	}
	return slot_at(handover, kind, (*used)++);
}

void *handover_take(struct handover *handover, enum handover_kind kind)
{
	char *slot = NULL;

	LOCKED (&handover->lock)
		slot = take_locked(handover, kind);
	if (slot)
		memset(slot, 0, kinds[kind].size);
	return slot;
}

void handover_give(struct handover *handover, enum handover_kind kind, void *slot)
{
	struct pool *pool = &handover->pools[kind];

	if (!slot)
		return;
	handover_publish(first_of(slot), 0);
	/*
	 * Without memory for the list, this daemon cannot use the slot again; the next one finds it
	 * free.
	 */
	LOCKED (&handover->lock)
		note_free_locked(pool,
				 (uint32_t)((size_t)((char *)slot - slot_at(handover, kind, 0)) / kinds[kind].size));
}

void handover_visit(struct handover *handover, enum handover_kind kind, void (*visit)(void *context, void *slot),
		    void *context)
{
	uint32_t used = 0;

	LOCKED (&handover->lock)
		used = handover_mount(handover)->used[kind];
	for (uint32_t i = 0; i < used; i++) {
		char *slot = slot_at(handover, kind, i);

		if (is_published(slot))
			visit(context, slot);
	}
}

struct search {
	uint64_t device, inode, node;
	bool found;
};

static void compare_node(void *context, void *slot)
{
	struct search *search = context;
	const struct handover_node *noted = slot;

	if (noted->device == search->device && noted->inode == search->inode)
		search->node = noted->id;
}

static void compare_handle(void *context, void *slot)
{
	struct search *search = context;
	const struct handover_handle *noted = slot;

	search->found |= noted->node == search->node;
}

bool handover_has_open(struct handover *handover, dev_t device, ino_t inode)
{
	struct search search = { .device = device, .inode = inode };

	handover_visit(handover, HANDOVER_NODE, compare_node, &search);
	if (search.node)
		handover_visit(handover, HANDOVER_HANDLE, compare_handle, &search);
	return search.found;
}

/* ---- beginning and end */

static int map(struct handover *handover)
{
	void *memory = mmap(NULL, handover->length, PROT_READ | PROT_WRITE, MAP_SHARED, handover->fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	handover->memory = memory;
	for (size_t i = 0; i < HANDOVER_KINDS; i++)
		handover->pools[i].offset = layout_offset(&layout_present, i);
	return 0;
}

static struct handover *allocate(int fd)
{
	struct handover *handover = calloc(1, sizeof(*handover));

	if (!handover) {
		close(fd);
		return NULL;
	}
	handover->fd = fd;
	handover->length = layout_offset(&layout_present, HANDOVER_KINDS);
	pthread_mutex_init(&handover->lock, NULL);
	return handover;
}

int handover_new(struct handover **ret_handover)
{
	int fd = layout_make_memfd(&layout_present), r;
	struct handover *handover = fd < 0 ? NULL : allocate(fd);

	if (!handover)
		return fd < 0 ? fd : -ENOMEM;
	r = map(handover);
	if (r < 0) {
		handover_free(handover);
		return r;
	}
	memcpy(handover_mount(handover)->magic, LAYOUT_MAGIC, sizeof(handover_mount(handover)->magic));
	handover_mount(handover)->layout = HANDOVER_LAYOUT;
	if (getrandom(&handover_mount(handover)->id, sizeof(handover_mount(handover)->id), 0) < 0)
		handover_mount(handover)->id = (uint64_t)getpid() << 32 | monotonic_ms();
	/* Records hold it as a JSON number, which json-c reads as a signed one. */
	handover_mount(handover)->id &= INT64_MAX;
	*ret_handover = handover;
	return 0;
}

static bool texts_end(const struct handover_header *mount)
{
	return memchr(mount->images, '\0', sizeof(mount->images)) && memchr(mount->mount, '\0', sizeof(mount->mount)) &&
	       memchr(mount->state, '\0', sizeof(mount->state));
}

static int check(struct handover *handover, struct sentence *error)
{
	const struct handover_header *mount = handover_mount(handover);

	if (memcmp(mount->magic, LAYOUT_MAGIC, sizeof(mount->magic)) != 0 || mount->layout != HANDOVER_LAYOUT)
		return report(error, -EPROTO, "another version of revertfs wrote down what is open (layout %u, not %u)",
			      mount->layout, HANDOVER_LAYOUT);
	for (size_t i = 0; i < HANDOVER_KINDS; i++)
		if (mount->used[i] > kinds[i].most)
			return report(error, -EPROTO, "what an earlier daemon wrote down is damaged");
	if (!texts_end(mount))
		return report(error, -EPROTO, "what an earlier daemon wrote down is damaged");
	return 0;
}

static int find_free_locked(struct handover *handover)
{
	for (size_t kind = 0; kind < HANDOVER_KINDS; kind++) {
		struct pool *pool = &handover->pools[kind];
		uint32_t used = handover_mount(handover)->used[kind];

		pool->backed = layout_round_up(kinds[kind].size * used);
		for (uint32_t i = 0; i < used; i++)
			if (!is_published(slot_at(handover, (enum handover_kind)kind, i)) && !note_free_locked(pool, i))
				return -ENOMEM;
	}
	return 0;
}

int handover_adopt(int fd, struct handover **ret_handover, struct sentence *error)
{
	struct handover *handover = allocate(fd);
	struct stat st;
	int r;

	if (!handover)
		return report(error, -ENOMEM, "out of memory");
	if (fstat(fd, &st) < 0 || (size_t)st.st_size != handover->length)
		r = report(error, -EPROTO, "another version of revertfs wrote down what is open");
	else if ((r = map(handover)) < 0)
		report(error, r, "what an earlier daemon wrote down cannot be mapped: %s", error_text(r));
	if (r == 0)
		r = check(handover, error);
	if (r == 0) {
		LOCKED (&handover->lock)
			r = find_free_locked(handover);
		if (r < 0)
			report(error, r, "out of memory");
	}
	if (r < 0) {
		handover_free(handover);
		return r;
	}
	handover_mount(handover)->restarts++;
	*ret_handover = handover;
	return 0;
}

void handover_free(struct handover *handover)
{
	if (!handover)
		return;
	for (size_t i = 0; i < HANDOVER_KINDS; i++)
		free(handover->pools[i].free);
	if (handover->memory)
		munmap(handover->memory, handover->length);
	close(handover->fd);
	pthread_mutex_destroy(&handover->lock);
	free(handover);
}

/* ---- inodes */

/* The system calls want the bytes right behind the struct. */
union system_handle {
	struct file_handle handle;
	char room[sizeof(struct file_handle) + HANDOVER_FILE_MAX];
};

void handover_file_note(int fd, struct handover_file *ret_file)
{
	union system_handle system = { .handle = { .handle_bytes = HANDOVER_FILE_MAX } };
	int mount_id;

	ret_file->length = 0;
	if (name_to_handle_at(fd, "", &system.handle, &mount_id, AT_EMPTY_PATH) < 0)
		return;
	ret_file->type = system.handle.handle_type;
	memcpy(ret_file->bytes, system.handle.f_handle, system.handle.handle_bytes);
	ret_file->length = system.handle.handle_bytes;
}

int handover_file_open(const struct handover_file *file, int directory)
{
	union system_handle system = { .handle = { .handle_bytes = file->length, .handle_type = file->type } };
	int fd;

	if (!file->length || file->length > HANDOVER_FILE_MAX)
		return -ESTALE;
	memcpy(system.handle.f_handle, file->bytes, file->length);
	fd = open_by_handle_at(directory, &system.handle, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
