/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open files: making a handle of a node, and everything that is done through one.
 *
 * A handle keeps the file that it was opened on: after a reset, the old scratch is still read and
 * written by those who have it open. Whether a file is protected is asked before and after it is
 * opened. Protecting first announces the inode and then looks for writers, so one of the two sees
 * the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lock.h"
#include "tree_internal.h"

/*
 * A copy cannot be interrupted, so it is answered when this much of it has been copied.
 */
#define COPY_SIZE_MAX ((size_t)64 << 20)

/*
 * Two kinds of names lead to a protected file itself. One is the disk's own, looked up before it
 * was protected: -ESTALE makes the kernel look it up again, and find the scratch. The other is a
 * further link to the file, which can be read.
 */
static int check_protection(struct tree *tree, struct node *node, bool writer)
{
	if (!tree_is_protected(tree, node))
		return 0;
	if (!node_was_protected(tree->nodes, node))
		return -ESTALE;
	return writer ? -EROFS : 0;
}

static int open_file(struct tree *tree, struct node *node, int flags, struct handle *handle)
{
	int r = tree_protect_due(tree, node);

	if (r == 0)
		r = check_protection(tree, node, handle->writer);
	if (r == 0 && (handle->writer || flags & O_TRUNC))
		r = disks_check_plain_write(tree->disks, node->fd);
	if (r != 0)
		return r;
	handle->fd = file_open(node->fd, flags);
	if (handle->fd < 0)
		return handle->fd;
	r = check_protection(tree, node, handle->writer);
	if (r < 0)
		close(steal_fd(&handle->fd));
	return r;
}

/*
 * Whoever became a writer since he looked the name up finds another node when he does so again: all
 * who write have one inode, which keeps their locks.
 */
static int open_scratch(struct tree *tree, struct node *node, struct handle *handle)
{
	struct scratch *scratch = node_scratch(tree->nodes, node);
	int r;

	if (!scratch)
		return -ESTALE;
	if (!node->for_onlookers)
		r = scratch_open(scratch, handle->writer);
	else
		r = handle->writer ? -ESTALE : scratch_look_on(scratch, &handle->onlooker);
	if (r == 0) {
		handle->fd = scratch_fd(scratch);
		handle->scratch = scratch;
		return 0;
	}
	scratch_put(scratch);
	return r;
}

static int open_view(struct node *node, int flags, struct handle *handle)
{
	if (handle->writer || flags & O_TRUNC)
		return view_refuse_writer(node->view);
	handle->view = node->view;
	handle->fd = view_open(node->view, node->for_onlookers ? &handle->onlooker : NULL);
	return handle->fd < 0 ? handle->fd : 0;
}

const char *tree_counted_to(const struct node *node)
{
	bool is_image;

	return node->for_onlookers          ? NULL
	       : node->kind == NODE_SCRATCH ? disk_name(node->disk)
	       : node->kind == NODE_VIEW    ? view_name(node->view, &is_image)
					    : NULL;
}

static int open_node(struct tree *tree, const struct replay *replay, struct node *node, int flags,
		     struct handle **ret_handle)
{
	static const enum handle_kind kinds[] = {
		[NODE_FILE] = HANDLE_FILE,
		[NODE_SCRATCH] = HANDLE_SCRATCH,
		[NODE_VIEW] = HANDLE_VIEW,
	};
	struct handle *handle;
	int r;

	if (node->kind == NODE_IMAGES_DIRECTORY || node->kind == NODE_FIXED)
		return admin_open(tree, node, replay->uid, flags, ret_handle);
	r = handle_new(tree->handles, kinds[node->kind], replay->uid, tree_counted_to(node), false, &handle);
	if (r < 0)
		return r;
	handle->flags = flags;
	handle->writer = (flags & O_ACCMODE) != O_RDONLY;
	if (node->kind == NODE_FILE)
		r = open_file(tree, node, flags, handle);
	else if (node->kind == NODE_SCRATCH)
		r = open_scratch(tree, node, handle);
	else
		r = open_view(node, flags, handle);
	if (r != 0)
		handle_free(tree->handles, handle);
	else
		*ret_handle = handle;
	return r;
}

