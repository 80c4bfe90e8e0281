/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking up names.
 *
 * What does a name lead to? The first of these that applies: in the root, ".revertfs"
 * (tree_admin.c); for the name of a disk, the scratch that the disk has at this moment, whether or
 * not its image is there; else, and while the name is being protected, the file of that name in the
 * images directory. That file is found with openat(2) of one component beneath a descriptor of its
 * directory, never following a symlink, so no name leads out of the images directory. Disks go by
 * their paths, and a directory's is known from where it was last seen: so where that leads to a
 * disk, the directory must be there still.
 *
 * Not a name but a file is protected. A protected image may be reached by another name, a link that
 * was made outside the mount: there it can be read, and everything that would change it is EROFS.
 *
 * No lock is held here.
 */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beneath.h"
#include "due.h"
#include "log.h"
#include "mountinfo.h"
#include "notifier.h"
#include "tree_internal.h"

#define FOREIGN_INODE (1ULL << 61)

/*
 * A reset may fall between finding a scratch and its fstat(2), and the lookup is repeated; not for
 * ever.
 */
#define LOOKUP_TRIES 100

#define TELL_MS 60000

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

/* ---- places */

static struct place place_of_node(const struct node *node)
{
	switch (node->kind) {
	case NODE_FILE:
		return (struct place){ .kind = PLACE_FILE, .device = node->device };
	case NODE_SCRATCH:
		return (struct place){ .kind = PLACE_DISK,
				       .number = (uintptr_t)node->disk,
				       .is_onlookers = node->for_onlookers };
	case NODE_VIEW:
		return (struct place){ .kind = PLACE_VIEW,
				       .device = node->device,
				       .number = node->serial,
				       .is_onlookers = node->for_onlookers };
	case NODE_IMAGES_DIRECTORY:
	case NODE_FIXED:
		break;
	}
	return (struct place){ .kind = PLACE_ADMIN };
}

static void note_place(void *context, const struct node *node)
{
	struct place *place = context;

	*place = place_of_node(node);
}

struct place tree_place(struct tree *tree, uint64_t id)
{
	struct place place = { .kind = PLACE_ADMIN };

	node_look(tree->nodes, id, note_place, &place);
	return place;
}

static struct place place_in_images(struct tree *tree, struct node *directory, const char *name)
{
	CLEANUP(freep) char *path = NULL;
	struct place place = place_of_node(directory);
	struct disk *disk = NULL;

	if (node_path(tree->nodes, directory, name, &path) == 0 && path)
		disk = disks_find(tree->disks, path);
	if (directory->id == NODE_ROOT && strcmp(name, ADMIN_NAME) == 0)
		place.kind = PLACE_ADMIN;
	else if (disk)
		place = (struct place){ .kind = PLACE_DISK, .number = (uintptr_t)disk };
	disk_put(disk);
	return place;
}

struct place tree_place_of_name(struct tree *tree, uint64_t parent, const char *name, uid_t uid)
{
	struct node *directory = node_get(tree->nodes, parent), *node = NULL;
	struct place place = { .kind = PLACE_ADMIN };

	if (directory && directory->kind == NODE_FILE)
		place = place_in_images(tree, directory, name);
	else if (directory && !(directory->kind == NODE_FIXED && directory->fixed == FIXED_DIRECTORY) &&
		 admin_find(tree, directory, name, &(struct requester){ .uid = uid }, &node) == 0)
		place = place_of_node(node);
	node_put(tree->nodes, node);
	node_put(tree->nodes, directory);
	return place;
}

/* ---- finding */

bool tree_is_protected(struct tree *tree, const struct node *node)
{
	struct disk *disk =
		S_ISREG(node->type) ? disks_find_file(tree->disks, node->fd, node->device, node->inode) : NULL;

	disk_put(disk);
	return disk != NULL;
}

