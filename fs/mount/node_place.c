/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a node was last seen. A directory is noted with its parent, so that a path can be made of
 * any name in it; a file may have many names, and is noted for the next daemon alone.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lock.h"
#include "node_handover.h"
#include "node_internal.h"
#include "util.h"

#define LEVELS_MAX 2048 /* a path has no more components */

/*
 * Whether `parent` is recorded as lying beneath `node`, so that the record would become a circle.
 * That happens when directories were moved outside the mount, while a process works in one of them
 * and has not looked it up since. The walk holds up everybody: a parent that lies too deep for it
 * is taken for one that does. Most directories need none, since nothing is known beneath them.
 */
static bool would_be_in_itself(const struct node *node, const struct node *parent)
{
	const struct node *above = parent->parent;
	unsigned levels = 0;

	if (node == parent)
		return true;
	if (node->parent == parent || !node->children)
		return false;
	while (above && above != node && levels++ < LEVELS_MAX)
		above = above->parent;
	return above != NULL;
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
		if (old_parent)
			old_parent->children--;
		parent->children++;
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

/* Put a component in front of the path that begins at `begin`; NULL when there is no room. */
static char *prepend(const char *buffer, char *begin, const char *component, const char *separator)
{
	size_t length = strlen(component), more = strlen(separator);

	if (length + more > (size_t)(begin - buffer))
		return NULL;
	memcpy(begin - more, separator, more);
	return memcpy(begin - more - length, component, length);
}

/*
 * A disk's directory in the state directory is called by its name, so none is longer than NAME_MAX:
 * the walk, which holds up everybody, ends there, however deep a user's directories lie.
 */
int node_path(struct node_table *table, const struct node *directory, const char *name, char **ret_path)
{
	char buffer[NAME_MAX + 1], *end = buffer + NAME_MAX, *path = prepend(buffer, end, name, "");
	const struct node *node = directory;

	LOCKED (&table->lock)
		for (; path && node->parent; node = node->parent)
			path = prepend(buffer, path, node->name, "/");
	*ret_path = NULL;
	if (!path)
		return 0;
	if (node != table->root)
		return -ESTALE;
	*end = '\0';
	*ret_path = strdup(path);
	return *ret_path ? 0 : -ENOMEM;
}