/*
 * A file that the daemon serves bypasses the mount's page cache in three cases: the caller asked
 * for it; the size that stat(2) shows is not how much there is to read; it is a scratch. The
 * scratch's own file has a page cache already, and its writer, a QEMU, reads little of it again,
 * while a second copy takes as long as the first. A view's cached pages may stay: a view hardly
 * ever changes, and when it does, so does its modification time. But an onlooker's reads must all
 * be asked for, so that they can be refused.
 */
void tree_tell_opening(struct tree *tree, const struct replay *replay, struct handle *handle,
		       struct opening *ret_opening)
{
	struct handover_node *noted = handle->node->noted;
	struct opening opening = { .handle = 0 };

	handle->asked_by = replay->unique;
	node_opened(tree->nodes, handle->node, handle->scratch);
	if (handle->onlooker.among) {
		opening.direct_io = true;
	} else if (handle->kind == HANDLE_FILE || handle->kind == HANDLE_SCRATCH || handle->kind == HANDLE_VIEW) {
		opening.backing_id = passthrough_enter(&tree->passthrough, &handle->node->passthrough, handle->fd,
						       noted ? &noted->backing_id : NULL);
		handle->entered = true;
		opening.direct_io = !opening.backing_id && (handle->flags & O_DIRECT || handle->kind == HANDLE_SCRATCH);
		opening.keep_cache = !opening.backing_id && handle->kind == HANDLE_VIEW;
	} else {
		opening.direct_io = true;
	}
	opening.no_flush = handle->kind != HANDLE_FILE && handle->kind != HANDLE_SCRATCH;
	if (handle->kind == HANDLE_SCRATCH && handle->entered)
		scratch_note_passthrough(handle->scratch, opening.backing_id != 0);
	opening.handle = handle_add(tree->handles, handle);
	*ret_opening = opening;
}

void tree_take_back(struct tree *tree, const struct replay *replay)
{
	if (replay->again)
		handle_take_back(tree->handles, replay->unique);
}

int tree_open(struct tree *tree, const struct replay *replay, uint64_t id, int flags, const struct requester *opener,
	      struct opening *ret_opening)
{
	struct node *node;
	struct handle *handle;
	int r;

	tree_take_back(tree, replay);
	node = node_get(tree->nodes, id);
	if (!node)
		return -ESTALE;
	r = open_node(tree, replay, node, flags, &handle);
	if (r != 0) {
		node_put(tree->nodes, node);
		return r;
	}
	handle->node = node;
	if (handle->kind == HANDLE_CONTROL && opener->uid)
		handle->opener = identity_of(opener->uid, opener->gid, opener->pid);
	else
		handle->opener = (struct identity){ .uid = opener->uid, .gid = opener->gid };
	tree_tell_opening(tree, replay, handle, ret_opening);
	return 0;
}

void tree_close(struct tree *tree, uint64_t number)
{
	handle_remove(tree->handles, number);
}

/* ---- reading and writing */

int tree_read(struct tree *tree, uint64_t number, size_t size, off_t offset, struct piece *ret_piece)
{
	struct handle *handle = handle_get(tree->handles, number);
	int r = 0;

	if (!handle)
		return -EBADF;
	if (handle->kind == HANDLE_VIEW && handle->fd < 0)
		r = -EIO; /* tree_restore.c could not open it again */
	else if (handle->fd < 0)
		r = admin_read(handle, size, offset, ret_piece);
	else if ((r = onlooker_begin(&handle->onlooker)) == 0)
		*ret_piece = (struct piece){ .fd = handle->fd, .offset = offset, .length = size };
	if (r < 0)
		handle_put(tree->handles, handle);
	else
		ret_piece->handle = handle;
	return r;
}

