/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restoring the nodes and handles that earlier daemons wrote down (handover.h).
 *
 *   1. nodes      each gets its old number. Its file is found by its file handle or, in a
 *                 filesystem without them, by the name under which it was last seen. A node whose
 *                 file cannot be found is dropped: the kernel gets -ESTALE and looks the name up
 *   2. handles    their files are opened again, and counted as open on their scratch or view
 *   3. backing    backing files stay registered under their ids; those that no descriptor uses are
 *                 released
 *   4. the rest   stored descriptors that were not needed are dropped. Nodes that the kernel forgot
 *                 while no daemon heard it are found out by the notifier, and dropped by and by
 *
 * No path in the mount may be used here: nobody answers requests yet, so the access would hang.
 * For the same reason what lies on another filesystem than the images', which may hang, is not
 * waited for long (reach.h); what cannot be had by then is lost. Nothing waits for a fold, since
 * none runs yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "reach.h"
#include "tree_internal.h"

/* Of a file that is found by its name, the directory is restored first, which mostly has been. */
#define DEPTH_MAX 64

struct restore {
	struct tree *tree;
	struct fdstore *store;
	struct handover_node **nodes; /* sorted by their numbers */
	size_t count, room;
	unsigned depth; /* of restore_node(), which calls itself */
	unsigned lost;  /* handles that could not be restored */
	struct reach *reach;
};

/* ---- finding files again */

static bool is_the_same(const struct handover_node *noted, const struct stat *st)
{
	return st->st_dev == noted->device && st->st_ino == noted->inode;
}

/* The descriptor, if it is the file that was written down; else it is consumed. */
static int check_file(const struct handover_node *noted, int fd, struct stat *ret_stat)
{
	int r = fd < 0 ? fd : file_look(fd, "", ret_stat);

	if (r == 0 && is_the_same(noted, ret_stat))
		return fd;
	close_fdp(&fd);
	return r < 0 ? r : -ESTALE;
}

static int take_stored(struct restore *restore, const struct handover_node *noted)
{
	CLEANUP(freep) char *name = node_store_name(noted->id);

	return name ? fdstore_take(restore->store, name) : -ENOMEM;
}

static struct node *restore_node(struct restore *restore, struct handover_node *noted);

