/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attributes and extended attributes: what is shown of a node, and what may be changed.
 *
 * Of a disk the scratch's are shown and changed, of a view what was noted for it (view.h), and of
 * any other file its own. A file that is changed is claimed (name_claim.h), so that it does not
 * become protected meanwhile; one that is protected, reached by another name, is EROFS.
 */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lock.h"
#include "mark.h"
#include "name_claim.h"
#include "node_handover.h"
#include "tree_internal.h"

static int scratch_attributes(struct tree *tree, struct node *node, struct stat *ret_stat)
{
	struct scratch *scratch = node_scratch(tree->nodes, node);
	int fd, r;

	if (!scratch)
		return -ESTALE;
	fd = scratch_fd(scratch);
	r = fd < 0 ? fd : file_stat(fd, ret_stat);
	scratch_put(scratch);
	return r;
}

/* While a scratch is being sealed, its file has two names; in the mount it has one. */
static void show_own_numbers(struct stat *st, const struct node *node)
{
	st->st_ino = node_own_inode(node->kind, node->serial);
	st->st_nlink = 1;
}

int tree_node_attributes(struct tree *tree, struct node *node, struct stat *ret_stat)
{
	int r;

	switch (node->kind) {
	case NODE_FILE:
		/* The root is on the way to .revertfs, which must not hang with the images. */
		r = node->id == NODE_ROOT ? file_look(node->fd, "", ret_stat) : file_stat(node->fd, ret_stat);
		if (r == 0)
			ret_stat->st_ino = tree_inode(tree, ret_stat->st_dev, ret_stat->st_ino);
		return r;
	case NODE_SCRATCH:
		r = scratch_attributes(tree, node, ret_stat);
		show_own_numbers(ret_stat, node);
		return r;
	case NODE_VIEW:
		r = view_stat(node->view, ret_stat);
		show_own_numbers(ret_stat, node);
		return r;
	case NODE_IMAGES_DIRECTORY:
	case NODE_FIXED:
		admin_attributes(tree, node, ret_stat);
		return 0;
	}
	return -EIO;
}

int tree_attributes(struct tree *tree, uint64_t id, struct stat *ret_stat)
{
	struct node *node = node_get(tree->nodes, id);
	int r;

	if (!node)
		return -ESTALE;
	r = tree_node_attributes(tree, node, ret_stat);
	node_put(tree->nodes, node);
	return r;
}

int tree_read_link(struct tree *tree, uint64_t id, char *text, size_t size)
{
	struct node *node = node_get(tree->nodes, id);
	int r = -EINVAL;

	if (!node)
		return -ESTALE;
	if (node->kind == NODE_FILE)
		r = file_read_link(node->fd, text, size);
	node_put(tree->nodes, node);
	return r;
}

static int statfs_of(int fd, struct statvfs *ret_statvfs)
{
	return fd < 0 ? fd : fstatvfs(fd, ret_statvfs) < 0 ? -errno : 0;
}

int tree_statfs(struct tree *tree, uint64_t id, struct statvfs *ret_statvfs)
{
	struct node *node = node_get(tree->nodes, id);
	struct scratch *scratch = NULL;
	int r;

	if (node && node->kind == NODE_SCRATCH)
		scratch = node_scratch(tree->nodes, node);
	if (scratch)
		r = statfs_of(scratch_fd(scratch), ret_statvfs);
	else
		r = statfs_of(node && node->kind == NODE_FILE ? node->fd : tree->images_fd, ret_statvfs);
	scratch_put(scratch);
	node_put(tree->nodes, node);
	return r;
}

/* ---- changes */

static int change_file(struct tree *tree, const struct node *node, const struct change *change)
{
	struct name_claim claim = { .device = node->device, .inode = node->inode };
	int r = change->what & CHANGE_SIZE ? tree_protect_due(tree, node) : 0;

	if (r == 0)
		r = name_claim_take(disks_names(tree->disks), &claim);
	if (r != 0)
		return r;
	if (tree_is_protected(tree, node))
		r = -EROFS;
	else if (change->what & CHANGE_SIZE)
		r = disks_check_plain_write(tree->disks, node->fd);
	if (r == 0)
		r = file_change(node->fd, change);
	name_claim_release(&claim);
	return r;
}

static int change_scratch(struct scratch *scratch, const struct change *change)
{
	int fd = scratch_fd(scratch), r = 0;

	if (fd < 0)
		return fd;
	if (change->what & CHANGE_SIZE)
		r = scratch_mark_written(scratch);
	return r < 0 ? r : file_change(fd, change);
}

/*
 * truncate(2) counts as a writer while it runs: no verb may take the scratch for one without
 * writers.
 */
static int change_scratch_as_writer(struct scratch *scratch, const struct change *change)
{
	int r = scratch_open(scratch, true);

	if (r != 0)
		return r;
	r = change_scratch(scratch, change);
	scratch_close(scratch, true);
	return r;
}