void tree_read_done(struct tree *tree, struct piece *piece)
{
	free(piece->bytes);
	onlooker_end(&piece->handle->onlooker);
	handle_put(tree->handles, piece->handle);
}

/*
 * The handle of a file that is about to be changed through it, with its disk told so. -EBADF when
 * it was not opened for writing; -EINVAL for the control file, which takes commands and no data.
 */
static int writable(struct tree *tree, uint64_t number, bool kill, struct handle **ret_handle)
{
	struct handle *handle = handle_get(tree->handles, number);
	int r = -EBADF;

	if (handle && handle->kind == HANDLE_CONTROL)
		r = -EINVAL;
	else if (handle && handle->writer && handle->fd >= 0)
		r = handle->scratch ? scratch_mark_written(handle->scratch) : 0;
	if (r == 0 && kill && handle->kind == HANDLE_FILE)
		r = file_kill_privileges(handle->fd);
	if (r < 0)
		handle_put(tree->handles, handle);
	else
		*ret_handle = handle;
	return r;
}

ssize_t tree_write(struct tree *tree, uint64_t number, const void *data, size_t size, off_t offset, bool kill)
{
	struct handle *handle;
	ssize_t r = writable(tree, number, kill, &handle);

	if (r < 0)
		return r;
	r = pwrite(handle->fd, data, size, offset);
	if (r < 0)
		r = -errno;
	handle_put(tree->handles, handle);
	return r;
}

/* Network filesystems report at close(2) which writes have failed. */
static int close_a_copy(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy < 0 || close(copy) < 0 ? -errno : 0;
}

int tree_flush(struct tree *tree, uint64_t number)
{
	struct handle *handle = handle_get(tree->handles, number);
	int r = 0;

	if (handle && handle->kind == HANDLE_FILE && handle->writer)
		r = close_a_copy(handle->fd);
	handle_put(tree->handles, handle);
	return r;
}

int tree_sync(struct tree *tree, uint64_t number, bool data_only)
{
	struct handle *handle = handle_get(tree->handles, number);
	int r = 0;

	if (!handle)
		return -EBADF;
	if (handle->scratch)
		r = scratch_sync(handle->scratch);
	else if (handle->fd >= 0 && handle->kind != HANDLE_VIEW)
		r = (data_only ? fdatasync(handle->fd) : fsync(handle->fd)) < 0 ? -errno : 0;
	handle_put(tree->handles, handle);
	return r;
}

int tree_allocate(struct tree *tree, uint64_t number, int mode, off_t offset, off_t length, bool kill)
{
	struct handle *handle;
	int r = writable(tree, number, kill, &handle);

	if (r < 0)
		return r;
	r = fallocate(handle->fd, mode, offset, length) < 0 ? -errno : 0;
	handle_put(tree->handles, handle);
	return r;
}

/*
 * This moves the real descriptor's position, which nothing uses: reads and writes give their
 * offset.
 */
off_t tree_seek(struct tree *tree, uint64_t number, off_t offset, int whence)
{
	struct handle *handle = handle_get(tree->handles, number);
	off_t r = -EINVAL;

	if (!handle)
		return -EBADF;
	if (handle->fd >= 0 && (whence == SEEK_DATA || whence == SEEK_HOLE))
		r = onlooker_begin(&handle->onlooker);
	if (r == 0) {
		r = lseek(handle->fd, offset, whence);
		if (r < 0)
			r = -errno;
		onlooker_end(&handle->onlooker);
	}
	handle_put(tree->handles, handle);
	return r;
}

static ssize_t copy(struct handle *source, off_t from, struct handle *target, off_t to, size_t length, unsigned flags)
{
	ssize_t r = onlooker_begin(&source->onlooker);

	if (r < 0)
		return r;
	r = copy_file_range(source->fd, &from, target->fd, &to, length < COPY_SIZE_MAX ? length : COPY_SIZE_MAX, flags);
	if (r < 0)
		r = -errno;
	onlooker_end(&source->onlooker);
	return r;
}

