/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of names: create, link, rename, remove.
 *
 * The names are claimed (name_claim.h) from the check whether a disk is concerned until after the
 * system call, so that no name becomes a disk in between. A disk's name cannot be taken or moved,
 * and only a clone's can be removed; a directory above a disk can be neither moved nor removed; a
 * protected file gets no second name. The names of an image that has commits in another state
 * directory stay as they are. Nothing changes in .revertfs.
 *
 * Each change is made once, even if the daemon is killed between making and answering it
 * (replay.h): what the names stand for is noted before, and compared when the request comes again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "name_claim.h"
#include "replay.h"
#include "tree_internal.h"

#ifndef RENAME_WHITEOUT
#define RENAME_WHITEOUT (1 << 2)
#endif

/*
 * A name that is to change: in its directory (a reference), and as a path in the images directory;
 * NULL where it is longer than any disk's.
 */
struct slot {
	struct node *directory;
	const char *name;
	char *path;
};

static void slot_put(struct tree *tree, struct slot *slot)
{
	node_put(tree->nodes, slot->directory);
	free(slot->path);
}

static int slot_get(struct tree *tree, uint64_t parent, const char *name, struct slot *ret_slot)
{
	struct slot slot = { .directory = node_get(tree->nodes, parent), .name = name };
	int r = 0;

	if (!slot.directory)
		return -ESTALE;
	if (slot.directory->kind != NODE_FILE)
		r = -EPERM;
	else if (parent == NODE_ROOT && strcmp(name, ADMIN_NAME) == 0)
		r = -EPERM;
	else
		r = node_path(tree->nodes, slot.directory, name, &slot.path);
	if (r < 0)
		slot_put(tree, &slot);
	else
		*ret_slot = slot;
	return r;
}

/* 1 where a directory above has been seen under another name since; the slot has the new path. */
static int path_changed(struct tree *tree, struct slot *slot)
{
	CLEANUP(freep) char *path = NULL;
	int r = node_path(tree->nodes, slot->directory, slot->name, &path);

	if (r < 0 || strcmp(path ? path : "", slot->path ? slot->path : "") == 0)
		return r;
	free(slot->path);
	slot->path = steal_pointer(&path);
	return 1;
}

#define CLAIM_TRIES 10

/*
 * Claim the names, and the file if there is one, for a change that others may share. While that is
 * waited for, a path may become another.
 */
static int claim_slots(struct tree *tree, struct slot *slot, struct slot *other, const struct node *file,
		       struct name_claim *claim)
{
	for (int i = 0; i < CLAIM_TRIES; i++) {
		int r;

		*claim = (struct name_claim){ .paths = { slot->path, other ? other->path : NULL } };
		if (file) {
			claim->device = file->device;
			claim->inode = file->inode;
		}
		r = name_claim_take(disks_names(tree->disks), claim);
		if (r < 0)
			return r;
		r = path_changed(tree, slot);
		if (r == 0 && other)
			r = path_changed(tree, other);
		if (r == 0)
			return 0;
		name_claim_release(claim);
		if (r < 0)
			return r;
	}
	return -ESTALE;
}

/* 1 where a disk has the name, or 0; -ESTALE where it would, but the directory was moved. */
static int is_disk(struct tree *tree, const struct slot *slot)
{
	struct disk *disk = slot->path ? disks_find(tree->disks, slot->path) : NULL;
	int r = disk ? tree_check_place(tree, slot->directory, slot->path) : 0;

	disk_put(disk);
	return r < 0 ? r : disk != NULL;
}

/* 0 where no disk has the name; `error` where one has. */
static int check_no_disk(struct tree *tree, const struct slot *slot, int error)
{
	int r = is_disk(tree, slot);

	return r > 0 ? error : r;
}

/* 0 where no disk has the name, or one beneath it. */
static int check_nothing_beneath(struct tree *tree, const struct slot *slot)
{
	if (!slot->path || !disks_any_beneath(tree->disks, slot->path))
		return 0;
	return tree_check_place(tree, slot->directory, slot->path) < 0 ? -ESTALE : -EBUSY;
}

