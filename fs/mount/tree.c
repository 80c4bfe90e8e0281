/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking up names; attributes and xattrs of the files that they lead to.
 *
 * What does a name lead to? The first of these that applies: in the root, ".revertfs"
 * (tree_admin.c); for the name of a disk, the scratch that the disk has at this moment, whether or
 * not its image is there; else, the file of that name in the images directory. That file is found
 * with openat(2) of one component beneath a descriptor of its directory, never following a symlink,
 * so no name leads out of the images directory.
 *
 * Not a name but a file is protected. A protected image may be reached by another name, a link that
 * was made outside the mount: there it can be read, and everything that would change it is EROFS.
 *
 * No lock is held here but one: files are changed under the lock on names (disks_lock_names()), so
 * that they do not become protected meanwhile.
 */
#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "node_handover.h"
#include "notification.h"
#include "tree_internal.h"

#define FOREIGN_INODE (1ULL << 61)

/*
 * A reset may fall between finding a scratch and its fstat(2), and the lookup is repeated; not for
 * ever.
 */
#define LOOKUP_TRIES 100

/* ---- numbers */

/*
 * Inodes of each other filesystem that is mounted in the images directory get a range of their own.
 */
uint64_t tree_inode(const struct tree *tree, dev_t device, ino_t inode)
{
	if (device == tree->device)
		return inode;
	return (FOREIGN_INODE | (uint64_t)(device & 0xfffff) << 40) ^ inode;
}

/* ---- finding */

bool tree_is_protected(struct tree *tree, const struct node *node)
{
	struct disk *disk = S_ISREG(node->type) ? disks_find_inode(tree->disks, node->device, node->inode) : NULL;

	disk_put(disk);
	return disk != NULL;
}

int tree_node_of_file(struct tree *tree, struct node *directory, const char *name, int fd, const struct stat *st,
		      struct node **ret_node)
{
	struct node *node;
	int r = node_of_file(tree->nodes, fd, st, NULL, &node);

	if (r < 0)
		return r;
	r = node_seen(tree->nodes, node, directory, name, tree_is_protected(tree, node));
	if (r < 0) {
		node_put(tree->nodes, node);
		return r;
	}
	*ret_node = node;
	return 0;
}

/* Consumes the reference on the disk. */
static int find_scratch(struct tree *tree, struct disk *disk, struct node **ret_node)
{
	struct scratch *scratch = disk_scratch(disk);

	disk_put(disk);
	return scratch ? node_of_scratch(tree->nodes, scratch, NULL, ret_node) : -EIO;
}

static int find_file(struct tree *tree, struct node *directory, const char *name, struct node **ret_node)
{
	struct stat st;
	int fd = file_find(directory->fd, name, &st);

	return fd < 0 ? fd : tree_node_of_file(tree, directory, name, fd, &st, ret_node);
}

int tree_find(struct tree *tree, struct node *directory, const char *name, struct node **ret_node)
{
	CLEANUP(freep) char *path = NULL;
	struct disk *disk;

	if (directory->kind != NODE_FILE)
		return admin_find(tree, directory, name, ret_node);
	if (!S_ISDIR(directory->type))
		return -ENOTDIR;
	if (directory->id == NODE_ROOT && strcmp(name, ADMIN_NAME) == 0)
		return node_of_fixed(tree->nodes, FIXED_DIRECTORY, 0, NULL, ret_node);
	path = node_path(tree->nodes, directory, name);
	if (!path)
		return -ENOMEM;
	disk = disks_find(tree->disks, path);
	if (disk)
		return find_scratch(tree, disk, ret_node);
	return find_file(tree, directory, name, ret_node);
}

int tree_tell(struct tree *tree, struct node *node, struct entry *ret_entry)
{
	int r = tree_node_attributes(tree, node, &ret_entry->attributes);

	if (r < 0)
		return r;
	node_looked_up(tree->nodes, node);
	ret_entry->id = node->id;
	ret_entry->name_stays = node->kind == NODE_FIXED && node->fixed == FIXED_DIRECTORY;
	ret_entry->attributes_stay =
		ret_entry->name_stays || (node->kind == NODE_FIXED && node->fixed == FIXED_CONTROL);
	return 0;
}

