/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two hash tables over the same nodes. One finds a node by its nodeid, for every request. The other
 * finds it by its key, which is what it stands for: so a file that is looked up twice has one
 * nodeid, and hard links are one inode in the kernel.
 *
 * One lock guards both tables and the changing members of every node. It is held for a few
 * instructions and never over a system call. Nothing of the model is called under it but
 * scratch_get(), which counts a reference. A node dies when neither the kernel nor the daemon
 * refers to it; what it held is released after the lock.
 */
#include "node.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fdstore.h"
#include "lock.h"
#include "log.h"
#include "node_handover.h"
#include "util.h"

struct node_table {
	pthread_mutex_t lock;
	struct node **by_id, **by_key; /* `size` chains each, a power of two */
	size_t size, count;
	uint64_t next_id;
	struct node *root;
	struct handover *handover;
	bool (*knows)(void *context, uint64_t id); /* set before the first request */
	void *context;
};

static size_t mix(uint64_t value)
{
	value ^= value >> 33;
	value *= 0xff51afd7ed558ccdULL;
	value ^= value >> 33;
	return (size_t)value;
}

static size_t hash_key(const struct node *node)
{
	switch (node->kind) {
	case NODE_FILE:
		return mix(node->inode ^ mix(node->device));
	case NODE_SCRATCH:
	case NODE_VIEW:
		return mix(node->serial * 2 + node->kind);
	case NODE_IMAGES_DIRECTORY:
		return mix(text_hash(node->path));
	case NODE_FIXED:
		return mix(node->serial * 8 + node->fixed);
	}
	return 0;
}

static bool same_key(const struct node *a, const struct node *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case NODE_FILE:
		return a->device == b->device && a->inode == b->inode;
	case NODE_SCRATCH:
	case NODE_VIEW:
		return a->serial == b->serial;
	case NODE_IMAGES_DIRECTORY:
		return strcmp(a->path, b->path) == 0;
	case NODE_FIXED:
		return a->fixed == b->fixed && a->serial == b->serial;
	}
	return false;
}

static struct node **id_chain(const struct node_table *table, uint64_t id)
{
	return &table->by_id[mix(id) & (table->size - 1)];
}

static struct node **key_chain(const struct node_table *table, const struct node *node)
{
	return &table->by_key[hash_key(node) & (table->size - 1)];
}

static struct node *find_id(const struct node_table *table, uint64_t id)
{
	struct node *node = *id_chain(table, id);

	while (node && node->id != id)
		node = node->next_by_id;
	return node;
}

static struct node *find_key(const struct node_table *table, const struct node *like)
{
	struct node *node = *key_chain(table, like);

	while (node && !same_key(node, like))
		node = node->next_by_key;
	return node;
}

static void link_node(struct node_table *table, struct node *node)
{
	struct node **id = id_chain(table, node->id), **key = key_chain(table, node);

	node->next_by_id = *id;
	*id = node;
	node->next_by_key = *key;
	*key = node;
}

static void unlink_node(struct node_table *table, struct node *node)
{
	struct node **place;

	for (place = id_chain(table, node->id); *place != node;)
		place = &(*place)->next_by_id;
	*place = node->next_by_id;
	for (place = key_chain(table, node); *place != node;)
		place = &(*place)->next_by_key;
	*place = node->next_by_key;
	table->count--;
}

/* Double the number of chains. Without memory for that they just get longer. */
static void grow(struct node_table *table)
{
	size_t size = table->size;
	struct node **by_id = calloc(size * 2, sizeof(*by_id));
	struct node **by_key = calloc(size * 2, sizeof(*by_key));
	struct node **old = table->by_id;

	if (!by_id || !by_key) {
		free(by_id);
		free(by_key);
		return;
	}
	free(table->by_key);
	table->by_id = by_id;
	table->by_key = by_key;
	table->size = size * 2;
	for (size_t i = 0; i < size; i++) {
		struct node *next;

		for (struct node *node = old[i]; node; node = next) {
			next = node->next_by_id;
			link_node(table, node);
		}
	}
	free(old);
}

/* For a node that is in no table. The reference on its parent is left to the caller. */
static void destroy(struct node_table *table, struct node *node)
{
	handover_give(table->handover, HANDOVER_NODE, node->noted);
	if (node->fd >= 0)
		close(node->fd);
	disk_put(node->disk);
	view_put(node->view);
	scratch_put(node->pinned);
	free(node->path);
	free(node->name);
	free(node);
}

static bool is_dead(const struct node *node)
{
	return !node->references && !node->lookups;
}

