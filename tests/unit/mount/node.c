/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of nodeids: what has one, how long it has it, and where a directory is.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node.h"
#include "notify.h"

#define LIMIT 30 /* of nodes that users other than root may have, and of root's */

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

	check_int(node_table_new(root_fd(), handover(), LIMIT, LIMIT, &table), 0);
	return table;
}

/*
 * The node of an entry of the test's directory, made there as a directory or a file, that `owner`
 * looks up.
 */
static int find_named(struct node_table *table, const char *name, bool is_directory, uid_t owner,
		      struct node **ret_node)
{
	struct stat st;
	int fd;

	if (is_directory)
		mkdirat(root_fd(), name, 0700);
	else
		close(openat(root_fd(), name, O_CREAT | O_RDWR, 0600));
	fd = openat(root_fd(), name, O_PATH | O_NOFOLLOW);
	check(fd >= 0);
	check_int(fstat(fd, &st), 0);
	return node_of_file(table, fd, &st, owner, NULL, ret_node);
}

static struct node *node_named(struct node_table *table, const char *name, bool is_directory)
{
	struct node *node = NULL;

	check_int(find_named(table, name, is_directory, 0, &node), 0);
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
	char *text = NULL;

	check_int(node_path(table, directory, name, &text), 0);
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

TEST(a_directory_that_leads_to_no_root_has_no_path_and_no_disk_has_a_long_one)
{
	struct node_table *table = table_new();
	struct node *root = root_of(table), *d = node_named(table, "d", true), *e = node_named(table, "e", true);
	char longest[NAME_MAX + 1], *name = longest + 2, *path = NULL;

	memset(longest, 'x', NAME_MAX);
	memcpy(longest, "d/", 2);
	longest[NAME_MAX] = '\0';
	check_int(node_seen(table, e, d, "e", false), 0);
	check_int(node_path(table, e, "x", &path), -ESTALE);
	check_int(node_seen(table, d, root, "d", false), 0);
	is_path(table, e, "x", "d/e/x");
	is_path(table, d, name, longest);
	check_int(node_path(table, e, name, &path), 0);
	check(path == NULL);
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

TEST(directories_are_found_at_any_depth_but_not_moved_there_with_others)
{
	struct node_table *table = NULL;
	struct node *deepest, *node, *a, *b;

	check_int(node_table_new(root_fd(), handover(), LIMIT, 10000, &table), 0);
	deepest = root_of(table);
	for (int i = 0; i < 2100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "level%d", i);
		node = node_named(table, name, true);
		check_int(node_seen(table, node, deepest, name, false), 0);
		node_put(table, deepest);
		deepest = node;
	}
	node = root_of(table);
	a = node_named(table, "a_directory", true);
	b = node_named(table, "b_directory", true);
	check_int(node_seen(table, a, node, "a", false), 0);
	check_int(node_seen(table, a, deepest, "a", false), 0);
	check_int(node_seen(table, a, node, "a", false), 0);
	check_int(node_seen(table, b, a, "b", false), 0);
	check_int(node_seen(table, a, deepest, "a", false), -ESTALE);
	node_put(table, b);
	check_int(node_seen(table, a, deepest, "a", false), 0);
	node_put(table, a);
	node_put(table, deepest);
	node_put(table, node);
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

	check_int(node_of_fixed(table, FIXED_CONTROL, 1, 0, NULL, &a), 0);
	check_int(node_of_fixed(table, FIXED_CONTROL, 2, 0, NULL, &b), 0);
	check_int(node_of_fixed(table, FIXED_CONTROL, 1, 0, NULL, &c), 0);
	check(a != b && a == c);
	node_put(table, a);
	node_put(table, b);
	node_put(table, c);
	node_table_free(table);
}

static void name_of(unsigned i, char name[16])
{
	snprintf(name, 16, "many-%u", i);
}

/*
 * Look up as many files as the owner may have; how many these were. Each is known to the kernel
 * once.
 */
static unsigned look_up_all(struct node_table *table, uid_t owner, unsigned from, uint64_t *ids)
{
	unsigned count = 0;

	for (;; count++) {
		struct node *node = NULL;
		char name[16];
		int r;

		name_of(from + count, name);
		r = find_named(table, name, false, owner, &node);
		if (r < 0) {
			check_int(r, -ENFILE);
			return count;
		}
		ids[count] = node->id;
		node_looked_up(table, node);
		node_put(table, node);
	}
}

TEST(one_user_has_half_at_most_and_root_its_own_part)
{
	struct node_table *table = table_new();
	uint64_t ids[LIMIT];
	struct node *node;

	check_int(look_up_all(table, 1000, 0, ids), LIMIT / 2);
	check_int(node_has_room(table, 1000), -ENFILE);
	check_int(node_has_room(table, 1001), 0);
	/* What is known already costs nothing more, whoever asks. */
	check_int(find_named(table, "many-0", false, 1000, &node), 0);
	check_int((long)node->id, (long)ids[0]);
	node_put(table, node);
	check_int(look_up_all(table, 1001, 100, ids), LIMIT / 4);
	check_int(look_up_all(table, 0, 200, ids), LIMIT);
	check_int(node_has_room(table, 1002), 0);
	node_forget(table, ids[0], 1);
	check_int(node_has_room(table, 0), 0);
	node_table_free(table);
}

TEST(who_has_nearly_too_many_no_longer_pays_for_what_others_look_up)
{
	struct node_table *table = table_new();
	uint64_t roots[LIMIT], ids[LIMIT];
	struct node *node;
	char name[16];
	unsigned count = look_up_all(table, 0, 0, roots);

	/* Until a user has taken over half of root's, which are at home with root then. */
	for (unsigned i = 0; i < count; i++) {
		name_of(i, name);
		check_int(find_named(table, name, false, 1000, &node), 0);
		check_int(node->owner, i < count / 2 ? 1000 : 0);
		node_put(table, node);
	}
	check_int(node_has_room(table, 0), 0);
	/* One who has as much as he may gets none of them, and they stay whose they are. */
	look_up_all(table, 1000, 100, ids);
	check(look_up_all(table, 0, 200, ids) > 0);
	name_of(count - 1, name);
	check_int(find_named(table, name, false, 1000, &node), -ENFILE);
	check_int(find_named(table, name, false, 0, &node), 0);
	check_int(node->owner, 0);
	node_put(table, node);
	node_table_free(table);
}

TEST(idle_nodes_of_all_who_have_too_many_are_named_the_oldest_first)
{
	struct node_table *table = table_new();
	uint64_t mine[LIMIT], others[LIMIT], idle[LIMIT];
	struct idle_round round = { .over = false };
	struct node *used;
	unsigned count, other_count;

	check_int(node_idle(table, &round, idle, LIMIT), 0);
	check(round.over && !round.found_some);
	count = look_up_all(table, 1000, 0, mine);
	other_count = look_up_all(table, 1001, 100, others);
	used = node_get(table, mine[1]);
	round = (struct idle_round){ .over = false };
	check_int(node_idle(table, &round, idle, 2), 2);
	check(idle[0] == mine[0] && idle[1] == mine[2]);
	check_int(node_idle(table, &round, idle, LIMIT), count - 3);
	check(idle[0] == mine[3] && !round.over);
	/* What the first has in use does not keep the second's from being given back. */
	check_int(node_idle(table, &round, idle, LIMIT), other_count);
	check(idle[0] == others[0]);
	check_int(node_idle(table, &round, idle, LIMIT), 0);
	check(round.over && round.found_some);
	/* Forgotten, they count no more, and nobody has too many. */
	for (unsigned i = 0; i < count; i++)
		node_forget(table, mine[i], 1);
	for (unsigned i = 0; i < other_count; i++)
		node_forget(table, others[i], 1);
	round = (struct idle_round){ .over = false };
	check_int(node_idle(table, &round, idle, LIMIT), 0);
	check(round.over && !round.found_some);
	check_int(node_has_room(table, 1000), 0);
	node_put(table, used);
	node_table_free(table);
}

/* A node of an earlier daemon, which had told the kernel of it once. */
static uint64_t inherit_node(struct node_table *table, const char *name)
{
	struct handover_node *noted = handover_take(handover(), HANDOVER_NODE);
	struct node *node = NULL;
	struct stat st;
	int fd;

	close(openat(root_fd(), name, O_CREAT | O_RDWR, 0600));
	fd = openat(root_fd(), name, O_PATH | O_NOFOLLOW);
	check(fd >= 0 && noted);
	check_int(fstat(fd, &st), 0);
	noted->lookups = 1;
	handover_publish(&noted->id, 4711);
	check_int(node_of_file(table, fd, &st, 0, noted, &node), 0);
	node_put(table, node);
	return 4711;
}

/* The kernel is asked about the next doubtful node, and does not have it. */
static void ask_in_vain(struct node_table *table)
{
	uint64_t lookups = 0;
	struct node *node = node_next_doubtful(table, &lookups);

	check(node != NULL);
	node_correct(table, node, lookups, false);
}

TEST(an_inherited_node_that_the_kernel_has_forgotten_unheard_is_dropped)
{
	struct node_table *table = table_new();
	uint64_t id = inherit_node(table, "inherited");

	node_doubt_inherited(table);
	ask_in_vain(table);
	check(node_get(table, id) == NULL);
	node_table_free(table);
}

TEST(an_inherited_node_stays_while_the_answer_to_a_lookup_is_on_its_way)
{
	struct node_table *table = table_new();
	uint64_t id = inherit_node(table, "inherited");
	struct node *node = node_get(table, id);

	node_looked_up(table, node);
	node_put(table, node);
	node_doubt_inherited(table);
	ask_in_vain(table);
	node = node_get(table, id);
	check(node != NULL);
	node_put(table, node);
	/* What is left after the kernel has forgotten that lookup is asked about again. */
	node_forget(table, id, 1);
	ask_in_vain(table);
	check(node_get(table, id) == NULL);
	node_table_free(table);
}

/* ---- the descriptor store: messages to it end here, and change what it has when they arrive */

static unsigned stored, messages;
static struct node_table *store_table;
static struct node *store_node;
static void (*meanwhile)(void); /* done once, before the next message arrives */

static bool is_message(const struct iovec *text, const char *begin)
{
	return text->iov_len >= strlen(begin) && memcmp(text->iov_base, begin, strlen(begin)) == 0;
}

/* In place of the library's. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	void (*now)(void) = meanwhile;

	(void)fd, (void)flags;
	meanwhile = NULL;
	if (now)
		now();
	messages++;
	if (is_message(message->msg_iov, "FDSTORE=1\n"))
		stored++;
	else if (is_message(message->msg_iov, "FDSTOREREMOVE=1\n"))
		stored = 0;
	return (ssize_t)message->msg_iov->iov_len;
}

static void begin_with_store(void (*now)(void))
{
	static int keeper = -1;
	char number[16];

	if (keeper < 0)
		keeper = socket(AF_UNIX, SOCK_DGRAM, 0);
	snprintf(number, sizeof(number), "%d", keeper);
	setenv(NOTIFY_DESCRIPTOR, number, 1);
	stored = messages = 0;
	store_table = table_new();
	store_node = node_named(store_table, "nameless", false);
	meanwhile = now;
}

static void open_it(void)
{
	node_opened(store_table, store_node, NULL);
}

static void close_it(void)
{
	node_closed(store_table, store_node);
}

static void lose_name(void)
{
	node_loses_name(store_table, store_node->device, store_node->inode);
}

static void end_with_store(void)
{
	unsetenv(NOTIFY_DESCRIPTOR);
	node_put(store_table, store_node);
	node_table_free(store_table);
}

TEST(a_file_that_has_lost_its_name_is_stored_as_long_as_it_is_open)
{
	begin_with_store(NULL);
	open_it();
	open_it();
	check_int(messages, 0);
	lose_name();
	lose_name();
	check_int(stored, 1);
	close_it();
	check_int(stored, 1);
	close_it();
	check_int(stored, 0);
	check_int(messages, 2);
	end_with_store();
}

TEST(a_file_that_is_closed_while_it_is_being_stored_does_not_stay_in_the_store)
{
	begin_with_store(close_it);
	open_it();
	lose_name();
	check_int(messages, 2);
	check_int(stored, 0);
	end_with_store();
}

TEST(a_file_that_is_opened_while_its_last_name_is_removed_is_stored)
{
	begin_with_store(NULL);
	lose_name();
	check_int(messages, 0);
	open_it();
	check_int(stored, 1);
	close_it();
	check_int(stored, 0);
	meanwhile = open_it;
	open_it();
	check_int(stored, 1);
	close_it();
	meanwhile = open_it;
	close_it();
	check_int(stored, 1);
	close_it();
	check_int(stored, 0);
	end_with_store();
}

TEST(a_file_whose_last_name_could_not_be_removed_does_not_stay_in_the_store)
{
	begin_with_store(NULL);
	open_it();
	lose_name();
	check_int(stored, 1);
	node_keeps_name(store_table, store_node->device, store_node->inode);
	check_int(stored, 0);
	close_it();
	open_it();
	check_int(messages, 2);
	close_it();
	end_with_store();
}

TEST(a_file_that_was_restored_from_the_store_and_is_not_open_leaves_it)
{
	begin_with_store(NULL);
	stored = 1;
	node_was_stored(store_table, store_node);
	node_settle_store(store_table, store_node);
	check_int(stored, 0);
	check_int(messages, 1);
	end_with_store();
}
