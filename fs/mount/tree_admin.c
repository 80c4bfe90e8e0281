/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * .revertfs: a directory in the mount's root that no filesystem holds and no listing shows.
 *
 *   control            commands are written to it; the same descriptor reads the answer
 *   status[.json]      rendered when it is opened, so that one reader sees one moment
 *   images/NAME        views of real images, by their disks' names; its directories hold nothing
 *                      but disks
 *   layers/            views of sealed layers and of images, by the names in qcow2 headers
 *                      (model/layer_header.h); those of earlier builds are found and not listed
 *
 * Nothing here can be created, removed or renamed. Opening and reading have no effect, since a
 * storage pool's refresh opens whatever it finds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lock.h"
#include "status.h"
#include "tree_internal.h"
#include "util.h"

static const struct admin_file {
	const char *name;
	enum node_fixed fixed;
} files[] = {
	{ "control", FIXED_CONTROL },
	{ "status", FIXED_STATUS },
	{ "status.json", FIXED_STATUS_JSON },
	{ "layers", FIXED_LAYERS },
};

#define IMAGES_NAME "images"

bool admin_is_directory(const struct node *node)
{
	return node->kind == NODE_IMAGES_DIRECTORY ||
	       (node->kind == NODE_FIXED && (node->fixed == FIXED_DIRECTORY || node->fixed == FIXED_LAYERS));
}

/* ---- names */

/*
 * The kernel holds an inode's lock during a write, and a write to the control file lasts as long as
 * its command. So that commands do not wait for one another, each lookup of the control file finds
 * another inode.
 */
static uint64_t serial_of(struct tree *tree, enum node_fixed fixed)
{
	return fixed == FIXED_CONTROL ? atomic_fetch_add(&tree->control_serial, 1) + 1 : 0;
}

static int find_fixed(struct tree *tree, const char *name, uid_t uid, struct node **ret_node)
{
	if (strcmp(name, IMAGES_NAME) == 0)
		return node_of_views(tree->nodes, "", NULL, ret_node);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (strcmp(files[i].name, name) == 0)
			return node_of_fixed(tree->nodes, files[i].fixed, serial_of(tree, files[i].fixed), uid, NULL,
					     ret_node);
	}
	return -ENOENT;
}

static int find_view(struct tree *tree, struct view *view, const struct requester *who, struct node **ret_node)
{
	return node_of_view(tree->nodes, view, is_onlooker_of_view(view, who), NULL, ret_node);
}

static int find_layer(struct tree *tree, const char *name, const struct requester *who, struct node **ret_node)
{
	struct view *view = view_of_name(tree->disks, name);

	return view ? find_view(tree, view, who, ret_node) : -ENOENT;
}

static char *join(const char *directory, const char *name)
{
	return format_text("%s%s%s", directory, *directory ? "/" : "", name);
}

static int find_image(struct tree *tree, const char *directory, const char *name, const struct requester *who,
		      struct node **ret_node)
{
	CLEANUP(freep) char *path = join(directory, name);
	struct view *view;

	if (!path)
		return -ENOMEM;
	view = view_of_image(tree->disks, path);
	if (view)
		return find_view(tree, view, who, ret_node);
	if (disks_any_beneath(tree->disks, path))
		return node_of_views(tree->nodes, path, NULL, ret_node);
	return -ENOENT;
}

int admin_find(struct tree *tree, struct node *directory, const char *name, const struct requester *who,
	       struct node **ret_node)
{
	if (directory->kind == NODE_IMAGES_DIRECTORY)
		return find_image(tree, directory->path, name, who, ret_node);
	if (directory->kind == NODE_FIXED && directory->fixed == FIXED_DIRECTORY)
		return find_fixed(tree, name, who->uid, ret_node);
	if (directory->kind == NODE_FIXED && directory->fixed == FIXED_LAYERS)
		return find_layer(tree, name, who, ret_node);
	return -ENOTDIR;
}

/*
 * QEMU walks through to the backing files that headers name, and need not list what there is. The
 * views themselves say who may read them.
 */
static mode_t directory_mode(const struct tree *tree)
{
	return S_IFDIR | 0111 | S_IRUSR | S_IWUSR | tree->options->status_mode;
}

static mode_t fixed_mode(const struct tree *tree, enum node_fixed fixed)
{
	switch (fixed) {
	case FIXED_CONTROL:
		return S_IFREG | (tree->options->group ? 0660 : 0600);
	case FIXED_STATUS:
	case FIXED_STATUS_JSON:
		return S_IFREG | tree->options->status_mode;
	case FIXED_LAYERS:
		return directory_mode(tree);
	case FIXED_DIRECTORY:
		break;
	}
	return S_IFDIR | 0755;
}