/*
 * When a node dies, so does its reference on its parent, which may be the parent's last, and so on.
 */
void node_put(struct node_table *table, struct node *node)
{
	while (node) {
		struct node *parent;

		pthread_mutex_lock(&table->lock);
		node->references--;
		if (!is_dead(node)) {
			pthread_mutex_unlock(&table->lock);
			return;
		}
		unlink_node(table, node);
		parent = node->parent;
		pthread_mutex_unlock(&table->lock);
		destroy(table, node);
		node = parent;
	}
}

struct node *node_ref(struct node_table *table, struct node *node)
{
	LOCKED (&table->lock)
		node->references++;
	return node;
}

struct node *node_get(struct node_table *table, uint64_t id)
{
	struct node *node = NULL;

	LOCKED (&table->lock) {
		node = find_id(table, id);
		if (node)
			node->references++;
	}
	return node;
}

static struct node *find_same(struct node_table *table, const struct node *like)
{
	struct node *node = NULL;

	LOCKED (&table->lock) {
		node = find_key(table, like);
		if (node)
			node->references++;
	}
	return node;
}

/* From here on requests find the node, and so will the next daemon. */
static void enter_locked(struct node_table *table, struct node *node)
{
	node->id = node->inherited ? node->noted->id : table->next_id++;
	if (++table->count > table->size)
		grow(table);
	link_node(table, node);
	if (node->noted)
		handover_publish(&node->noted->id, node->id);
}

/*
 * The node that has the candidate's key, with a reference: if there is none, the candidate becomes
 * it, else the candidate is destroyed. It is written down before it can be found, and outside the
 * lock, since that makes a system call. Only the root is not written down: it is the same in every
 * daemon. `fd` is the candidate's file, or -1.
 */
static struct node *intern(struct node_table *table, struct node *candidate, int fd, struct handover_node *noted)
{
	struct node *node = find_same(table, candidate);

	if (!node) {
		candidate->inherited = noted != NULL;
		candidate->lookups = noted ? noted->lookups : 0;
		candidate->noted = noted || !table->root ? noted : node_handover_note(table->handover, candidate, fd);
		LOCKED (&table->lock) {
			node = find_key(table, candidate);
			if (!node) {
				node = candidate;
				enter_locked(table, node);
			}
			node->references++;
		}
	}
	if (node != candidate)
		destroy(table, candidate);
	return node;
}

static struct node *candidate(enum node_kind kind)
{
	struct node *node = calloc(1, sizeof(*node));

	if (node) {
		node->kind = kind;
		node->fd = -1;
	}
	return node;
}

int node_of_file(struct node_table *table, int fd, const struct stat *st, struct handover_node *noted,
		 struct node **ret_node)
{
	struct node *node = candidate(NODE_FILE);

	if (!node) {
		close(fd);
		return -ENOMEM;
	}
	node->device = st->st_dev;
	node->inode = st->st_ino;
	node->type = st->st_mode & S_IFMT;
	node->fd = fd;
	*ret_node = intern(table, node, fd, noted);
	return 0;
}

int node_of_scratch(struct node_table *table, struct scratch *scratch, struct handover_node *noted,
		    struct node **ret_node)
{
	struct node *node = candidate(NODE_SCRATCH);
	struct stat st;

	if (!node || fstat(scratch_fd(scratch), &st) < 0) {
		free(node);
		scratch_put(scratch);
		return node ? -EIO : -ENOMEM;
	}
	node->device = st.st_dev;
	node->inode = st.st_ino;
	node->disk = disk_get(scratch_disk(scratch));
	node->serial = scratch_serial(scratch);
	*ret_node = intern(table, node, scratch_fd(scratch), noted);
	scratch_put(scratch);
	return 0;
}

int node_of_view(struct node_table *table, struct view *view, struct handover_node *noted, struct node **ret_node)
{
	struct node *node = candidate(NODE_VIEW);

	if (!node) {
		view_put(view);
		return -ENOMEM;
	}
	node->view = view;
	node->serial = view_serial(view);
	*ret_node = intern(table, node, -1, noted);
	return 0;
}

int node_of_views(struct node_table *table, const char *path, struct handover_node *noted, struct node **ret_node)
{
	struct node *node = candidate(NODE_IMAGES_DIRECTORY);

	if (node)
		node->path = strdup(path);
	if (!node || !node->path) {
		free(node);
		return -ENOMEM;
	}
	*ret_node = intern(table, node, -1, noted);
	return 0;
}

