/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that is converted lies in two memfds, the old one and the new one. The old one is only read,
 * and what it says is checked, since the program that wrote it was another.
 */
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define HEADER_ROOM 65536

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

_Static_assert(sizeof(struct handover_header) <= HEADER_ROOM, "struct handover_header has outgrown its place");

const struct layout layout_present = {
	.name = FDSTORE_HANDOVER,
	.kinds = {
		[HANDOVER_NODE] = { .size = sizeof(struct handover_node), .most = HANDOVER_NODES },
		[HANDOVER_HANDLE] = { .size = sizeof(struct handover_handle), .most = HANDOVER_HANDLES },
		[HANDOVER_REQUEST] = { .size = sizeof(struct handover_request), .most = 1U << 10 },
		[HANDOVER_ANSWER] = { .size = sizeof(struct handover_answer), .most = 1U << 8 },
		[HANDOVER_ANNOUNCEMENT] = { .size = sizeof(struct handover_announcement), .most = 1U << 8 },
	},
};

/* By their numbers. */
static const struct layout *const layouts[HANDOVER_LAYOUT + 1] = { [1] = &layout_1, [2] = &layout_present };

size_t layout_round_up(size_t length)
{
	return (length + LAYOUT_PIECE - 1) / LAYOUT_PIECE * LAYOUT_PIECE;
}

size_t layout_offset(const struct layout *layout, size_t kind)
{
	size_t offset = HEADER_ROOM;

	for (size_t i = 0; i < kind; i++)
		offset += layout_round_up(layout->kinds[i].size * layout->kinds[i].most);
	return offset;
}

/*
 * Linux 6.3 and later want to be told that nothing in it is executed; older ones do not know the
 * flag.
 */
int layout_make_memfd(const struct layout *layout)
{
	CLEANUP(close_fdp) int fd = memfd_create("revertfs", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("revertfs", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)layout_offset(layout, HANDOVER_KINDS)) < 0 ||
	    fallocate(fd, 0, 0, HEADER_ROOM) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* ---- conversion */

/* One of the two memfds. */
struct image {
	int fd;
	const struct layout *layout;
	char *memory;
};

static void image_clear(struct image *image)
{
	if (image->memory)
		munmap(image->memory, layout_offset(image->layout, HANDOVER_KINDS));
	close_fdp(&image->fd);
}

static int image_map(struct image *image, int protection)
{
	void *memory = mmap(NULL, layout_offset(image->layout, HANDOVER_KINDS), protection, MAP_SHARED, image->fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	image->memory = memory;
	return 0;
}

static struct handover_header *header_of(const struct image *image)
{
	return (struct handover_header *)(void *)image->memory;
}

static int check_length(const struct image *image, struct sentence *error)
{
	struct stat st;

	if (fstat(image->fd, &st) < 0 || (size_t)st.st_size != layout_offset(image->layout, HANDOVER_KINDS))
		return report(error, -EPROTO, "what an earlier daemon wrote down is damaged");
	return 0;
}

/* All valid slots of a kind, to the same places. */
static int convert_slots(const struct image *old, const struct image *new, enum handover_kind kind,
			 struct sentence *error)
{
	const struct layout_kind *from = &old->layout->kinds[kind], *to = &new->layout->kinds[kind];
	uint32_t used = header_of(old)->used[kind];
	const char *slots = old->memory + layout_offset(old->layout, kind);
	size_t offset = layout_offset(new->layout, kind);

	if (used > from->most || used > to->most)
		return report(error, -EPROTO, "what an earlier daemon wrote down is damaged");
	if (used && fallocate(new->fd, 0, (off_t)offset, (off_t)layout_round_up(to->size * used)) < 0)
		return report(error, -errno, "no memory for what outlives the daemon: %m");
	for (uint32_t i = 0; i < used; i++) {
		const void *slot = slots + from->size * i;

		if (*(const uint64_t *)slot)
			from->convert(slot, new->memory + offset + to->size *i);
	}
	header_of(new)->used[kind] = used;
	return 0;
}

static int convert_all(struct image *old, struct image *new, uint32_t number, struct sentence *error)
{
	int r = check_length(old, error);

	if (r < 0)
		return r;
	new->fd = layout_make_memfd(new->layout);
	r = new->fd < 0 ? new->fd : image_map(old, PROT_READ);
	if (r == 0)
		r = image_map(new, PROT_READ | PROT_WRITE);
	if (r != 0 || !old->memory || !new->memory)
		return report(error, r, "no memory for what outlives the daemon: %s", error_text(r));
	memcpy(header_of(new)->magic, LAYOUT_MAGIC, sizeof(header_of(new)->magic));
	header_of(new)->layout = number;
	old->layout->convert_header(old->memory, new->memory);
	for (size_t i = 0; r == 0 && i < HANDOVER_KINDS; i++)
		r = convert_slots(old, new, (enum handover_kind)i, error);
	return r;
}

/* A memfd in the layout after `number`; the descriptor is consumed. */
static int convert_once(int fd, uint32_t number, struct sentence *error)
{
	CLEANUP(image_clear) struct image old = { .fd = fd, .layout = layouts[number] };
	CLEANUP(image_clear) struct image new = { .fd = -1, .layout = layouts[number + 1] };
	int r = convert_all(&old, &new, number + 1, error);

	return r < 0 ? r : steal_fd(&new.fd);
}

int layout_convert(int fd, struct sentence *error)
{
	struct {
		char magic[8];
		uint32_t layout;
	} start;

	if (pread_all(fd, &start, sizeof(start), 0) < 0 ||
	    memcmp(start.magic, LAYOUT_MAGIC, sizeof(start.magic)) != 0 || start.layout == 0 ||
	    start.layout > HANDOVER_LAYOUT) {
		close(fd);
		return report(error, -EPROTO, "another version of revertfs wrote down what is open");
	}
	for (uint32_t number = start.layout; fd >= 0 && number < HANDOVER_LAYOUT; number++)
		fd = convert_once(fd, number, error);
	return fd;
}

/* ---- the store */

static int replace_in_store(const char *old_name, int fd, struct sentence *error)
{
	int r = fdstore_put(layout_present.name, fd);

	if (r < 0)
		return report(error, r, "what outlives the daemon cannot be stored: %s", error_text(r));
	fdstore_drop(old_name);
	log_info("what an earlier version of revertfs wrote down about open files is taken over");
	return 0;
}

int layout_take(struct fdstore *store, struct sentence *error)
{
	CLEANUP(close_fdp) int fd = -1;
	uint32_t number = HANDOVER_LAYOUT;
	int r;

	while (number > 0 && (fd = fdstore_take(store, layouts[number]->name)) < 0)
		number--;
	if (fd < 0)
		return -ENOENT;
	fd = layout_convert(fd, error);
	if (fd == -EPROTO)
		fdstore_drop(layouts[number]->name);
	if (fd < 0)
		return fd;
	r = number == HANDOVER_LAYOUT ? 0 : replace_in_store(layouts[number]->name, fd, error);
	return r < 0 ? r : steal_fd(&fd);
}