/* Whether both are on one filesystem, as far as is known without asking these. */
static bool is_near(struct tree *tree, const struct handle *source, uint64_t to)
{
	struct handle *target = handle_get(tree->handles, to);
	bool is = target && target->node->device == source->node->device;

	handle_put(tree->handles, target);
	return is;
}

/*
 * A copy waits for one filesystem alone, that of the target, in whose lanes it is (errand.c). For
 * one between two the kernel gets EXDEV, and reads and writes instead.
 */
ssize_t tree_copy(struct tree *tree, uint64_t from, off_t from_offset, uint64_t to, off_t to_offset, size_t length,
		  unsigned flags, bool kill)
{
	struct handle *source = handle_get(tree->handles, from), *target;
	ssize_t r = source && source->fd >= 0 ? 0 : -EBADF;

	if (r == 0 && !is_near(tree, source, to))
		r = -EXDEV;
	if (r == 0)
		r = writable(tree, to, kill, &target);
	if (r == 0) {
		r = copy(source, from_offset, target, to_offset, length, flags);
		handle_put(tree->handles, target);
	}
	handle_put(tree->handles, source);
	return r;
}

/* ---- directories */

int tree_open_directory(struct tree *tree, const struct replay *replay, uint64_t id, const struct requester *opener,
			struct opening *ret_opening)
{
	struct node *node;
	struct handle *handle;
	int r;

	tree_take_back(tree, replay);
	node = node_get(tree->nodes, id);
	if (!node)
		return -ESTALE;
	r = handle_new(tree->handles, HANDLE_DIRECTORY, replay->uid, NULL, false, &handle);
	if (r < 0) {
		node_put(tree->nodes, node);
		return r;
	}
	if (node->kind == NODE_FILE)
		r = handle->fd = file_open(node->fd, O_RDONLY | O_DIRECTORY);
	else if (!admin_is_directory(node))
		r = -ENOTDIR;
	if (r < 0) {
		handle_free(tree->handles, handle);
		node_put(tree->nodes, node);
		return r;
	}
	handle->node = node;
	handle->opener = (struct identity){ .uid = opener->uid, .gid = opener->gid };
	tree_tell_opening(tree, replay, handle, ret_opening);
	return 0;
}

static bool note_disk(void *context, const char *component, bool is_directory)
{
	struct listing *disks = context;

	/*
	 * Without memory for it, a disk that has no file in the images directory is missing from
	 * the listing.
	 */
	if (!is_directory)
		listing_add(disks, component, 0, S_IFREG);
	return true;
}

/* The inode number that a lookup of the disk would show now. */
static uint64_t disk_inode(struct tree *tree, struct node *directory, const char *name)
{
	CLEANUP(freep) char *path = NULL;
	struct scratch *scratch = NULL;
	struct disk *disk = NULL;
	uint64_t inode;

	if (node_path(tree->nodes, directory, name, &path) == 0 && path)
		disk = disks_find(tree->disks, path);
	scratch = disk ? disk_scratch(disk) : NULL;
	inode = scratch ? node_own_inode(NODE_SCRATCH, scratch_serial(scratch)) : 0;
	scratch_put(scratch);
	disk_put(disk);
	return inode;
}

/*
 * The real directory's entries and the disks, each name once. A disk is shown as a regular file,
 * whatever has its name in the images directory. The type of a disk that has been listed is set to
 * 0.
 */