int node_of_fixed(struct node_table *table, enum node_fixed fixed, uint64_t serial, struct handover_node *noted,
		  struct node **ret_node)
{
	struct node *node = candidate(NODE_FIXED);

	if (!node)
		return -ENOMEM;
	node->fixed = fixed;
	node->serial = serial;
	*ret_node = intern(table, node, -1, noted);
	return 0;
}

void node_looked_up(struct node_table *table, struct node *node)
{
	LOCKED (&table->lock) {
		node->lookups++;
		node_handover_lookups(node);
	}
}

/* Set the count of an inherited node to 0 where the kernel no longer has the node. */
static void correct_count(struct node_table *table, struct node *node, uint64_t lookups)
{
	if (table->knows(table->context, node->id))
		return;
	log_debug("fuse", "node %llu: the kernel has forgotten it unheard", (unsigned long long)node->id);
	LOCKED (&table->lock) {
		/*
		 * Another count means that the node was looked up again since the kernel was asked.
		 */
		if (node->lookups == lookups) {
			node->lookups = 0;
			node_handover_lookups(node);
		}
	}
}

void node_forget(struct node_table *table, uint64_t id, uint64_t lookups)
{
	struct node *node;
	uint64_t left = 0;

	pthread_mutex_lock(&table->lock);
	node = find_id(table, id);
	if (node && node != table->root) {
		node->lookups = lookups < node->lookups ? node->lookups - lookups : 0;
		node_handover_lookups(node);
		node->references++;
		left = node->inherited ? node->lookups : 0;
	} else {
		node = NULL;
	}
	pthread_mutex_unlock(&table->lock);
	if (left && table->knows)
		correct_count(table, node, left);
	node_put(table, node);
}

/* All inherited nodes that nothing of the daemon refers to; the caller gets a reference on each. */
static size_t collect_inherited_locked(struct node_table *table, struct node **ret_nodes)
{
	size_t count = 0;

	for (size_t i = 0; i < table->size; i++)
		for (struct node *node = table->by_id[i]; node; node = node->next_by_id)
			if (node->inherited && !node->references) {
				node->references++;
				ret_nodes[count++] = node;
			}
	return count;
}

static void drop_unknown_once(struct node_table *table)
{
	CLEANUP(freep) struct node **nodes = NULL;
	size_t count = 0;

	LOCKED (&table->lock) {
		nodes = calloc(table->count + 1, sizeof(*nodes));
		if (nodes)
			count = collect_inherited_locked(table, nodes);
	}
	for (size_t i = 0; i < count; i++) {
		correct_count(table, nodes[i], nodes[i]->lookups);
		node_put(table, nodes[i]);
	}
}

/*
 * Nodes that are open, or the parents of others, have references and are not looked at. Dropping a
 * node may release the last reference on its parent, so this is repeated until nothing is dropped.
 */
void node_drop_unknown(struct node_table *table)
{
	unsigned before;

	do {
		before = node_count(table);
		drop_unknown_once(table);
	} while (node_count(table) < before);
}

/*
 * Whether `parent` is recorded as lying beneath `node`, so that the record would become a circle.
 * That happens when directories were moved outside the mount, while a process works in one of them
 * and has not looked it up since.
 */
static bool would_be_in_itself(const struct node *node, const struct node *parent)
{
	while (parent && parent != node)
		parent = parent->parent;
	return parent != NULL;
}

int node_seen(struct node_table *table, struct node *node, struct node *parent, const char *name, bool is_protected)
{
	bool is_directory = S_ISDIR(node->type) && node != table->root;
	char *spare = is_directory ? strdup(name) : NULL;
	struct node *old_parent = NULL;
	int r = 0;

	if (is_directory && !spare)
		return -ENOMEM;
	pthread_mutex_lock(&table->lock);
	node->was_protected = is_protected;
	node_handover_seen(node, parent, name);
	if (is_directory && would_be_in_itself(node, parent)) {
		r = -ESTALE;
	} else if (is_directory) {
		char *old_name = node->name;

		old_parent = node->parent;
		parent->references++;
		node->parent = parent;
		node->name = spare;
		spare = old_name;
	}
	pthread_mutex_unlock(&table->lock);
	free(spare);
	node_put(table, old_parent);
	return r;
}

bool node_was_protected(struct node_table *table, struct node *node)
{
	bool answer = false;

	LOCKED (&table->lock)
		answer = node->was_protected;
	return answer;
}

