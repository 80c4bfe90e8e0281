/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk's layers from the image down. The line to the head, and to the scratch that stands on the
 * head, goes straight down. What branches off is drawn first, beside that line, so that a long
 * history without branches needs no indentation:
 *
 *	● image
 *	├─● before-revert-20261125
 *	│ ● something on it
 *	● installed  [head]
 *	○ scratch
 */
#include "draw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status_json.h"

#define ID_SHOWN 8 /* of an id, where a layer has no name */

enum { LAYER, SIZE, MADE, NOTE, TREE_COLUMNS };

static const struct grid_column tree_columns[TREE_COLUMNS] = {
	[LAYER] = { .title = "LAYER", .least = 24 },
	[SIZE] = { .title = "SIZE", .right = true, .drop = 2 },
	[MADE] = { .title = "MADE", .drop = 3 },
	[NOTE] = { .title = "NOTE", .least = 8, .drop = 4 },
};

struct node {
	struct json_object *layer;
	const char *id, *parent;
	bool towards_head; /* the head, or below it */
	bool drawn;        /* a layer that is its own ancestor must not be drawn without end */
};

struct tree {
	struct json_object *disk;
	struct node *nodes;
	size_t count;
	struct grid *grid;
	const struct style *style;
};

static struct node *find_node(const struct tree *tree, const char *id)
{
	for (size_t i = 0; id && i < tree->count; i++)
		if (strcmp(tree->nodes[i].id, id) == 0)
			return &tree->nodes[i];
	return NULL;
}

static void mark_way_to_head(struct tree *tree)
{
	struct node *node = find_node(tree, string_of(tree->disk, "head", NULL));

	for (; node && !node->towards_head; node = find_node(tree, node->parent))
		node->towards_head = true;
}

static int collect_nodes(struct tree *tree)
{
	struct json_object *layer;
	size_t count = 0;

	while (element_of(tree->disk, "layers", count))
		count++;
	tree->nodes = calloc(count + 1, sizeof(*tree->nodes));
	if (!tree->nodes)
		return -1;
	for (; tree->count < count; tree->count++) {
		layer = element_of(tree->disk, "layers", tree->count);
		tree->nodes[tree->count] = (struct node){ .layer = layer,
							  .id = string_of(layer, "id", "?"),
							  .parent = string_of(layer, "parent", NULL) };
	}
	mark_way_to_head(tree);
	return 0;
}

static bool is_head(const struct tree *tree, const struct node *node)
{
	return strcmp(node->id, string_of(tree->disk, "head", "")) == 0;
}

static struct json_object *hold_of(const struct tree *tree)
{
	return object_of(tree->disk, "hold");
}

static bool is_hold(const struct tree *tree, const struct node *node)
{
	return strcmp(node->id, string_of(hold_of(tree), "layer", "")) == 0;
}

/* ---- texts */

/* Its names, or else the beginning of its id. */
static void put_names(FILE *stream, const struct node *node)
{
	struct json_object *name;
	size_t count = 0;

	for (; (name = element_of(node->layer, "names", count)); count++)
		fprintf(stream, "%s%s", count ? ", " : "", json_object_get_string(name));
	if (!count && !node->parent)
		fputs("image", stream);
	else if (!count)
		fprintf(stream, "%.*s", ID_SHOWN, node->id);
}

static char *label_of(const struct tree *tree, const struct node *node, const char *lines)
{
	size_t length = 0;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &length);

	if (!stream)
		return NULL;
	fprintf(stream, "%s%s ", lines, tree->style->unicode ? "●" : "*");
	put_names(stream, node);
	if (is_head(tree, node))
		fputs("  [head]", stream);
	if (is_hold(tree, node))
		fputs("  [hold]", stream);
	if (strcmp(string_of(node->layer, "state", ""), "folding") == 0)
		fputs("  [folding]", stream);
	fclose(stream);
	return text;
}

static void put_part(FILE *stream, const char *before, const char *text)
{
	if (text)
		fprintf(stream, "%s%s%s", ftell(stream) > 0 ? ", " : "", before, text);
}

static char *note_of(const struct tree *tree, const struct node *node)
{
	size_t length = 0;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &length);
	const char *consistency = string_of(node->layer, "consistency", NULL);

	if (!stream)
		return NULL;
	put_part(stream, "", string_of(node->layer, "note", NULL));
	put_part(stream, "", consistency && strcmp(consistency, "clean") != 0 ? consistency : NULL);
	put_part(stream, "of ", string_of(node->layer, "domain", NULL));
	if (is_hold(tree, node))
		put_part(stream, "for the saved guest of ", string_of(hold_of(tree), "domain", NULL));
	if (!node->parent)
		put_part(stream, "", string_of(tree->disk, "format", NULL));
	fclose(stream);
	return text;
}

