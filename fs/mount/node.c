/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two hash tables over the same nodes: by nodeid, for every request; by what the node stands for,
 * so that a thing that is looked up twice has one nodeid, and hard links one inode in the kernel.
 *
 * One lock guards both tables and the changing members of every node. It is held for a few
 * instructions, never over a system call, and of autoprotect.c nothing but the counting of a
 * reference is called under it; what a dead node held is given back after it has been released. A
 * node dies when neither the kernel nor we refer to it.
 */
#include "node.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fdstore.h"
#include "node_handover.h"
#include "log.h"
#include "util.h"

struct node_table {
	pthread_mutex_t lock;
	struct node **by_id, **by_key; /* chains; `size` of each, a power of two */
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

/* Twice the size. Failing is no harm: the chains get longer. */
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

/* Of a node that is in no table; its parent is the caller's business. */
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

/* Drop one reference and everything that dies with it: the parents, perhaps, one after another. */
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
	pthread_mutex_lock(&table->lock);
	node->references++;
	pthread_mutex_unlock(&table->lock);
	return node;
}

struct node *node_get(struct node_table *table, uint64_t id)
{
	struct node *node;

	pthread_mutex_lock(&table->lock);
	node = find_id(table, id);
	if (node)
		node->references++;
	pthread_mutex_unlock(&table->lock);
	return node;
}

static struct node *find_same(struct node_table *table, const struct node *like)
{
	struct node *node;

	pthread_mutex_lock(&table->lock);
	node = find_key(table, like);
	if (node)
		node->references++;
	pthread_mutex_unlock(&table->lock);
	return node;
}

/* Give it its number, which publishes it for us and for the next daemon. */
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
 * The candidate becomes the node of what it stands for, unless there is one: then it is destroyed.
 * It is written down before it can be found, outside of the lock, since that takes a system call.
 * The root is the same in every daemon. `fd` is its file, or -1.
 */
static struct node *intern(struct node_table *table, struct node *candidate, int fd, struct handover_node *noted)
{
	struct node *node = find_same(table, candidate);

	if (!node) {
		candidate->inherited = noted != NULL;
		candidate->lookups = noted ? noted->lookups : 0;
		candidate->noted = noted || !table->root ? noted : node_handover_note(table->handover, candidate, fd);
		pthread_mutex_lock(&table->lock);
		node = find_key(table, candidate);
		if (!node) {
			node = candidate;
			enter_locked(table, node);
		}
		node->references++;
		pthread_mutex_unlock(&table->lock);
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
	pthread_mutex_lock(&table->lock);
	node->lookups++;
	node_handover_lookups(node);
	pthread_mutex_unlock(&table->lock);
}

/* The kernel does not have it any more, whatever the count says. */
static void correct_count(struct node_table *table, struct node *node, uint64_t lookups)
{
	if (table->knows(table->context, node->id))
		return;
	pthread_mutex_lock(&table->lock);
	/* Unless somebody has looked it up meanwhile. */
	if (node->lookups == lookups) {
		node->lookups = 0;
		node_handover_lookups(node);
	}
	pthread_mutex_unlock(&table->lock);
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

/* With a reference each. */
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

	pthread_mutex_lock(&table->lock);
	nodes = calloc(table->count + 1, sizeof(*nodes));
	if (nodes)
		count = collect_inherited_locked(table, nodes);
	pthread_mutex_unlock(&table->lock);
	for (size_t i = 0; i < count; i++) {
		correct_count(table, nodes[i], nodes[i]->lookups);
		node_put(table, nodes[i]);
	}
}

/*
 * Nodes that others stand on, or that are open, have references; what is dropped may give one of
 * its parent back.
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
 * Whether `parent` is known to lie beneath `node`. A directory cannot be in itself; it looks so
 * when directories were moved behind our back and someone works in one of them without having
 * walked there since.
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
	bool answer;

	pthread_mutex_lock(&table->lock);
	answer = node->was_protected;
	pthread_mutex_unlock(&table->lock);
	return answer;
}

/* Written from the end, once the length is known. */
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

	pthread_mutex_lock(&table->lock);
	if (node->pinned)
		scratch = scratch_get(node->pinned);
	pthread_mutex_unlock(&table->lock);
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

	pthread_mutex_lock(&table->lock);
	if (node->opens++ == 0) {
		node->pinned = extra;
		extra = NULL;
	}
	pthread_mutex_unlock(&table->lock);
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

	pthread_mutex_lock(&table->lock);
	if (--node->opens == 0) {
		last = node->pinned;
		node->pinned = NULL;
		stored = node->stored;
		node->stored = false;
	}
	pthread_mutex_unlock(&table->lock);
	if (stored)
		drop_from_store(node->id);
	scratch_put(last);
}

void node_loses_name(struct node_table *table, dev_t device, ino_t inode)
{
	const struct node like = { .kind = NODE_FILE, .device = device, .inode = inode };
	CLEANUP(freep) char *name = NULL;
	struct node *node;
	bool wanted;

	pthread_mutex_lock(&table->lock);
	node = find_key(table, &like);
	wanted = node && node->opens && !node->stored;
	if (wanted) {
		node->stored = true;
		node->references++;
	}
	pthread_mutex_unlock(&table->lock);
	if (!wanted)
		return;
	name = node_store_name(node->id);
	if (!name || fdstore_put(name, node->fd) < 0)
		log_warning("an open file is removed that will not outlive this daemon, should it be restarted");
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
	size_t count;

	pthread_mutex_lock(&table->lock);
	count = table->count;
	pthread_mutex_unlock(&table->lock);
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