static int compare_ids(const void *a, const void *b)
{
	const struct handover_node *const *x = a, *const *y = b;

	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

/* The node of this number, with a reference; it is restored now if it has not been. Or NULL. */
static struct node *node_of_number(struct restore *restore, uint64_t id)
{
	const struct handover_node like = { .id = id }, *key = &like;
	struct node *node = node_get(restore->tree->nodes, id);
	struct handover_node **found;

	if (node || restore->depth == DEPTH_MAX)
		return node;
	found = bsearch(&key, restore->nodes, restore->count, sizeof(key), compare_ids);
	restore->depth++;
	node = found && *found ? restore_node(restore, *found) : NULL;
	restore->depth--;
	return node;
}

static bool is_component(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int find_by_name(struct restore *restore, const struct handover_node *noted, struct stat *ret_stat)
{
	struct node *parent = noted->parent ? node_of_number(restore, noted->parent) : NULL;
	int fd = -ESTALE;

	if (parent && parent->kind == NODE_FILE && is_component(noted->name)) {
		dev_t device = parent->device == restore->tree->device ? noted->device : parent->device;

		fd = check_file(noted, reach_name(restore->reach, device, parent->fd, noted->name, 0), ret_stat);
	}
	node_put(restore->tree->nodes, parent);
	return fd;
}

/*
 * An O_PATH descriptor on the file of a node. *ret_stored says that it came from the descriptor
 * store.
 */
static int find_file(struct restore *restore, const struct handover_node *noted, struct stat *ret_stat,
		     bool *ret_stored)
{
	struct tree *tree = restore->tree;
	int fd = check_file(noted, take_stored(restore, noted), ret_stat);

	*ret_stored = fd >= 0;
	if (fd < 0 && noted->device == tree->device)
		fd = check_file(noted, handover_file_open(&noted->file, tree->images_fd), ret_stat);
	/*
	 * A file that has a file handle and is not found by it is gone: what has its name now is
	 * another.
	 */
	if (fd < 0 && (noted->device != tree->device || !noted->file.length))
		fd = find_by_name(restore, noted, ret_stat);
	return fd;
}

/*
 * ---- where a directory lies: found from the directory itself, since it may have been moved
 * without being written down
 */

/* Whether the name leads to the directory. */
static bool leads_to(struct restore *restore, dev_t device, int above, const char *name, const struct node *node)
{
	CLEANUP(close_fdp) int fd = is_component(name) ? reach_name(restore->reach, device, above, name, 0) : -ENOENT;
	struct stat st;

	return fd >= 0 && file_look(fd, "", &st) == 0 && st.st_dev == node->device && st.st_ino == node->inode;
}

/* The name that was noted, or what the kernel says, as far as a path goes. */
static int find_own_name(struct restore *restore, dev_t device, int above, const struct node *node,
			 char name[NAME_MAX + 1])
{
	CLEANUP(freep) char *path = calloc(1, PATH_MAX);
	char link[32];

	if (!path)
		return -ENOMEM;
	snprintf(name, NAME_MAX + 1, "%s", node->noted ? node->noted->name : "");
	if (leads_to(restore, device, above, name, node))
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", node->fd);
	if (readlink(link, path, PATH_MAX - 1) < 0)
		return -errno;
	snprintf(name, NAME_MAX + 1, "%s", basename(path));
	return leads_to(restore, device, above, name, node) ? 0 : -ESTALE;
}

/* The directory above, with a reference, and the name in it. "/" is its own parent. */
static int find_parent(struct restore *restore, const struct node *node, char name[NAME_MAX + 1],
		       struct node **ret_parent)
{
	bool in_vain = node->noted && node->noted->restoring; /* as it was for another beneath it */
	CLEANUP(close_fdp)
	int above = in_vain ? -ESTALE : reach_name(restore->reach, node->device, node->fd, "..", O_DIRECTORY);
	struct tree *tree = restore->tree;
	struct stat st;
	int r = above < 0 ? above : file_look(above, "", &st);

	if (r == 0 && st.st_dev == node->device && st.st_ino == node->inode)
		r = -ESTALE;
	if (r == 0)
		r = find_own_name(restore, st.st_dev == tree->device ? node->device : st.st_dev, above, node, name);
	return r < 0 ? r : node_of_file(tree->nodes, steal_fd(&above), &st, HANDOVER_UNKNOWN, NULL, ret_parent);
}

/* A directory on the way up, a reference, and its name in the one above. */
struct step {
	struct node *node;
	char name[NAME_MAX + 1];
	struct step *below;
};

/*
 * Give a directory its parent, and that its own, up to the images directory, which is the root, or
 * one that has its parent already. Nothing is noted of one that was moved out, which does not lead
 * there. A user chooses how deep this goes.
 */
static int place_directory(struct restore *restore, struct node *node)
{
	struct node_table *nodes = restore->tree->nodes;
	struct step *steps = NULL;
	int r = 0;

	node = node_ref(nodes, node);
	while (r == 0 && node->id != NODE_ROOT && !node->parent) {
		struct step *step = calloc(1, sizeof(*step));
		struct node *parent = NULL;

		r = step ? find_parent(restore, node, step->name, &parent) : -ENOMEM;
		if (r < 0) {
			free(step);
			break;
		}
		step->node = node;
		step->below = steps;
		steps = step;
		node = parent;
	}
	while (steps) {
		struct step *step = steps;

		if (r == 0)
			r = node_seen(nodes, step->node, node, step->name, false);
		if (r < 0 && step->node->noted)
			step->node->noted->restoring = true;
		node_put(nodes, node);
		node = step->node;
		steps = step->below;
		free(step);
	}
	node_put(nodes, node);
	return r;
}

/* ---- nodes */

static struct node *restore_file(struct restore *restore, struct handover_node *noted)
{
	struct tree *tree = restore->tree;
	struct node *node;
	struct stat st;
	bool stored;
	int fd = find_file(restore, noted, &st, &stored);

	if (fd < 0 || node_of_file(tree->nodes, fd, &st, noted->owner, noted, &node) < 0)
		return NULL;
	node->was_protected = noted->was_protected;
	if (stored)
		node_was_stored(tree->nodes, node);
	return node;
}

static struct scratch *find_scratch(struct restore *restore, const struct handover_node *noted)
{
	CLEANUP(freep) char *name = scratch_store_name(noted->serial);
	struct disk *disk = disks_find(restore->tree->disks, noted->name);
	struct scratch *scratch = NULL;

	if (disk && name)
		scratch = scratch_find(disk, noted, fdstore_find(restore->store, name));
	disk_put(disk);
	return scratch;
}

/*
 * The node pins its scratch until its handles are restored: of a scratch that was reset, nothing
 * else holds a reference. settle_slot() removes the pin.
 */
static struct node *restore_scratch(struct restore *restore, struct handover_node *noted)
{
	struct scratch *scratch = find_scratch(restore, noted);
	struct node_table *nodes = restore->tree->nodes;
	struct node *node = NULL;

	if (!scratch)
		return NULL;
	if (node_of_scratch(nodes, scratch_get(scratch), noted->fixed, noted, &node) == 0)
		node_opened(nodes, node, scratch);
	scratch_put(scratch);
	return node;
}

static struct node *restore_view(struct restore *restore, struct handover_node *noted)
{
	struct disks *disks = restore->tree->disks;
	struct view *view = noted->is_image ? view_of_image(disks, noted->name) : view_of_layer(disks, noted->name);
	struct node *node;

	if (!view)
		return NULL;
	view_restore(view, noted->serial, noted->parent);
	if (noted->labelled)
		view_label(view, noted->label_uid, noted->label_gid, noted->label_mode);
	return node_of_view(restore->tree->nodes, view, noted->fixed, noted, &node) == 0 ? node : NULL;
}

static struct node *make_node(struct restore *restore, struct handover_node *noted)
{
	struct node_table *nodes = restore->tree->nodes;
	struct node *node = NULL;

	switch (noted->kind) {
	case NODE_FILE:
		return restore_file(restore, noted);
	case NODE_SCRATCH:
		return restore_scratch(restore, noted);
	case NODE_VIEW:
		return restore_view(restore, noted);
	case NODE_IMAGES_DIRECTORY:
		return node_of_views(nodes, noted->name, noted, &node) == 0 ? node : NULL;
	case NODE_FIXED:
		if (noted->fixed > FIXED_LAYERS)
			return NULL;
		return node_of_fixed(nodes, (enum node_fixed)noted->fixed, noted->serial, noted->owner, noted, &node) ==
				       0
			       ? node
			       : NULL;
	default:
		return NULL;
	}
}

/*
 * Restoring a node may restore its parent first. The mark keeps a damaged slot, which names itself
 * as its parent, from recursing for ever.
 */
static struct node *restore_node(struct restore *restore, struct handover_node *noted)
{
	struct handover_node **place = bsearch(&noted, restore->nodes, restore->count, sizeof(noted), compare_ids);
	uint64_t id = noted->id;
	struct node *node;

	if (!place || noted->restoring)
		return NULL;
	noted->restoring = true;
	noted->name[NAME_MAX] = '\0';
	node = make_node(restore, noted);
	if (node && node->id == id) {
		noted->restoring = false;
		log_debug("fuse", "node %llu is restored (kind %u, '%s')", (unsigned long long)id, noted->kind,
			  noted->name);
		return node;
	}
	log_debug("fuse", "node %llu cannot be found again", (unsigned long long)id);
	/*
	 * Another node stands for the file, and the slot went with the candidate; or there is no
	 * node.
	 */
	node_put(restore->tree->nodes, node);
	return NULL;
}

static void collect_node(void *context, void *slot)
{
	struct restore *restore = context;

	if (restore->count == restore->room) {
		size_t room = restore->room ? restore->room * 2 : 256;
		struct handover_node **larger = reallocarray(restore->nodes, room, sizeof(*larger));

		if (!larger)
			return;
		restore->nodes = larger;
		restore->room = room;
	}
	restore->nodes[restore->count] = slot;
	restore->nodes[restore->count++]->restoring = false;
}

/* To be called when all nodes are restored: a directory may lie in one with a larger number. */
static void place_node(struct restore *restore, uint64_t id)
{
	struct node_table *nodes = restore->tree->nodes;
	struct node *node = id ? node_get(nodes, id) : NULL;

	if (node && node->id != NODE_ROOT && node->kind == NODE_FILE && S_ISDIR(node->type) &&
	    place_directory(restore, node) < 0)
		log_debug("fuse", "node %llu: the directory no longer lies in the images directory",
			  (unsigned long long)id);
	node_put(nodes, node);
}

static void restore_nodes(struct restore *restore)
{
	struct tree *tree = restore->tree;

	handover_visit(tree->handover, HANDOVER_NODE, collect_node, restore);
	if (restore->count)
		qsort(restore->nodes, restore->count, sizeof(*restore->nodes), compare_ids);
	for (size_t i = 0; i < restore->count; i++)
		if (restore->nodes[i]->id)
			node_put(tree->nodes, node_of_number(restore, restore->nodes[i]->id));
	for (size_t i = 0; i < restore->count; i++)
		place_node(restore, restore->nodes[i]->id);
}

/* ---- handles */

static int reopen_scratch(struct restore *restore, struct node *node, struct handle *handle)
{
	struct scratch *scratch = node_scratch(restore->tree->nodes, node);

	if (!scratch)
		return -ESTALE;
	if (node->for_onlookers)
		scratch_look_on_again(scratch, &handle->onlooker);
	else
		scratch_reopen(scratch, handle->writer);
	handle->scratch = scratch;
	return scratch_fd(scratch);
}

struct view_again {
	struct view *view; /* a reference */
	uint64_t seen;
};

static int open_view(void *context)
{
	struct view_again *again = context;

	return view_open_again(again->view, &again->seen);
}

static void drop_view(void *context, int fd)
{
	struct view_again *again = context;

	close_fdp(&fd);
	view_put(again->view);
	free(again);
}

static int open_view_patiently(struct restore *restore, struct view *view, uint64_t *ret_seen)
{
	struct view_again *again = calloc(1, sizeof(*again));
	bool is_image;
	int fd;

	if (again)
		again->view = view_of_image(restore->tree->disks, view_name(view, &is_image));
	if (again && again->view)
		view_restore(again->view, view_serial(view), view_contents(view));
	if (!again || !again->view) {
		free(again);
		return -ENOMEM;
	}
	if (!reach_call(restore->reach, view_device(view), &(struct timed_call){ open_view, drop_view, again }, &fd)) {
		restore->tree->left_behind = true;
		return fd;
	}
	*ret_seen = again->seen;
	drop_view(again, -1);
	return fd;
}

/*
 * An image whose filesystem does not answer, or that was replaced, stays pinned, though this
 * descriptor cannot be read by the daemon any more: whoever has it open may go on reading past the
 * daemon (passthrough.h), and no fold must write the image meanwhile.
 */
static int reopen_view(struct restore *restore, struct node *node, struct handle *handle)
{
	struct onlooker *onlooker = node->for_onlookers ? &handle->onlooker : NULL;
	dev_t device = view_device(node->view);
	uint64_t seen = 0;
	int fd;

	handle->view = node->view;
	view_pin_again(node->view, onlooker);
	if (device && device != restore->tree->device)
		fd = open_view_patiently(restore, node->view, &seen);
	else
		fd = view_open_again(node->view, &seen);
	if (onlooker)
		onlooker->seen = seen;
	handle->fd = fd < 0 ? -1 : fd;
	if (fd >= 0 || fd == -ETIMEDOUT || fd == -ESTALE)
		return 0;
	view_close(node->view, -1, onlooker);
	return fd;
}

static int reopen(struct restore *restore, struct node *node, struct handle *handle)
{
	if (node->kind == NODE_FILE)
		handle->fd = reach_again(restore->reach, node->device, node->fd,
					 handle->kind == HANDLE_DIRECTORY ? O_RDONLY | O_DIRECTORY : handle->flags);
	else if (node->kind == NODE_SCRATCH)
		handle->fd = reopen_scratch(restore, node, handle);
	else if (node->kind == NODE_VIEW)
		return reopen_view(restore, node, handle);
	else
		return admin_reopen(restore->tree, node, handle);
	return handle->fd < 0 ? handle->fd : 0;
}

static bool belong_together(enum node_kind node, enum handle_kind handle)
{
	static const bool may[][HANDLE_TEXT + 1] = {
		[NODE_FILE] = { [HANDLE_FILE] = true, [HANDLE_DIRECTORY] = true },
		[NODE_SCRATCH] = { [HANDLE_SCRATCH] = true },
		[NODE_VIEW] = { [HANDLE_VIEW] = true },
		[NODE_IMAGES_DIRECTORY] = { [HANDLE_DIRECTORY] = true },
		[NODE_FIXED] = { [HANDLE_DIRECTORY] = true, [HANDLE_CONTROL] = true, [HANDLE_TEXT] = true },
	};

	return handle <= HANDLE_TEXT && may[node][handle];
}

/* A fold has cut this onlooker: the file is not what it was when he opened it. */
static bool was_cut(const struct onlooker *onlooker, const struct handover_handle *noted)
{
	return onlooker->seen && onlooker->seen != noted->vouched;
}

/* The caller keeps its reference on the node. */
static int make_handle(struct restore *restore, struct node *node, struct handover_handle *noted)
{
	struct tree *tree = restore->tree;
	struct handle *handle;
	int r;

	if (!belong_together(node->kind, (enum handle_kind)noted->kind) ||
	    (node->for_onlookers && (noted->flags & O_ACCMODE) != O_RDONLY))
		return -EPROTO;
	r = handle_new(tree->handles, (enum handle_kind)noted->kind, noted->uid, tree_counted_to(node), true, &handle);
	if (r < 0)
		return r;
	handle->flags = noted->flags;
	handle->writer = (noted->flags & O_ACCMODE) != O_RDONLY;
	handle->number = noted->number;
	r = reopen(restore, node, handle);
	if (r < 0) {
		handle_free(tree->handles, handle);
		return r;
	}
	handle->node = node_ref(tree->nodes, node);
	node_opened(tree->nodes, node, handle->scratch);
	if (!node->for_onlookers &&
	    (handle->kind == HANDLE_FILE || handle->kind == HANDLE_SCRATCH || handle->kind == HANDLE_VIEW)) {
		int32_t id = node->noted ? node->noted->backing_id : 0;

		passthrough_restore(&tree->passthrough, &node->passthrough, id);
		handle->entered = true;
		if (handle->scratch)
			scratch_note_passthrough(handle->scratch, id != 0);
	}
	handle_restore(tree->handles, handle, noted);
	if (was_cut(&handle->onlooker, noted))
		onlooker_cut(&handle->onlooker);
	return 0;
}

static void restore_handle(void *context, void *slot)
{
	struct restore *restore = context;
	struct handover_handle *noted = slot;
	struct node *node = node_get(restore->tree->nodes, noted->node);
	int r = node ? make_handle(restore, node, noted) : -ESTALE;

	node_put(restore->tree->nodes, node);
	if (r == 0) {
		log_debug("fuse", "handle %llu on node %llu is restored", (unsigned long long)noted->number,
			  (unsigned long long)noted->node);
		return;
	}
	log_warning("open file %llu (node %llu) cannot be restored: %s; whoever has it open gets errors",
		    (unsigned long long)noted->number, (unsigned long long)noted->node, error_text(r));
	restore->lost++;
	handover_give(restore->tree->handover, HANDOVER_HANDLE, noted);
}

/* ---- backing files */

/* The backing ids in use, sorted. */
struct ids {
	uint32_t *list;
	size_t count;
};

static int compare_numbers(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool is_used(void *context, uint32_t backing_id)
{
	const struct ids *ids = context;

	return bsearch(&backing_id, ids->list, ids->count, sizeof(backing_id), compare_numbers) != NULL;
}

static void release_unknown(struct restore *restore)
{
	CLEANUP(freep) uint32_t *list = calloc(restore->count + 1, sizeof(*list));
	struct ids ids = { .list = list };

	for (size_t i = 0; list && i < restore->count; i++)
		if (restore->nodes[i]->id && restore->nodes[i]->backing_id)
			list[ids.count++] = (uint32_t)restore->nodes[i]->backing_id;
	if (!list)
		return;
	qsort(list, ids.count, sizeof(*list), compare_numbers);
	passthrough_release_unknown(&restore->tree->passthrough, is_used, &ids);
}

/*
 * After the handles: release the backing file and the stored descriptor of a node that is not open,
 * the slot of a node that was not restored, and the pin of restore_scratch().
 */
static void settle_slot(struct restore *restore, struct handover_node *noted)
{
	struct tree *tree = restore->tree;
	struct node *node = noted->id ? node_get(tree->nodes, noted->id) : NULL;
	bool is_open = node && node->passthrough.opens;

	if (noted->backing_id && !is_open) {
		passthrough_release(&tree->passthrough, (uint32_t)noted->backing_id);
		noted->backing_id = 0;
	}
	if (!node && noted->id)
		handover_give(tree->handover, HANDOVER_NODE, noted);
	if (node && node->kind == NODE_SCRATCH)
		node_closed(tree->nodes, node);
	if (node)
		node_settle_store(tree->nodes, node);
	node_put(tree->nodes, node);
}

/* Drop an answer whose handle was not restored; what is no answer stays for its request. */
static void drop_answer(void *context, void *slot)
{
	struct tree *tree = context;
	const struct handover_answer *answer = slot;
	struct handle *handle = handle_get(tree->handles, answer->handle);

	if (!handle && !(answer->handle & HANDOVER_DECISION))
		handover_give(tree->handover, HANDOVER_ANSWER, slot);
	handle_put(tree->handles, handle);
}

void tree_restore(struct tree *tree, struct fdstore *store)
{
	struct restore restore = { .tree = tree, .store = store, .reach = reach_new(tree->device) };

	disks_go_on(tree->disks);
	replay_forget_old(tree->handover);
	restore_nodes(&restore);
	handover_visit(tree->handover, HANDOVER_HANDLE, restore_handle, &restore);
	for (size_t i = 0; i < restore.count; i++)
		settle_slot(&restore, restore.nodes[i]);
	handover_visit(tree->handover, HANDOVER_ANSWER, drop_answer, tree);
	release_unknown(&restore);
	node_doubt_inherited(tree->nodes);
	disks_forget_old_labels(tree->disks);
	fdstore_drop_rest(store);
	log_info("the mount of an earlier daemon is taken over: %u open files, %u files that the kernel knows",
		 handle_count(tree->handles), node_count(tree->nodes));
	if (restore.lost)
		log_warning("%u open files could not be restored", restore.lost);
	reach_free(restore.reach);
	free(restore.nodes);
}