int tree_look_up(struct tree *tree, uint64_t parent, const char *name, struct entry *ret_entry)
{
	struct node *directory = node_get(tree->nodes, parent);
	bool was_reset = true;
	int r = -ESTALE;

	if (!directory)
		return -ESTALE;
	for (int i = 0; i < LOOKUP_TRIES && was_reset; i++) {
		struct node *node;

		r = tree_find(tree, directory, name, &node);
		if (r < 0)
			break;
		r = tree_tell(tree, node, ret_entry);
		was_reset = r == -ESTALE && node->kind == NODE_SCRATCH;
		node_put(tree->nodes, node);
	}
	node_put(tree->nodes, directory);
	return r;
}

void tree_forget(struct tree *tree, uint64_t id, uint64_t lookups)
{
	node_forget(tree->nodes, id, lookups);
}

/* ---- attributes */

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
		r = file_stat(node->fd, ret_stat);
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
	int r;

	disks_lock_names(tree->disks);
	r = tree_is_protected(tree, node) ? -EROFS : file_change(node->fd, change);
	disks_unlock_names(tree->disks);
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
static int change_scratch_as_writer(struct scratch *scratch, const struct change *change, bool nonblock)
{
	int r = tree_or_would_wait(scratch_open(scratch, true, nonblock), nonblock);

	if (r != 0)
		return r;
	r = change_scratch(scratch, change);
	scratch_close(scratch, true);
	return r;
}

static int change_scratch_node(struct tree *tree, struct node *node, uint64_t number, const struct change *change,
			       bool nonblock)
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
			r = change_scratch_as_writer(scratch, change, nonblock);
		else
			r = change_scratch(scratch, change);
	}
	scratch_put(scratch);
	handle_put(tree->handles, handle);
	return r;
}

/*
 * libvirt changes the owner of every file of a chain. For a view that is remembered and shown, and
 * the real file stays as it is.
 */
static int change_view(struct node *node, const struct change *change)
{
	struct stat st;
	int r;

	if (change->what & (CHANGE_SIZE | CHANGE_TIMES))
		return -EROFS;
	view_label(node->view, change->what & CHANGE_OWNER ? change->uid : (uid_t)-1,
		   change->what & CHANGE_OWNER ? change->gid : (gid_t)-1,
		   change->what & CHANGE_MODE ? change->mode : (mode_t)-1);
	r = view_stat(node->view, &st);
	if (r == 0)
		node_handover_label(node, st.st_uid, st.st_gid, st.st_mode);
	return r;
}