/* The length is added up first, then the path is written from its end. */
char *node_path(struct node_table *table, struct node *directory, const char *name)
{
	size_t length = strlen(name);
	char *path, *p;

	pthread_mutex_lock(&table->lock);
	for (const struct node *node = directory; node->parent; node = node->parent)
		length += strlen(node->name) + 1;
	path = malloc(length + 1);
	if (path) {
		p = path + length - strlen(name);
		memcpy(p, name, strlen(name) + 1);
		for (const struct node *node = directory; node->parent; node = node->parent) {
			*--p = '/';
			p -= strlen(node->name);
			memcpy(p, node->name, strlen(node->name));
		}
	}
	pthread_mutex_unlock(&table->lock);
	return path;
}

struct scratch *node_scratch(struct node_table *table, struct node *node)
{
	struct scratch *scratch = NULL;

	LOCKED (&table->lock)
		if (node->pinned)
			scratch = scratch_get(node->pinned);
	if (scratch)
		return scratch;
	scratch = disk_scratch(node->disk);
	if (scratch && scratch_serial(scratch) == node->serial)
		return scratch;
	scratch_put(scratch);
	return NULL;
}

void node_opened(struct node_table *table, struct node *node, struct scratch *scratch)
{
	struct scratch *extra = scratch ? scratch_get(scratch) : NULL;

	LOCKED (&table->lock)
		if (node->opens++ == 0) {
			node->pinned = extra;
			extra = NULL;
		}
	scratch_put(extra);
}

char *node_store_name(uint64_t id)
{
	return format_text("node-%llu", (unsigned long long)id);
}

static void drop_from_store(uint64_t id)
{
	CLEANUP(freep) char *name = node_store_name(id);

	if (name)
		fdstore_drop(name);
}

void node_closed(struct node_table *table, struct node *node)
{
	struct scratch *last = NULL;
	bool stored = false;

	LOCKED (&table->lock)
		if (--node->opens == 0) {
			last = node->pinned;
			node->pinned = NULL;
			stored = node->stored;
			node->stored = false;
		}
	if (stored)
		drop_from_store(node->id);
	scratch_put(last);
}

void node_loses_name(struct node_table *table, dev_t device, ino_t inode)
{
	const struct node like = { .kind = NODE_FILE, .device = device, .inode = inode };
	CLEANUP(freep) char *name = NULL;
	struct node *node = NULL;
	bool wanted = false;

	LOCKED (&table->lock) {
		node = find_key(table, &like);
		wanted = node && node->opens && !node->stored;
		if (wanted) {
			node->stored = true;
			node->references++;
		}
	}
	if (!wanted)
		return;
	name = node_store_name(node->id);
	if (!name || fdstore_put(name, node->fd) < 0)
		log_warning(
			"a file is removed while it is open, and cannot be handed over: after a restart of the daemon, whoever has it open gets errors");
	node_put(table, node);
}

static int make_root(struct node_table *table, int root_fd)
{
	struct stat st;
	int fd;

	if (fstat(root_fd, &st) < 0)
		return -errno;
	fd = dup(root_fd);
	return fd < 0 ? -errno : node_of_file(table, fd, &st, NULL, &table->root);
}

void node_table_connect(struct node_table *table, bool (*knows)(void *context, uint64_t id), void *context)
{
	table->knows = knows;
	table->context = context;
}

unsigned node_count(struct node_table *table)
{
	size_t count = 0;

	LOCKED (&table->lock)
		count = table->count;
	return (unsigned)count;
}

int node_table_new(int root_fd, struct handover *handover, struct node_table **ret_table)
{
	struct node_table *table = calloc(1, sizeof(*table));
	int r;

	if (!table)
		return -ENOMEM;
	pthread_mutex_init(&table->lock, NULL);
	table->size = 256;
	table->handover = handover;
	table->next_id = NODE_ROOT;
	table->by_id = calloc(table->size, sizeof(*table->by_id));
	table->by_key = calloc(table->size, sizeof(*table->by_key));
	r = table->by_id && table->by_key ? make_root(table, root_fd) : -ENOMEM;
	if (r < 0) {
		node_table_free(table);
		return r;
	}
	table->next_id = handover_first_number(handover) + NODE_ROOT;
	*ret_table = table;
	return 0;
}

void node_table_free(struct node_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; table->by_id && i < table->size; i++) {
		struct node *next;

		for (struct node *node = table->by_id[i]; node; node = next) {
			next = node->next_by_id;
			destroy(table, node);
		}
	}
	free(table->by_id);
	free(table->by_key);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

#define OWN_INODE (1ULL << 62)

uint64_t node_own_inode(enum node_kind kind, uint64_t serial)
{
	return OWN_INODE | (uint64_t)kind << 56 | serial;
}