static int merge(struct tree *tree, struct node *directory, const struct listing *real, const struct listing *disks,
		 struct listing *listing)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < real->count; i++) {
		struct listing_entry *entry = &real->entries[i], *disk = listing_find(disks, entry->name);

		if (directory->id == NODE_ROOT && strcmp(entry->name, ADMIN_NAME) == 0)
			continue;
		if (disk)
			disk->inode = disk_inode(tree, directory, disk->name);
		r = listing_add(listing, entry->name,
				disk ? disk->inode : tree_inode(tree, directory->device, entry->inode),
				disk ? S_IFREG : entry->type);
		if (disk)
			disk->type = 0;
	}
	for (size_t i = 0; r == 0 && i < disks->count; i++) {
		const struct listing_entry *disk = &disks->entries[i];

		if (disk->type)
			r = listing_add(listing, disk->name, disk_inode(tree, directory, disk->name), S_IFREG);
	}
	return r;
}

/* The disks directly in a directory. */
static int list_disks(struct tree *tree, const struct node *directory, struct listing *disks)
{
	CLEANUP(freep) char *path = NULL, *above = NULL;
	int r = node_path(tree->nodes, directory, "", &path);

	if (r < 0 || !path)
		return r;
	above = strndup(path, *path ? strlen(path) - 1 : 0); /* without the slash that it ends in */
	if (!above)
		return -ENOMEM;
	disks_visit_names(tree->disks, above, note_disk, disks);
	listing_sort(disks);
	return disks->count ? tree_check_place(tree, directory, path) : 0;
}

static int list_images(struct tree *tree, const struct handle *handle, struct listing *listing)
{
	CLEANUP(listing_freep) struct listing *real = listing_new();
	CLEANUP(listing_freep) struct listing *disks = listing_new();
	int r;

	if (!real || !disks)
		return -ENOMEM;
	r = listing_read(real, handle->fd);
	if (r == 0)
		r = list_disks(tree, handle->node, disks);
	return r < 0 ? r : merge(tree, handle->node, real, disks, listing);
}

static int list_dots(struct tree *tree, struct node *node, struct listing *listing)
{
	struct stat st = { .st_ino = 0 };
	int r = tree_node_attributes(tree, node, &st);

	if (r == 0)
		r = listing_add(listing, ".", st.st_ino, S_IFDIR);
	if (r == 0 && node->kind == NODE_FILE && node->id != NODE_ROOT && file_look(node->fd, "..", &st) == 0)
		st.st_ino = tree_inode(tree, st.st_dev, st.st_ino);
	return r < 0 ? r : listing_add(listing, "..", st.st_ino, S_IFDIR);
}

static int list_locked(struct tree *tree, struct handle *handle)
{
	CLEANUP(listing_freep) struct listing *listing = listing_new();
	int r;

	if (!listing)
		return -ENOMEM;
	r = list_dots(tree, handle->node, listing);
	if (r == 0)
		r = handle->node->kind == NODE_FILE ? list_images(tree, handle, listing)
						    : admin_list(tree, handle->node, listing);
	if (r < 0)
		return r;
	listing_place(listing);
	handle_set_listing(tree->handles, handle, steal_pointer(&listing));
	return 0;
}

static void visit_entries(const struct listing *listing, off_t offset,
			  bool (*visit)(void *context, const char *name, uint64_t inode, mode_t type, off_t next),
			  void *context)
{
	for (size_t i = listing_behind(listing, offset); i < listing->count; i++) {
		const struct listing_entry *entry = &listing->entries[i];

		if (!visit(context, entry->name, entry->inode, entry->type, entry->position))
			return;
	}
}

int tree_read_directory(struct tree *tree, uint64_t number, off_t offset,
			bool (*visit)(void *context, const char *name, uint64_t inode, mode_t type, off_t next),
			void *context)
{
	struct handle *handle = handle_get(tree->handles, number);
	int r = 0;

	if (!handle)
		return -EBADF;
	LOCKED (&handle->lock) {
		if (offset == 0 || !handle->listing)
			r = list_locked(tree, handle);
		else
			handle_uses_listing(tree->handles, handle);
		if (r == 0)
			visit_entries(handle->listing, offset, visit, context);
	}
	handle_put(tree->handles, handle);
	return r;
}
