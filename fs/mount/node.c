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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fdstore.h"
#include "lock.h"
#include "log.h"
#include "node_handover.h"
#include "node_internal.h"
#include "util.h"

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
		return mix(node->serial * 4 + node->kind * 2 + node->for_onlookers);
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
		return a->serial == b->serial && a->for_onlookers == b->for_onlookers;
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
	if (node->stake.share)
		pthread_cond_broadcast(&table->freed);
	shares_give(&table->shares, &node->stake);
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
	bool was_parent = false;

	while (node) {
		struct node *parent;

		pthread_mutex_lock(&table->lock);
		node->references--;
		if (!is_dead(node)) {
			if (was_parent && node->inherited && !node->references) {
				node_doubt_locked(table, node);
				node_wake_locked(table);
			}
			pthread_mutex_unlock(&table->lock);
			return;
		}
		unlink_node(table, node);
		parent = node->parent;
		if (parent)
			parent->children--;
		pthread_mutex_unlock(&table->lock);
		destroy(table, node);
		node = parent;
		was_parent = true;
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

void node_look(struct node_table *table, uint64_t id, void (*look)(void *context, const struct node *node),
	       void *context)
{
	LOCKED (&table->lock) {
		const struct node *node = find_id(table, id);

		if (node)
			look(context, node);
	}
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
static int intern(struct node_table *table, struct node *candidate, int fd, struct handover_node *noted,
		  struct node **ret_node)
{
	struct node *node = find_same(table, candidate);
	int r = 0;

	if (!node) {
		candidate->inherited = noted != NULL;
		candidate->lookups = noted ? noted->lookups : 0;
		candidate->noted = noted || !table->root ? noted : node_handover_note(table->handover, candidate, fd);
		LOCKED (&table->lock) {
			node = find_key(table, candidate);
			if (!node)
				r = node_pay_locked(table, candidate);
			if (!node && r == 0) {
				node = candidate;
				enter_locked(table, node);
			}
			if (node)
				node->references++;
		}
	}
	if (node && node != candidate)
		LOCKED (&table->lock)
			r = node_take_over_locked(table, node, candidate->owner);
	if (node != candidate)
		destroy(table, candidate);
	if (r < 0)
		node_put(table, steal_pointer(&node));
	*ret_node = node;
	return r;
}

static struct node *candidate(enum node_kind kind)
{
	struct node *node = calloc(1, sizeof(*node));

	if (node) {
		node->kind = kind;
		node->fd = -1;
		node->owner = HANDOVER_UNKNOWN;
	}
	return node;
}

int node_of_file(struct node_table *table, int fd, const struct stat *st, uid_t owner, struct handover_node *noted,
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
	node->owner = owner;
	return intern(table, node, fd, noted, ret_node);
}

bool node_is_known(struct node_table *table, dev_t device, ino_t inode)
{
	const struct node like = { .kind = NODE_FILE, .device = device, .inode = inode };
	bool is = false;

	LOCKED (&table->lock)
		is = find_key(table, &like) != NULL;
	return is;
}

int node_of_scratch(struct node_table *table, struct scratch *scratch, bool for_onlookers, struct handover_node *noted,
		    struct node **ret_node)
{
	struct node *node = candidate(NODE_SCRATCH);
	struct stat st;
	int r;

	if (!node || fstat(scratch_fd(scratch), &st) < 0) {
		free(node);
		scratch_put(scratch);
		return node ? -EIO : -ENOMEM;
	}
	node->device = st.st_dev;
	node->inode = st.st_ino;
	node->for_onlookers = for_onlookers;
	node->disk = disk_get(scratch_disk(scratch));
	node->serial = scratch_serial(scratch);
	r = intern(table, node, scratch_fd(scratch), noted, ret_node);
	scratch_put(scratch);
	return r;
}

int node_of_view(struct node_table *table, struct view *view, bool for_onlookers, struct handover_node *noted,
		 struct node **ret_node)
{
	struct node *node = candidate(NODE_VIEW);

	if (!node) {
		view_put(view);
		return -ENOMEM;
	}
	node->for_onlookers = for_onlookers;
	node->view = view;
	node->device = view_device(view);
	node->serial = view_serial(view);
	return intern(table, node, -1, noted, ret_node);
}

struct node *node_twin(struct node_table *table, const struct node *node)
{
	const struct node like = { .kind = node->kind, .serial = node->serial, .for_onlookers = !node->for_onlookers };

	return find_same(table, &like);
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
	return intern(table, node, -1, noted, ret_node);
}

int node_of_fixed(struct node_table *table, enum node_fixed fixed, uint64_t serial, uid_t owner,
		  struct handover_node *noted, struct node **ret_node)
{
	struct node *node = candidate(NODE_FIXED);

	if (!node)
		return -ENOMEM;
	node->fixed = fixed;
	node->serial = serial;
	node->owner = owner;
	return intern(table, node, -1, noted, ret_node);
}

void node_looked_up(struct node_table *table, struct node *node)
{
	LOCKED (&table->lock) {
		node->lookups++;
		node->told++;
		node_handover_lookups(node);
		shares_use(&node->stake);
	}
}

void node_forget(struct node_table *table, uint64_t id, uint64_t lookups)
{
	struct node *node;

	pthread_mutex_lock(&table->lock);
	node = find_id(table, id);
	if (node && node != table->root) {
		node->lookups = lookups < node->lookups ? node->lookups - lookups : 0;
		node->told = lookups < node->told ? node->told - lookups : 0;
		node_handover_lookups(node);
		node->references++;
		if (node->inherited && node->lookups) {
			node_doubt_locked(table, node);
			node_wake_locked(table);
		}
	} else {
		node = NULL;
	}
	pthread_mutex_unlock(&table->lock);
	node_put(table, node);
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

char *node_store_name(uint64_t id)
{
	return format_text("node-%llu", (unsigned long long)id);
}

static void put_into_store(const struct node *node)
{
	CLEANUP(freep) char *name = node_store_name(node->id);

	if (!name || fdstore_put(name, node->fd) < 0)
		log_warning(
			"a file is removed while it is open, and cannot be handed over: after a restart of the daemon, whoever has it open gets errors");
}

static void drop_from_store(const struct node *node)
{
	CLEANUP(freep) char *name = node_store_name(node->id);

	if (name)
		fdstore_drop(name);
}

static bool belongs_into_store_locked(const struct node *node)
{
	return node->loses_name && node->opens;
}

/*
 * A close may follow while the store is still being told of the removal, and what arrived first
 * would be what counts. So one thread at a time tells it of a node, and looks again until there is
 * nothing to tell; whoever finds another at it leaves it to that one.
 */
void node_settle_store(struct node_table *table, struct node *node)
{
	pthread_mutex_lock(&table->lock);
	while (!node->telling && node->stored != belongs_into_store_locked(node)) {
		bool stored = node->stored = !node->stored;

		node->telling = true;
		pthread_mutex_unlock(&table->lock);
		if (stored)
			put_into_store(node);
		else
			drop_from_store(node);
		pthread_mutex_lock(&table->lock);
		node->telling = false;
	}
	pthread_mutex_unlock(&table->lock);
}

void node_opened(struct node_table *table, struct node *node, struct scratch *scratch)
{
	struct scratch *extra = scratch ? scratch_get(scratch) : NULL;
	bool nameless = false;

	LOCKED (&table->lock) {
		if (node->opens++ == 0) {
			node->pinned = extra;
			extra = NULL;
		}
		nameless = node->loses_name;
	}
	if (nameless)
		node_settle_store(table, node);
	scratch_put(extra);
}

void node_closed(struct node_table *table, struct node *node)
{
	struct scratch *last = NULL;
	bool nameless = false;

	LOCKED (&table->lock) {
		if (--node->opens == 0) {
			last = node->pinned;
			node->pinned = NULL;
		}
		nameless = node->loses_name;
	}
	if (nameless)
		node_settle_store(table, node);
	scratch_put(last);
}

static void change_loses_name(struct node_table *table, dev_t device, ino_t inode, bool loses)
{
	const struct node like = { .kind = NODE_FILE, .device = device, .inode = inode };
	struct node *node = NULL;

	LOCKED (&table->lock) {
		node = find_key(table, &like);
		if (node) {
			node->loses_name = loses;
			node->references++;
		}
	}
	if (node)
		node_settle_store(table, node);
	node_put(table, node);
}

void node_loses_name(struct node_table *table, dev_t device, ino_t inode)
{
	change_loses_name(table, device, inode, true);
}

void node_keeps_name(struct node_table *table, dev_t device, ino_t inode)
{
	change_loses_name(table, device, inode, false);
}

void node_was_stored(struct node_table *table, struct node *node)
{
	LOCKED (&table->lock)
		node->loses_name = node->stored = true;
}

static int make_root(struct node_table *table, int root_fd)
{
	struct stat st;
	int fd;

	if (fstat(root_fd, &st) < 0)
		return -errno;
	fd = dup(root_fd);
	return fd < 0 ? -errno : node_of_file(table, fd, &st, 0, NULL, &table->root);
}

unsigned node_count(struct node_table *table)
{
	size_t count = 0;

	LOCKED (&table->lock)
		count = table->count;
	return (unsigned)count;
}

int node_table_new(int root_fd, struct handover *handover, uint64_t limit, uint64_t root_limit,
		   struct node_table **ret_table)
{
	struct node_table *table = calloc(1, sizeof(*table));
	int r;

	if (!table)
		return -ENOMEM;
	pthread_mutex_init(&table->lock, NULL);
	cond_init_monotonic(&table->freed);
	table->size = 256;
	table->handover = handover;
	shares_init(&table->shares, limit, root_limit);
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
	shares_destroy(&table->shares);
	pthread_cond_destroy(&table->freed);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

#define OWN_INODE (1ULL << 62)

uint64_t node_own_inode(enum node_kind kind, uint64_t serial)
{
	return OWN_INODE | (uint64_t)kind << 56 | serial;
}
