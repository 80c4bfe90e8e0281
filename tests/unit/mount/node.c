/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of nodeids: what has one, how long it has it, and where a directory is.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node.h"

static int root_fd(void)
{
	static int fd = -1;
	const char *directory = TEST_DIR;

	check(directory != NULL);
	if (fd < 0)
		fd = open(directory, O_RDONLY | O_DIRECTORY);
	check(fd >= 0);
	return fd;
}

static struct handover *handover(void)
{
	static struct handover *handover;

	if (!handover)
		check_int(handover_new(&handover), 0);
	return handover;
}

static struct node_table *table_new(void)
{
	struct node_table *table = NULL;

	check_int(node_table_new(root_fd(), handover(), &table), 0);
	return table;
}

/* The node of an entry of the test's directory, made there as a directory or a file. */
static struct node *node_named(struct node_table *table, const char *name, bool is_directory)
{
	struct node *node = NULL;
	struct stat st;
	int fd;

	if (is_directory)
		mkdirat(root_fd(), name, 0700);
	else
		close(openat(root_fd(), name, O_CREAT | O_RDWR, 0600));
	fd = openat(root_fd(), name, O_PATH | O_NOFOLLOW);
	check(fd >= 0);
	check_int(fstat(fd, &st), 0);
	check_int(node_of_file(table, fd, &st, NULL, &node), 0);
	return node;
}

static struct node *root_of(struct node_table *table)
{
	struct node *root = node_get(table, NODE_ROOT);

	check(root != NULL);
	return root;
}

static void is_path(struct node_table *table, struct node *directory, const char *name, const char *path)
{
	char *text = node_path(table, directory, name);

	check_str(text, path);
	free(text);
}

TEST(the_root_is_1_and_is_never_forgotten)
{
	struct node_table *table = table_new();

	node_forget(table, NODE_ROOT, 1000);
	node_put(table, root_of(table));
	node_put(table, root_of(table));
	node_table_free(table);
}

TEST(two_names_of_one_file_have_one_nodeid)
{
	struct node_table *table = table_new();
	struct node *a = node_named(table, "a", false), *b, *other;

	unlinkat(root_fd(), "b", 0);
	check_int(linkat(root_fd(), "a", root_fd(), "b", 0), 0);
	b = node_named(table, "b", false);
	other = node_named(table, "c", false);
	check(a == b);
	check(a != other && a->id != other->id);
	node_put(table, a);
	node_put(table, b);
	node_put(table, other);
	node_table_free(table);
}

TEST(a_nodeid_lasts_until_the_kernel_has_forgotten_every_lookup)
{
	struct node_table *table = table_new();
	struct node *node = node_named(table, "a", false);
	uint64_t id = node->id;

	node_looked_up(table, node);
	node_looked_up(table, node);
	node_put(table, node);
	node_forget(table, id, 1);
	node = node_get(table, id);
	check(node != NULL);
	node_put(table, node);
	node_forget(table, id, 1);
	check(node_get(table, id) == NULL);
	node_table_free(table);
}

TEST(a_nodeid_that_was_forgotten_is_not_used_again)
{
	struct node_table *table = table_new();
	struct node *node = node_named(table, "a", false);
	uint64_t id = node->id;

	node_put(table, node);
	check(node_get(table, id) == NULL);
	node = node_named(table, "a", false);
	check(node->id > id);
	node_put(table, node);
	node_table_free(table);
}

TEST(forgetting_more_than_was_looked_up_harms_nobody_who_uses_it)
{
	struct node_table *table = table_new();
	struct node *node = node_named(table, "a", false);

	node_looked_up(table, node);
	node_forget(table, node->id, 1000);
	node_forget(table, node->id, 1000);
	node_forget(table, 987654, 1);
	check(node_get(table, node->id) == node);
	node_put(table, node);
	node_put(table, node);
	node_table_free(table);
}

TEST(a_path_is_put_together_from_where_directories_were_seen)
{
	struct node_table *table = table_new();
	struct node *root = root_of(table), *d = node_named(table, "d", true), *e = node_named(table, "e", true);

	check_int(node_seen(table, d, root, "d", false), 0);
	check_int(node_seen(table, e, d, "e", false), 0);
	is_path(table, root, "x", "x");
	is_path(table, e, "x", "d/e/x");
	is_path(table, e, "", "d/e/");
	check_int(node_seen(table, d, root, "moved", false), 0);
	is_path(table, e, "x", "moved/e/x");
	check_int(node_seen(table, e, root, "f", false), 0);
	is_path(table, e, "x", "f/x");
	node_put(table, e);
	node_put(table, d);
	node_put(table, root);
	node_table_free(table);
}

TEST(a_directory_is_remembered_as_long_as_one_beneath_it)
{
	struct node_table *table = table_new();
	struct node *root = root_of(table), *d = node_named(table, "d", true), *e = node_named(table, "e", true);
	uint64_t id = d->id;

	check_int(node_seen(table, d, root, "d", false), 0);
	check_int(node_seen(table, e, d, "e", false), 0);
	node_put(table, d);
	is_path(table, e, "x", "d/e/x");
	node_put(table, e);
	check(node_get(table, id) == NULL);
	node_put(table, root);
	node_table_free(table);
}

TEST(no_directory_is_believed_to_be_in_itself)
{
	struct node_table *table = table_new();
	struct node *root = root_of(table), *d = node_named(table, "d", true), *e = node_named(table, "e", true);

	check_int(node_seen(table, d, root, "d", false), 0);
	check_int(node_seen(table, e, d, "e", false), 0);
	check_errno(node_seen(table, d, e, "d", false), ESTALE);
	check_errno(node_seen(table, d, d, "d", false), ESTALE);
	is_path(table, e, "x", "d/e/x");
	check_int(node_seen(table, e, root, "e", false), 0);
	check_int(node_seen(table, d, e, "d", false), 0);
	is_path(table, d, "x", "e/d/x");
	node_put(table, d);
	node_put(table, e);
	node_put(table, root);
	node_table_free(table);
}

TEST(thousands_of_nodes_are_each_found)
{
	enum { COUNT = 5000 };
	struct node_table *table = table_new();
	struct node *nodes[COUNT], *again;
	char path[32];

	for (int i = 0; i < COUNT; i++) {
		snprintf(path, sizeof(path), "dir/%d", i);
		check_int(node_of_views(table, path, NULL, &nodes[i]), 0);
	}
	for (int i = 0; i < COUNT; i++) {
		snprintf(path, sizeof(path), "dir/%d", i);
		check_int(node_of_views(table, path, NULL, &again), 0);
		check(again == nodes[i]);
		node_put(table, again);
		check(node_get(table, nodes[i]->id) == nodes[i]);
		node_put(table, nodes[i]);
		node_put(table, nodes[i]);
	}
	node_table_free(table);
}

TEST(a_fixed_file_has_a_node_for_each_serial)
{
	struct node_table *table = table_new();
	struct node *a, *b, *c;

	check_int(node_of_fixed(table, FIXED_CONTROL, 1, NULL, &a), 0);
	check_int(node_of_fixed(table, FIXED_CONTROL, 2, NULL, &b), 0);
	check_int(node_of_fixed(table, FIXED_CONTROL, 1, NULL, &c), 0);
	check(a != b && a == c);
	node_put(table, a);
	node_put(table, b);
	node_put(table, c);
	node_table_free(table);
}