static int change_scratch_node(struct tree *tree, struct node *node, uint64_t number, const struct change *change)
{
	struct handle *handle = number ? handle_get(tree->handles, number) : NULL;
	struct scratch *scratch = NULL;
	int r;

	if (handle && handle->scratch && handle->writer) {
		r = change_scratch(handle->scratch, change);
	} else {
		scratch = node_scratch(tree->nodes, node);
		if (!scratch)
			r = -ESTALE;
		else if (change->what & CHANGE_SIZE)
			r = change_scratch_as_writer(scratch, change);
		else
			r = change_scratch(scratch, change);
	}
	scratch_put(scratch);
	handle_put(tree->handles, handle);
	return r;
}

/*
 * The guests' node and the onlookers' of one view are two inodes, so that the kernel lets both be
 * changed at once; what is noted of either is what the view shows in the end. None of this asks the
 * image.
 */
static int label_view_locked(struct tree *tree, struct node *node, const struct change *change)
{
	struct node *twin;
	struct stat st;
	int r;

	view_label(node->view, change->what & CHANGE_OWNER ? change->uid : (uid_t)-1,
		   change->what & CHANGE_OWNER ? change->gid : (gid_t)-1,
		   change->what & CHANGE_MODE ? change->mode : (mode_t)-1);
	r = view_stat(node->view, &st);
	if (r < 0)
		return r;
	node_handover_label(node, st.st_uid, st.st_gid, st.st_mode);
	twin = node_twin(tree->nodes, node);
	if (twin)
		node_handover_label(twin, st.st_uid, st.st_gid, st.st_mode);
	node_put(tree->nodes, twin);
	return 0;
}

/*
 * libvirt changes the owner of every file of a chain. For a view that is remembered and shown, and
 * the real file stays as it is. Whom a view shows as its owner may not be allowed to read the file,
 * and must not make himself so.
 */
static int change_view(struct tree *tree, struct node *node, const struct change *change)
{
	int r = 0;

	if (change->what & (CHANGE_SIZE | CHANGE_TIMES))
		return -EROFS;
	if (change->caller != 0)
		return -EPERM;
	LOCKED (&tree->labels)
		r = label_view_locked(tree, node, change);
	return r;
}

static int change_node(struct tree *tree, struct node *node, uint64_t handle, const struct change *change)
{
	switch (node->kind) {
	case NODE_FILE:
		return change_file(tree, node, change);
	case NODE_SCRATCH:
		return change_scratch_node(tree, node, handle, change);
	case NODE_VIEW:
		return change_view(tree, node, change);
	case NODE_IMAGES_DIRECTORY:
		return -EPERM;
	case NODE_FIXED:
		/*
		 * The shell's "echo command >control" truncates first. For callers other than root
		 * the kernel adds CHANGE_KILL.
		 */
		return node->fixed == FIXED_CONTROL && (change->what & ~(unsigned)CHANGE_KILL) == CHANGE_SIZE ? 0
													      : -EPERM;
	}
	return -EIO;
}

int tree_change(struct tree *tree, uint64_t id, uint64_t handle, const struct change *change, struct stat *ret_stat)
{
	struct node *node = node_get(tree->nodes, id);
	int r;

	if (!node)
		return -ESTALE;
	r = change_node(tree, node, handle, change);
	if (r == 0)
		r = tree_node_attributes(tree, node, ret_stat);
	node_put(tree->nodes, node);
	return r;
}

/*
 * ---- xattrs: a file has those of every namespace or none: libvirt fails if it can read but not
 * write them
 */

static bool scratches_have_xattrs(struct tree *tree, int fd)
{
	int known = atomic_load(&tree->scratch_xattrs);

	if (known == 0) {
		known = file_has_xattrs(fd) ? 1 : -1;
		atomic_store(&tree->scratch_xattrs, known);
	}
	return known > 0;
}

/* The file whose xattrs a request is about; node and scratch are references until target_put(). */
struct target {
	struct node *node;
	struct scratch *scratch;
	int fd;
};

static void target_put(struct tree *tree, struct target *target)
{
	scratch_put(target->scratch);
	node_put(tree->nodes, target->node);
}

static int find_xattr_file(struct tree *tree, struct target *target)
{
	if (target->node->kind == NODE_FILE) {
		target->fd = target->node->fd;
		return tree->xattrs ? 0 : -ENOTSUP;
	}
	if (target->node->kind != NODE_SCRATCH)
		return -ENOTSUP;
	target->scratch = node_scratch(tree->nodes, target->node);
	if (!target->scratch)
		return -ESTALE;
	target->fd = scratch_fd(target->scratch);
	if (target->fd < 0)
		return target->fd;
	return scratches_have_xattrs(tree, target->fd) ? 0 : -ENOTSUP;
}

static int target_get(struct tree *tree, uint64_t id, struct target *ret_target)
{
	struct target target = { .node = node_get(tree->nodes, id), .fd = -1 };
	int r;

	if (!target.node)
		return -ESTALE;
	r = find_xattr_file(tree, &target);
	if (r < 0)
		target_put(tree, &target);
	else
		*ret_target = target;
	return r;
}