static uint64_t inode_of(const struct node *node)
{
	if (node->kind == NODE_FIXED)
		return node_own_inode(NODE_FIXED, node->fixed);
	return node_own_inode(NODE_IMAGES_DIRECTORY, text_hash(node->path) & 0xffffffffffULL);
}

void admin_attributes(struct tree *tree, const struct node *node, struct stat *ret_stat)
{
	struct stat st = { .st_nlink = 1, .st_blksize = 4096 };

	st.st_ino = inode_of(node);
	st.st_mode = node->kind == NODE_FIXED ? fixed_mode(tree, node->fixed) : directory_mode(tree);
	if (node->kind != NODE_FIXED || node->fixed != FIXED_DIRECTORY)
		st.st_gid = tree->options->group;
	if (S_ISDIR(st.st_mode))
		st.st_nlink = 2;
	clock_gettime(CLOCK_REALTIME, &st.st_mtim);
	st.st_atim = st.st_ctim = st.st_mtim;
	*ret_stat = st;
}

/* ---- listings */

struct lister {
	struct listing *listing;
	int result;
};

static bool list_image(void *context, const char *component, bool is_directory)
{
	struct lister *lister = context;

	lister->result = listing_add(lister->listing, component, 0, is_directory ? S_IFDIR : S_IFREG);
	return lister->result == 0;
}

static bool list_layer(void *context, const char *name)
{
	return list_image(context, name, false);
}

static int list_fixed(struct tree *tree, struct listing *listing)
{
	int r = listing_add(listing, IMAGES_NAME, 0, S_IFDIR);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
		r = listing_add(listing, files[i].name, 0, fixed_mode(tree, files[i].fixed) & S_IFMT);
	return r;
}

int admin_list(struct tree *tree, const struct node *directory, struct listing *listing)
{
	struct lister lister = { .listing = listing };

	if (directory->kind == NODE_IMAGES_DIRECTORY) {
		disks_visit_names(tree->disks, directory->path, list_image, &lister);
		listing_sort(listing);
	} else if (directory->fixed == FIXED_LAYERS) {
		views_visit_names(tree->disks, list_layer, &lister);
	} else {
		lister.result = list_fixed(tree, listing);
	}
	return lister.result;
}

/* ---- files */

static char *render_json(struct tree *tree)
{
	const struct mount_facts facts = {
		.passthrough = passthrough_is_allowed(&tree->passthrough),
		.restarts = handover_mount(tree->handover)->restarts,
		.nodes = node_count(tree->nodes),
		.handles = handle_count(tree->handles),
	};

	return status_json(tree->disks, &facts);
}

static char *render(struct tree *tree, enum node_fixed fixed, int flags)
{
	switch (fixed) {
	case FIXED_CONTROL:
		return strdup((flags & O_ACCMODE) == O_RDONLY ? control_help() : "");
	case FIXED_STATUS:
		return status_table(tree->disks);
	case FIXED_STATUS_JSON:
		return render_json(tree);
	default:
		return NULL;
	}
}

int admin_open(struct tree *tree, const struct node *node, uid_t uid, int flags, struct handle **ret_handle)
{
	bool is_control = node->fixed == FIXED_CONTROL;
	struct handle *handle;
	int r;

	if (admin_is_directory(node))
		return -EISDIR;
	if (!is_control && (flags & O_ACCMODE) != O_RDONLY)
		return -EPERM;
	r = handle_new(tree->handles, is_control ? HANDLE_CONTROL : HANDLE_TEXT, uid, NULL, false, &handle);
	if (r < 0)
		return r;
	handle->flags = flags;
	r = handle_set_text(tree->handles, handle, render(tree, node->fixed, flags), false);
	if (r < 0)
		handle_free(tree->handles, handle);
	else
		*ret_handle = handle;
	return r;
}

/*
 * A status is rendered again, so its reader goes on with a newer one. An answer of the control file
 * was written down, so it is the same.
 */
int admin_reopen(struct tree *tree, const struct node *node, struct handle *handle)
{
	if (admin_is_directory(node))
		return 0;
	if (node->kind == NODE_FIXED && node->fixed == FIXED_CONTROL && handle_recall_answer(tree->handles, handle))
		return 0;
	handle_set_text(tree->handles, handle, render(tree, node->fixed, handle->flags), true);
	return handle->text ? 0 : -ENOMEM;
}