int tree_protect_due(struct tree *tree, const struct node *node)
{
	int r;

	if (!due_is_file(tree->disks, node->device, node->inode))
		return 0;
	r = due_settle_file(tree->disks, node->device, node->inode);
	return r == 0 && tree_is_protected(tree, node) ? -ESTALE : r;
}

/* Once a minute. */
static bool tells_of_server(struct tree *tree)
{
	uint64_t last = atomic_load(&tree->told_of_server), now = monotonic_ms();

	return (!last || now - last > TELL_MS) && atomic_compare_exchange_strong(&tree->told_of_server, &last, now);
}

/*
 * A thread that waits for an answer of a FUSE server cannot be killed once the request has been
 * read, so a user who serves one could keep the daemon from ending, and the next from starting.
 * Nothing there has been waited for yet; a filesystem that is let in is not asked about again.
 */
static int check_server(struct tree *tree, const struct node *directory, const char *name, int fd,
			const struct stat *st)
{
	uid_t server;
	int r;

	if (st->st_dev == directory->device || node_is_known(tree->nodes, st->st_dev, st->st_ino))
		return 0;
	r = mountinfo_server_of(fd, &server);
	if (r < 0)
		return r;
	if (server && tells_of_server(tree))
		log_warning(
			"'%s' is a FUSE filesystem that user %u serves: it is refused (EACCES), since its server could keep the daemon from ending",
			name, server);
	return server ? -EACCES : 0;
}