/*
 * Where the kernel enforces ACLs, it asks for the ACL of every file and denies access when that
 * fails. So a file that cannot have an ACL says that it has none (ENODATA).
 */
static ssize_t no_xattr(const struct tree *tree, const char *name, int error)
{
	if (error == -ENOTSUP && tree->acls && strncmp(name, "system.posix_acl_", 17) == 0)
		return -ENODATA;
	return error;
}

/* An image's mark (mark.h) is for daemons: nobody sees it here, sets it or takes it away. */
ssize_t tree_get_xattr(struct tree *tree, uint64_t id, const char *name, void *value, size_t size)
{
	struct target target;
	ssize_t r = target_get(tree, id, &target);

	if (r == 0) {
		r = mark_is_xattr(name) ? -ENODATA : file_get_xattr(target.fd, name, value, size);
		target_put(tree, &target);
	}
	return r < 0 ? no_xattr(tree, name, (int)r) : r;
}

/* Into `names`, which has room for `size` bytes, or for none when the size alone is asked. */
static ssize_t list_without_mark(int fd, char *names, size_t size)
{
	CLEANUP(freep) char *all = malloc(XATTR_LIST_MAX);
	ssize_t length = all ? file_list_xattrs(fd, all, XATTR_LIST_MAX) : -ENOMEM;
	size_t used = 0;

	for (const char *name = all; length > 0 && name < all + length; name += strlen(name) + 1) {
		size_t bytes = strlen(name) + 1;

		if (mark_is_xattr(name))
			continue;
		if (size && used + bytes > size)
			return -ERANGE;
		if (size)
			memcpy(names + used, name, bytes);
		used += bytes;
	}
	return length < 0 ? length : (ssize_t)used;
}

ssize_t tree_list_xattrs(struct tree *tree, uint64_t id, char *names, size_t size)
{
	struct target target;
	ssize_t r = target_get(tree, id, &target);

	if (r < 0)
		return r;
	r = list_without_mark(target.fd, names, size);
	target_put(tree, &target);
	return r;
}

static bool has_xattr(const struct target *target, const char *name)
{
	return file_get_xattr(target->fd, name, NULL, 0) >= 0;
}

/*
 * XATTR_CREATE fails where the xattr exists. When the request comes again and its note says that
 * there was none, the xattr that exists was set by this very request.
 */
static int set_xattr_once(struct tree *tree, struct replay *replay, const struct target *target, const char *name,
			  const void *value, size_t size, int flags)
{
	if (flags & XATTR_CREATE) {
		if (replay_recall(tree->handover, replay))
			flags &= ~XATTR_CREATE;
		else if (!has_xattr(target, name))
			replay_note(tree->handover, replay, &(struct handover_request){ .unique = 0 });
	}
	return file_set_xattr(target->fd, name, value, size, flags);
}

static int remove_xattr_once(struct tree *tree, struct replay *replay, const struct target *target, const char *name)
{
	if (!has_xattr(target, name) && replay_recall(tree->handover, replay))
		return 0;
	replay_note(tree->handover, replay, &(struct handover_request){ .unique = 0 });
	return file_remove_xattr(target->fd, name);
}

/* A target that is to be changed is claimed; a protected one is -EROFS. */
static int target_claim(struct tree *tree, uint64_t id, struct target *target, struct name_claim *claim)
{
	int r = target_get(tree, id, target);

	if (r < 0)
		return r;
	*claim = (struct name_claim){ .device = target->node->device, .inode = target->node->inode };
	r = name_claim_take(disks_names(tree->disks), claim);
	if (r == 0 && target->node->kind == NODE_FILE && tree_is_protected(tree, target->node)) {
		name_claim_release(claim);
		r = -EROFS;
	}
	if (r < 0)
		target_put(tree, target);
	return r;
}

static void target_release(struct tree *tree, struct target *target, struct name_claim *claim)
{
	name_claim_release(claim);
	target_put(tree, target);
}

int tree_set_xattr(struct tree *tree, struct replay *replay, uint64_t id, const char *name, const void *value,
		   size_t size, int flags)
{
	struct name_claim claim;
	struct target target;
	int r = mark_is_xattr(name) ? -EPERM : target_claim(tree, id, &target, &claim);

	if (r < 0)
		return r;
	r = set_xattr_once(tree, replay, &target, name, value, size, flags);
	target_release(tree, &target, &claim);
	return r;
}

int tree_remove_xattr(struct tree *tree, struct replay *replay, uint64_t id, const char *name)
{
	struct name_claim claim;
	struct target target;
	int r = mark_is_xattr(name) ? -ENODATA : target_claim(tree, id, &target, &claim);

	if (r < 0)
		return r;
	r = remove_xattr_once(tree, replay, &target, name);
	target_release(tree, &target, &claim);
	return r;
}