/* The file that has the name at this moment; st_ino is 0 where there is none. */
static struct stat look_at(const struct slot *slot)
{
	struct stat st;

	if (file_look(slot->directory->fd, slot->name, &st) < 0)
		return (struct stat){ .st_ino = 0 };
	return st;
}

static bool is_inode(const struct stat *st, uint64_t device, uint64_t inode)
{
	return st->st_dev == device && st->st_ino == inode;
}

/*
 * 0 where whatever has the name may lose or change it; not an image that another state directory
 * needs, which cannot be written either.
 */
static int check_not_anothers(struct tree *tree, const struct slot *slot)
{
	struct stat st;
	CLEANUP(close_fdp) int fd = file_find(slot->directory->fd, slot->name, &st);

	return fd >= 0 && S_ISREG(st.st_mode) ? disks_check_plain_write(tree->disks, fd) : 0;
}

static bool is_last_name(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_nlink == 1;
}

/* The file's last name goes: the next daemon must still find the file if it is open. */
static void loses_name(struct tree *tree, const struct stat *st)
{
	if (is_last_name(st))
		node_loses_name(tree->nodes, st->st_dev, st->st_ino);
}

/* It could not be removed. */
static void keeps_name(struct tree *tree, const struct stat *st)
{
	if (is_last_name(st))
		node_keeps_name(tree->nodes, st->st_dev, st->st_ino);
}

static int tell(struct tree *tree, const struct replay *replay, const struct slot *slot, struct entry *ret_entry)
{
	struct node *node;
	int r = tree_find(tree, slot->directory, slot->name, &(struct requester){ .uid = replay->uid }, &node);

	if (r < 0)
		return r;
	r = tree_tell(tree, node, ret_entry);
	node_put(tree->nodes, node);
	return r;
}

/*
 * What is made gets a node, so there must be room for one before. What came again may have been
 * made already.
 */
static int check_room(struct tree *tree, const struct replay *replay)
{
	return replay->again ? 0 : node_has_room(tree->nodes, replay->uid);
}

/* ---- making */

/* How an entry is made: each kind has its own system call. */
struct creation_step {
	int (*make)(int directory, const char *name, const struct creation_step *step);
	const struct creation *creation;
	const char *target;
	int fd; /* make_link(): of the file that gets another name */
};

/* A note says that nothing had the name: what has it now was made by this very request. */
static int make_once(struct tree *tree, struct replay *replay, const struct slot *slot,
		     const struct creation_step *step)
{
	struct stat there = look_at(slot);

	if (replay_recall(tree->handover, replay) && there.st_ino)
		return 0;
	if (!there.st_ino)
		replay_note(tree->handover, replay, &(struct handover_request){ .unique = 0 });
	return step->make(slot->directory->fd, slot->name, step);
}

static int make(struct tree *tree, struct replay *replay, uint64_t parent, const char *name,
		const struct creation_step *step, struct entry *ret_entry)
{
	struct name_claim claim;
	struct slot slot;
	int r = check_room(tree, replay);

	if (r == 0)
		r = slot_get(tree, parent, name, &slot);
	if (r != 0)
		return r;
	r = claim_slots(tree, &slot, NULL, NULL, &claim);
	if (r == 0) {
		r = check_no_disk(tree, &slot, -EEXIST);
		if (r == 0)
			r = make_once(tree, replay, &slot, step);
		if (r == 0)
			r = tell(tree, replay, &slot, ret_entry);
		name_claim_release(&claim);
	}
	slot_put(tree, &slot);
	return r;
}

static int make_node(int directory, const char *name, const struct creation_step *step)
{
	return file_make_node(directory, name, step->creation);
}

static int make_directory(int directory, const char *name, const struct creation_step *step)
{
	return file_make_directory(directory, name, step->creation);
}

static int make_symlink(int directory, const char *name, const struct creation_step *step)
{
	return file_make_link(directory, name, step->target, step->creation);
}