/*
 * At which offset of the file does the answer begin? A caller that writes and then reads goes on
 * behind what it wrote; one that seeks or uses pread(2) begins at 0. The first read after the write
 * decides. Any read below the answer's start means that it begins at 0.
 */
static off_t text_start_locked(struct handle *handle, off_t offset)
{
	if (offset < handle->text_start || (handle->text_start_is_open && offset != handle->text_start))
		handle->text_start = 0;
	handle->text_start_is_open = false;
	return handle->text_start;
}

int admin_read(struct handle *handle, size_t size, off_t offset, struct piece *ret_piece)
{
	struct piece piece = { .fd = -1 };

	LOCKED (&handle->lock) {
		off_t at = offset - text_start_locked(handle, offset);
		size_t left = (uint64_t)at < handle->text_length ? handle->text_length - (size_t)at : 0;

		piece.length = left < size ? left : size;
		piece.bytes = piece.length ? malloc(piece.length) : NULL;
		if (piece.bytes)
			memcpy(piece.bytes, handle->text + at, piece.length);
	}
	if (piece.length && !piece.bytes)
		return -ENOMEM;
	*ret_piece = piece;
	return 0;
}

static void keep_answer(struct handle_table *table, struct handle *handle, char *answer, off_t start)
{
	LOCKED (&handle->lock) {
		handle_set_text(table, handle, answer, true);
		handle->text_start = start;
		handle->text_start_is_open = true;
		handle_note_answer(table, handle);
	}
}

static struct handle *get_control(struct tree *tree, uint64_t number)
{
	struct handle *handle = handle_get(tree->handles, number);

	if (handle && handle->kind == HANDLE_CONTROL)
		return handle;
	handle_put(tree->handles, handle);
	return NULL;
}

bool tree_takes_commands(struct tree *tree, uint64_t number, uid_t *ret_opener)
{
	struct handle *handle = get_control(tree, number);

	if (handle)
		*ret_opener = handle->opener.uid;
	handle_put(tree->handles, handle);
	return handle != NULL;
}

/*
 * Commands that were being done when revertfs was upgraded come again by a handle whose opener was
 * not noted. The daemon that they were written to has looked at who wrote them.
 */
static bool began_before_upgrade(struct tree *tree, struct handle *handle, const struct replay *replay)
{
	const struct handover_header *mount = handover_mount(tree->handover);

	if (handle->opener.uid != HANDOVER_UNKNOWN || !replay || !replay->again)
		return false;
	if (mount->converted != mount->restarts)
		return handle_has_vouched(tree->handles, handle, replay->unique);
	handle_vouch(tree->handles, handle, replay->unique);
	return true;
}

/* Whose rights the commands have; -EPERM with a sentence where nobody's. */
static int identify(struct tree *tree, struct handle *handle, const struct requester *writer, struct caller *caller,
		    struct sentence *error)
{
	bool needs_groups = writer->uid && writer->uid != handle->opener.uid;

	caller->pid = writer->pid;
	caller->who = (struct identity){ .uid = writer->uid, .gid = writer->gid };
	if (needs_groups)
		caller->who = identity_of(writer->uid, writer->gid, writer->pid);
	if (began_before_upgrade(tree, handle, caller->replay))
		return 0;
	return identity_lesser(&handle->opener, &caller->who, tree->options->group, &caller->who, error);
}

static int run(struct tree *tree, struct handle *handle, const struct requester *writer, struct caller *caller,
	       const char *text, size_t length, char **ret_answer)
{
	struct sentence error = { "" };
	int r = identify(tree, handle, writer, caller, &error);

	if (r < 0)
		return control_refuse(caller, r, &error, ret_answer);
	return length > CONTROL_WRITE_MAX ? -EINVAL : control_run(tree->disks, caller, text, length, ret_answer);
}

int tree_control(struct tree *tree, uint64_t number, const struct requester *writer, struct caller *caller,
		 const char *text, size_t length, off_t offset)
{
	struct handle *handle = get_control(tree, number);
	char *answer = NULL;
	int r;

	if (!handle)
		return -EBADF;
	r = run(tree, handle, writer, caller, text, length, &answer);
	/* A write that fails does not move the caller's file position. */
	keep_answer(tree->handles, handle, answer, r < 0 ? offset : offset + (off_t)length);
	handle_put(tree->handles, handle);
	return r;
}