int tree_node_of_file(struct tree *tree, struct node *directory, const char *name, int fd, const struct stat *st,
		      uid_t uid, struct node **ret_node)
{
	struct node *node;
	int r = check_server(tree, directory, name, fd, st);

	if (r < 0) {
		close(fd);
		return r;
	}
	r = node_of_file(tree->nodes, fd, st, uid, NULL, &node);
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

int tree_check_place(const struct tree *tree, const struct node *directory, const char *path)
{
	const char *slash = strrchr(path, '/');
	CLEANUP(freep) char *above = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	CLEANUP(close_fdp) int fd = above ? io_open_beneath(tree->images_fd, above, O_PATH | O_DIRECTORY) : -ENOMEM;
	struct stat st;

	if (fd < 0 || file_look(fd, "", &st) < 0)
		return -ESTALE;
	return st.st_dev == directory->device && st.st_ino == directory->inode ? 0 : -ESTALE;
}

/* -ENOENT when the name is no disk's; -EIO when its disk has failed. */
static int find_scratch(struct tree *tree, const struct node *directory, const char *path, const struct requester *who,
			struct node **ret_node)
{
	struct disk *disk = path ? disks_find(tree->disks, path) : NULL;
	struct scratch *scratch = NULL;
	int r = disk ? tree_check_place(tree, directory, path) : -ENOENT;

	if (r == 0)
		r = disk_served(disk, &scratch);
	disk_put(disk);
	return r < 0 ? r : node_of_scratch(tree->nodes, scratch, is_onlooker_of_scratch(scratch, who), NULL, ret_node);
}

static int find_file(struct tree *tree, struct node *directory, const char *name, const char *path, uid_t uid,
		     struct node **ret_node)
{
	struct stat st;
	int fd = file_find(directory->fd, name, &st);

	if (fd >= 0 && S_ISREG(st.st_mode) && path && due_is_name(tree->disks, path) &&
	    tree_check_place(tree, directory, path) == 0)
		due_found(tree->disks, path, &st);
	return fd < 0 ? fd : tree_node_of_file(tree, directory, name, fd, &st, uid, ret_node);
}

/* Not asked where `ret_device` is NULL. */
static bool leads_elsewhere(const struct node *directory, const struct node *node, dev_t *ret_device)
{
	if (!ret_device || directory->kind != NODE_FILE || node->kind != NODE_FILE)
		return false;
	*ret_device = node->device;
	return node->device != directory->device;
}

int tree_find(struct tree *tree, struct node *directory, const char *name, const struct requester *who,
	      struct node **ret_node)
{
	CLEANUP(freep) char *path = NULL;
	int r;

	if (directory->kind != NODE_FILE)
		return admin_find(tree, directory, name, who, ret_node);
	if (!S_ISDIR(directory->type))
		return -ENOTDIR;
	if (directory->id == NODE_ROOT && strcmp(name, ADMIN_NAME) == 0)
		return node_of_fixed(tree->nodes, FIXED_DIRECTORY, 0, who->uid, NULL, ret_node);
	r = node_path(tree->nodes, directory, name, &path);
	if (r != 0)
		return r;
	r = find_scratch(tree, directory, path, who, ret_node);
	return r == -ENOENT ? find_file(tree, directory, name, path, who->uid, ret_node) : r;
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

int tree_look_up(struct tree *tree, uint64_t parent, const char *name, const struct requester *who,
		 struct entry *ret_entry, dev_t *ret_device)
{
	struct node *directory = node_get(tree->nodes, parent);
	bool was_reset = true, waited = false;
	int r = -ESTALE;

	if (!directory)
		return -ESTALE;
	for (int i = 0; i < LOOKUP_TRIES && was_reset; i++) {
		struct node *node;

		r = tree_find(tree, directory, name, who, &node);
		if (r == -ENFILE && !waited && node_has_room(tree->nodes, who->uid) == 0) {
			waited = true;
			continue;
		}
		if (r != 0)
			break;
		if (leads_elsewhere(directory, node, ret_device))
			r = TREE_ELSEWHERE;
		else
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

/* ---- the tree itself */

static void close_scratch(struct handle *handle)
{
	if (handle->onlooker.among)
		scratch_look_away(handle->scratch, &handle->onlooker);
	else
		scratch_close(handle->scratch, handle->writer);
	scratch_put(handle->scratch);
}

/* For the table of handles: release what a handle holds, after the kernel has closed it. */
static void release_handle(void *context, struct handle *handle)
{
	struct tree *tree = context;
	struct handover_node *noted = handle->node->noted;

	if (handle->entered)
		passthrough_leave(&tree->passthrough, &handle->node->passthrough, noted ? &noted->backing_id : NULL);
	node_closed(tree->nodes, handle->node);
	if (handle->kind == HANDLE_SCRATCH) {
		close_scratch(handle);
	} else if (handle->kind == HANDLE_VIEW) {
		view_close(handle->view, handle->fd, handle->onlooker.among ? &handle->onlooker : NULL);
	} else if (handle->fd >= 0) {
		close(handle->fd);
	}
	node_put(tree->nodes, handle->node);
}

bool tree_has_acls(const struct tree *tree)
{
	return tree->acls;
}

int tree_connect(struct tree *tree, int fuse_fd, bool passthrough)
{
	passthrough_allow(&tree->passthrough, passthrough ? fuse_fd : -1);
	return notifier_start(tree->nodes, fuse_fd, &tree->notifier);
}

void tree_disconnect(struct tree *tree)
{
	notifier_stop(steal_pointer(&tree->notifier));
	passthrough_allow(&tree->passthrough, -1);
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
	pthread_mutex_init(&tree->labels, NULL);
	passthrough_init(&tree->passthrough, &handover_mount(handover)->last_backing_id);
	tree->handover = handover;
	tree->limits = limits_now();
	atomic_init(&tree->control_serial, handover_first_number(handover));
	tree->options = options;
	tree->images_fd = images_fd;
	tree->disks = disks;
	r = file_stat(images_fd, &st);
	if (r == 0)
		r = node_table_new(images_fd, handover, tree->limits.nodes, tree->limits.root_nodes, &tree->nodes);
	if (r == 0)
		r = handle_table_new(release_handle, tree, handover, &tree->limits, &tree->handles);
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

bool tree_left_behind(const struct tree *tree)
{
	return tree && tree->left_behind;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	tree_disconnect(tree);
	handle_table_free(tree->handles);
	node_table_free(tree->nodes);
	passthrough_destroy(&tree->passthrough);
	pthread_mutex_destroy(&tree->labels);
	free(tree);
}