static int make_link(int directory, const char *name, const struct creation_step *step)
{
	return linkat(step->fd, "", directory, name, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int tree_make_node(struct tree *tree, struct replay *replay, uint64_t parent, const char *name,
		   const struct creation *creation, struct entry *ret_entry)
{
	const struct creation_step step = { .make = make_node, .creation = creation };

	return make(tree, replay, parent, name, &step, ret_entry);
}

int tree_make_directory(struct tree *tree, struct replay *replay, uint64_t parent, const char *name,
			const struct creation *creation, struct entry *ret_entry)
{
	const struct creation_step step = { .make = make_directory, .creation = creation };

	return make(tree, replay, parent, name, &step, ret_entry);
}

int tree_make_symlink(struct tree *tree, struct replay *replay, uint64_t parent, const char *name, const char *target,
		      const struct creation *creation, struct entry *ret_entry)
{
	const struct creation_step step = { .make = make_symlink, .creation = creation, .target = target };

	return make(tree, replay, parent, name, &step, ret_entry);
}

/* Protecting a file claims it exclusively: one that is claimed here stays unprotected. */
static int link_unprotected(struct tree *tree, struct replay *replay, const struct node *node, struct slot *slot,
			    struct entry *ret_entry)
{
	struct name_claim claim;
	const struct creation_step step = { .make = make_link, .fd = node->fd };
	int r;

	r = claim_slots(tree, slot, NULL, node, &claim);
	if (r < 0)
		return r;
	r = tree_is_protected(tree, node) ? -EPERM : check_no_disk(tree, slot, -EEXIST);
	if (r == 0 && S_ISREG(node->type))
		r = disks_check_plain_write(tree->disks, node->fd);
	if (r == 0)
		r = make_once(tree, replay, slot, &step);
	if (r == 0)
		r = tell(tree, replay, slot, ret_entry);
	name_claim_release(&claim);
	return r;
}

int tree_link(struct tree *tree, struct replay *replay, uint64_t id, uint64_t parent, const char *name,
	      struct entry *ret_entry)
{
	struct node *node = node_get(tree->nodes, id);
	struct slot slot;
	int r;

	if (!node)
		return -ESTALE;
	r = node->kind == NODE_FILE ? slot_get(tree, parent, name, &slot) : -EPERM;
	if (r == 0) {
		r = slot.directory->device != node->device ? -EXDEV
							   : link_unprotected(tree, replay, node, &slot, ret_entry);
		slot_put(tree, &slot);
	}
	node_put(tree->nodes, node);
	return r;
}

/* ---- removing */

/* Of disks, disk_unlink() removes clones alone. */
static int remove_disk(struct tree *tree, struct replay *replay, const struct slot *slot)
{
	replay_note(tree->handover, replay, &(struct handover_request){ .is_disk = 1 });
	return disk_unlink(tree->disks, slot->path);
}

static int remove_once(struct tree *tree, struct replay *replay, const struct slot *slot, int flags)
{
	const struct handover_request *before = replay_recall(tree->handover, replay);
	struct stat there = look_at(slot);
	int r;

	if (before && (before->is_disk || !is_inode(&there, before->device, before->inode)))
		return 0;
	r = flags & AT_REMOVEDIR ? 0 : check_not_anothers(tree, slot);
	if (r < 0)
		return r;
	if (there.st_ino)
		replay_note(tree->handover, replay,
			    &(struct handover_request){ .device = there.st_dev, .inode = there.st_ino });
	loses_name(tree, &there);
	r = unlinkat(slot->directory->fd, slot->name, flags) < 0 ? -errno : 0;
	if (r < 0 && r != -ENOENT)
		keeps_name(tree, &there);
	return r;
}

static int remove_claimed(struct tree *tree, struct replay *replay, const struct slot *slot, int flags)
{
	int r = is_disk(tree, slot);

	if (r > 0)
		return flags & AT_REMOVEDIR ? -ENOTDIR : remove_disk(tree, replay, slot);
	if (r == 0 && flags & AT_REMOVEDIR)
		r = check_nothing_beneath(tree, slot);
	return r < 0 ? r : remove_once(tree, replay, slot, flags);
}

static int remove_name(struct tree *tree, struct replay *replay, uint64_t parent, const char *name, int flags)
{
	struct name_claim claim;
	struct slot slot;
	int r = slot_get(tree, parent, name, &slot);

	if (r < 0)
		return r;
	r = claim_slots(tree, &slot, NULL, NULL, &claim);
	if (r < 0) {
		slot_put(tree, &slot);
		return r;
	}
	r = remove_claimed(tree, replay, &slot, flags);
	name_claim_release(&claim);
	slot_put(tree, &slot);
	return r;
}

int tree_unlink(struct tree *tree, struct replay *replay, uint64_t parent, const char *name)
{
	return remove_name(tree, replay, parent, name, 0);
}

int tree_remove_directory(struct tree *tree, struct replay *replay, uint64_t parent, const char *name)
{
	return remove_name(tree, replay, parent, name, AT_REMOVEDIR);
}

/* ---- renaming */

static int check_rename(struct tree *tree, const struct slot *from, const struct slot *to)
{
	int r = check_no_disk(tree, from, -EPERM);

	if (r == 0)
		r = check_no_disk(tree, to, -EPERM);
	if (r == 0)
		r = check_nothing_beneath(tree, from);
	return r < 0 ? r : check_nothing_beneath(tree, to);
}

/*
 * A directory that was moved has another path now: finding it notes that. Should that fail, the
 * next lookup notes it.
 */
static void see_again(struct tree *tree, const struct replay *replay, const struct slot *slot)
{
	struct node *node;

	if (tree_find(tree, slot->directory, slot->name, &(struct requester){ .uid = replay->uid }, &node) == 0)
		node_put(tree->nodes, node);
}

/*
 * Whether a rename before which `before` was noted has been made: the file has the new name and no
 * longer the old; after an exchange, the other file has the old one.
 */
static bool was_renamed(const struct handover_request *before, const struct stat *from, const struct stat *to,
			unsigned flags)
{
	if (!is_inode(to, before->device, before->inode))
		return false;
	if (flags & RENAME_EXCHANGE)
		return is_inode(from, before->other_device, before->other_inode);
	return !is_inode(from, before->device, before->inode);
}

static int rename_once(struct tree *tree, struct replay *replay, const struct slot *from, const struct slot *to,
		       unsigned flags)
{
	const struct handover_request *before = replay_recall(tree->handover, replay);
	struct stat source = look_at(from), target = look_at(to);
	bool replaces = !flags && !is_inode(&target, source.st_dev, source.st_ino);
	int r;

	if (before && was_renamed(before, &source, &target, flags))
		return 0;
	r = check_not_anothers(tree, from);
	if (r == 0)
		r = check_not_anothers(tree, to);
	if (r < 0)
		return r;
	replay_note(tree->handover, replay,
		    &(struct handover_request){ .device = source.st_dev,
						.inode = source.st_ino,
						.other_device = target.st_dev,
						.other_inode = target.st_ino });
	if (replaces)
		loses_name(tree, &target);
	r = renameat2(from->directory->fd, from->name, to->directory->fd, to->name, flags) < 0 ? -errno : 0;
	if (r < 0 && replaces)
		keeps_name(tree, &target);
	return r;
}

static int rename_slots(struct tree *tree, struct replay *replay, const struct slot *from, const struct slot *to,
			unsigned flags)
{
	int r = check_rename(tree, from, to);

	if (r == 0)
		r = rename_once(tree, replay, from, to, flags);
	if (r < 0)
		return r;
	see_again(tree, replay, to);
	if (flags & RENAME_EXCHANGE)
		see_again(tree, replay, from);
	return 0;
}

int tree_rename(struct tree *tree, struct replay *replay, uint64_t parent, const char *name, uint64_t new_parent,
		const char *new_name, unsigned flags)
{
	struct name_claim claim;
	struct slot from, to;
	int r;

	/* It would leave a device node under the old name, which only overlayfs has a use for. */
	if (flags & RENAME_WHITEOUT)
		return -EINVAL;
	r = slot_get(tree, parent, name, &from);
	if (r < 0)
		return r;
	r = slot_get(tree, new_parent, new_name, &to);
	if (r == 0) {
		r = from.directory->device != to.directory->device ? -EXDEV
								   : claim_slots(tree, &from, &to, NULL, &claim);
		if (r == 0) {
			r = rename_slots(tree, replay, &from, &to, flags);
			name_claim_release(&claim);
		}
		slot_put(tree, &to);
	}
	slot_put(tree, &from);
	return r;
}

/* ---- creating a file and opening it at once */

/* Open the file that an earlier daemon created for this request, without answering it. */
static int open_created(const struct slot *slot, int flags)
{
	struct stat st;
	CLEANUP(close_fdp) int fd = file_find(slot->directory->fd, slot->name, &st);

	return fd < 0 ? fd : file_open(fd, flags);
}

/*
 * The kernel sends CREATE when it found no file of that name. If there is one by now, nobody has
 * checked whether the caller may open it: -ESTALE makes the kernel look it up, check it and open
 * it.
 */
static int create_file(struct tree *tree, struct replay *replay, const struct slot *slot, int flags,
		       const struct creation *creation)
{
	bool noted = replay_recall(tree->handover, replay) != NULL;
	struct stat there = look_at(slot);
	int r = check_no_disk(tree, slot, flags & O_EXCL ? -EEXIST : -ESTALE);

	if (r < 0)
		return r;
	if (noted && there.st_ino)
		return open_created(slot, flags);
	if (!there.st_ino)
		replay_note(tree->handover, replay, &(struct handover_request){ .unique = 0 });
	r = file_create(slot->directory->fd, slot->name, flags & ~O_EXCL, creation);
	return r == -EEXIST && !(flags & O_EXCL) ? -ESTALE : r;
}

static int enter_created(struct tree *tree, const struct replay *replay, const struct slot *slot, int fd,
			 struct node **ret_node)
{
	struct stat st;
	int pinned = file_open(fd, O_PATH), r;

	if (pinned < 0)
		return pinned;
	r = file_stat(pinned, &st);
	if (r < 0) {
		close(pinned);
		return r;
	}
	return tree_node_of_file(tree, slot->directory, slot->name, pinned, &st, replay->uid, ret_node);
}

/* The handle, consumed, of a file that was created and is open as its `fd`. */
static int tell_created(struct tree *tree, const struct replay *replay, const struct slot *slot, struct handle *handle,
			struct entry *ret_entry, struct opening *ret_opening)
{
	struct node *node;
	int r = enter_created(tree, replay, slot, handle->fd, &node);

	if (r < 0) {
		close_fdp(&handle->fd);
		handle_free(tree->handles, handle);
		return r;
	}
	handle->node = node_ref(tree->nodes, node);
	tree_tell_opening(tree, replay, handle, ret_opening);
	r = tree_tell(tree, node, ret_entry);
	if (r < 0)
		tree_close(tree, ret_opening->handle);
	node_put(tree->nodes, node);
	return r;
}

static int create_in(struct tree *tree, struct replay *replay, const struct slot *slot, int flags,
		     const struct creation *creation, struct entry *ret_entry, struct opening *ret_opening)
{
	struct handle *handle;
	int r = handle_new(tree->handles, HANDLE_FILE, replay->uid, NULL, false, &handle);

	if (r < 0)
		return r;
	handle->flags = flags;
	handle->writer = (flags & O_ACCMODE) != O_RDONLY;
	handle->opener = (struct identity){ .uid = creation->creator.uid, .gid = creation->creator.gid };
	handle->fd = create_file(tree, replay, slot, flags, creation);
	if (handle->fd >= 0)
		return tell_created(tree, replay, slot, handle, ret_entry, ret_opening);
	r = handle->fd;
	handle_free(tree->handles, handle);
	return r;
}

int tree_create(struct tree *tree, struct replay *replay, uint64_t parent, const char *name, int flags,
		const struct creation *creation, struct entry *ret_entry, struct opening *ret_opening)
{
	struct name_claim claim;
	struct slot slot;
	int r;

	tree_take_back(tree, replay);
	r = check_room(tree, replay);
	if (r == 0)
		r = slot_get(tree, parent, name, &slot);
	if (r != 0)
		return r;
	r = claim_slots(tree, &slot, NULL, NULL, &claim);
	if (r == 0) {
		r = create_in(tree, replay, &slot, flags, creation, ret_entry, ret_opening);
		name_claim_release(&claim);
	}
	slot_put(tree, &slot);
	return r;
}