/* ---- rows */

static void add_layer(const struct tree *tree, const struct node *node, const char *lines)
{
	CLEANUP(freep) char *label = label_of(tree, node, lines);
	CLEANUP(freep) char *note = note_of(tree, node);
	char size[SIZE_TEXT_SIZE], made[TIME_TEXT_SIZE];
	enum colour colour = is_head(tree, node) ? BOLD : is_hold(tree, node) ? MAGENTA : PLAIN;

	size_text(number_of(node->layer, "bytes"), size);
	local_time_text(string_of(node->layer, "created", ""), made);
	grid_row(tree->grid);
	grid_cell(tree->grid, LAYER, colour, label);
	grid_cell(tree->grid, SIZE, PLAIN, size);
	grid_cell(tree->grid, MADE, DIM, made);
	grid_cell(tree->grid, NOTE, PLAIN, note);
}

static void add_scratch(const struct tree *tree, const char *lines)
{
	CLEANUP(freep) char *label = format_text("%s%s scratch", lines, tree->style->unicode ? "○" : "o");
	const char *state = string_of(tree->disk, "state", "?");
	struct json_object *session = object_of(tree->disk, "session");
	CLEANUP(freep) char *note = NULL;
	char size[SIZE_TEXT_SIZE], since[TIME_TEXT_SIZE] = "";

	size_text(number_of(tree->disk, "scratch_bytes"), size);
	if (session)
		local_time_text(string_of(session, "since", ""), since);
	note = format_text("%s%s%s", state, session ? ", of " : "", string_of(session, "domain", ""));
	grid_row(tree->grid);
	grid_cell(tree->grid, LAYER, state_colour(state), label);
	grid_cell(tree->grid, SIZE, PLAIN, size);
	grid_cell(tree->grid, MADE, DIM, since);
	grid_cell(tree->grid, NOTE, PLAIN, note);
}

/* On a held disk, a session is that of the saved guest: its scratch stands on the hold. */
static bool scratch_stands_on(const struct tree *tree, const struct node *node)
{
	return hold_of(tree) && object_of(tree->disk, "session") ? is_hold(tree, node) : is_head(tree, node);
}

static struct node *next_child(const struct tree *tree, const struct node *parent, struct node *after)
{
	for (struct node *n = after ? after + 1 : tree->nodes; n < tree->nodes + tree->count; n++)
		if (!n->drawn &&
		    (parent ? n->parent && strcmp(n->parent, parent->id) == 0 : !find_node(tree, n->parent)))
			return n;
	return NULL;
}

/*
 * The child that continues the line: the one towards the head, or else the last one. NULL where the
 * scratch continues it.
 */
static struct node *straight_child(const struct tree *tree, const struct node *node)
{
	struct node *last = NULL;

	if (scratch_stands_on(tree, node))
		return NULL;
	for (struct node *child = next_child(tree, node, NULL); child; child = next_child(tree, node, child)) {
		last = child;
		if (child->towards_head)
			break;
	}
	return last;
}

static void draw_from(struct tree *tree, struct node *node, const char *before, const char *lines)
{
	CLEANUP(freep) char *branch = format_text("%s%s", lines, tree->style->unicode ? "├─" : "|-");
	CLEANUP(freep) char *beside = format_text("%s%s", lines, tree->style->unicode ? "│ " : "| ");

	while (node && branch && beside) {
		struct node *straight, *child = NULL;

		node->drawn = true;
		add_layer(tree, node, before);
		straight = straight_child(tree, node);
		while ((child = next_child(tree, node, child)))
			if (child != straight)
				draw_from(tree, child, branch, beside);
		if (scratch_stands_on(tree, node))
			add_scratch(tree, lines);
		node = straight;
		before = lines;
	}
}

char *draw_tree(struct json_object *disk, const struct style *style)
{
	CLEANUP(grid_freep) struct grid *grid = grid_new(tree_columns, TREE_COLUMNS);
	struct tree tree = { .disk = disk, .grid = grid, .style = style };
	struct node *root;

	if (!grid || collect_nodes(&tree) < 0)
		return NULL;
	while ((root = next_child(&tree, NULL, NULL)))
		draw_from(&tree, root, "", "");
	free(tree.nodes);
	return grid_draw(grid, style);
}