static int change_node(struct tree *tree, struct node *node, uint64_t handle, const struct change *change,
		       bool nonblock)
{
	switch (node->kind) {
	case NODE_FILE:
		return change_file(tree, node, change);
	case NODE_SCRATCH:
		return change_scratch_node(tree, node, handle, change, nonblock);
	case NODE_VIEW:
		return change_view(node, change);
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

int tree_change(struct tree *tree, uint64_t id, uint64_t handle, const struct change *change, bool nonblock,
		struct stat *ret_stat)
{
	struct node *node = node_get(tree->nodes, id);
	int r;

	if (!node)
		return -ESTALE;
	r = change_node(tree, node, handle, change, nonblock);
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

ssize_t tree_get_xattr(struct tree *tree, uint64_t id, const char *name, void *value, size_t size)
{
	struct target target;
	ssize_t r = target_get(tree, id, &target);

	if (r == 0) {
		r = file_get_xattr(target.fd, name, value, size);
		target_put(tree, &target);
	}
	return r < 0 ? no_xattr(tree, name, (int)r) : r;
}

ssize_t tree_list_xattrs(struct tree *tree, uint64_t id, char *names, size_t size)
{
	struct target target;
	ssize_t r = target_get(tree, id, &target);

	if (r < 0)
		return r;
	r = file_list_xattrs(target.fd, names, size);
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

static bool is_protected_target(struct tree *tree, const struct target *target)
{
	return target->node->kind == NODE_FILE && tree_is_protected(tree, target->node);
}

int tree_set_xattr(struct tree *tree, struct replay *replay, uint64_t id, const char *name, const void *value,
		   size_t size, int flags)
{
	struct target target;
	int r = target_get(tree, id, &target);

	if (r < 0)
		return r;
	disks_lock_names(tree->disks);
	r = is_protected_target(tree, &target) ? -EROFS
					       : set_xattr_once(tree, replay, &target, name, value, size, flags);
	disks_unlock_names(tree->disks);
	target_put(tree, &target);
	return r;
}

int tree_remove_xattr(struct tree *tree, struct replay *replay, uint64_t id, const char *name)
{
	struct target target;
	int r = target_get(tree, id, &target);

	if (r < 0)
		return r;
	disks_lock_names(tree->disks);
	r = is_protected_target(tree, &target) ? -EROFS : remove_xattr_once(tree, replay, &target, name);
	disks_unlock_names(tree->disks);
	target_put(tree, &target);
	return r;
}

/* ---- the tree itself */

/* For the table of handles: release what a handle holds, after the kernel has closed it. */
static void release_handle(void *context, struct handle *handle)
{
	struct tree *tree = context;
	struct handover_node *noted = handle->node->noted;

	if (handle->entered)
		passthrough_leave(&tree->passthrough, &handle->node->passthrough, noted ? &noted->backing_id : NULL);
	node_closed(tree->nodes, handle->node);
	if (handle->kind == HANDLE_SCRATCH) {
		scratch_close(handle->scratch, handle->writer);
		scratch_put(handle->scratch);
	} else if (handle->kind == HANDLE_VIEW) {
		view_close(handle->view, handle->fd);
	} else if (handle->fd >= 0) {
		close(handle->fd);
	}
	node_put(tree->nodes, handle->node);
}

bool tree_has_acls(const struct tree *tree)
{
	return tree->acls;
}

static bool kernel_knows(void *context, uint64_t id)
{
	const struct tree *tree = context;

	return tree->fuse_fd < 0 || notification_knows(tree->fuse_fd, id);
}

void tree_connect(struct tree *tree, int fuse_fd, bool passthrough)
{
	tree->fuse_fd = fuse_fd;
	passthrough_allow(&tree->passthrough, passthrough ? fuse_fd : -1);
	node_table_connect(tree->nodes, kernel_knows, tree);
}

void tree_settle(struct tree *tree, struct replay *replay)
{
	replay_settle(tree->handover, replay);
}

int tree_new(const struct options *options, int images_fd, struct disks *disks, struct handover *handover,
	     struct tree **ret_tree)
{
	struct tree *tree = calloc(1, sizeof(*tree));
	struct stat st;
	int r;

	if (!tree)
		return -ENOMEM;
	passthrough_init(&tree->passthrough, &handover_mount(handover)->last_backing_id);
	tree->handover = handover;
	tree->fuse_fd = -1;
	atomic_init(&tree->control_serial, handover_first_number(handover));
	tree->options = options;
	tree->images_fd = images_fd;
	tree->disks = disks;
	r = file_stat(images_fd, &st);
	if (r == 0)
		r = node_table_new(images_fd, handover, &tree->nodes);
	if (r == 0)
		r = handle_table_new(release_handle, tree, handover, &tree->handles);
	if (r < 0) {
		tree_free(tree);
		return r;
	}
	tree->device = st.st_dev;
	tree->xattrs = file_has_xattrs(images_fd);
	tree->acls = tree->xattrs && file_has_acls(images_fd);
	*ret_tree = tree;
	return 0;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	handle_table_free(tree->handles);
	node_table_free(tree->nodes);
	passthrough_destroy(&tree->passthrough);
	free(tree);
}
