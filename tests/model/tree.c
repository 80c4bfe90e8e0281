/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every layer reads, and which layers stand on it, kept in step with status.json.
 *
 * Verbs change the model as they should change the disks; then observe() compares. Two things
 * happen by themselves, in the background, and are taken from the status: a layer that disappears
 * while something stands on it has been folded, and then its parent reads what it read; and a clone
 * that follows, and that nobody uses, may have taken its origin's head.
 */
#include "model.h"

#include <stdlib.h>

struct disk disks[DISKS];
struct layer layers[LAYERS_MAX];
size_t layer_count;

/* --- layers and what they read ---------------------------------------------------------------- */

struct layer *find_layer(const char *id)
{
	for (size_t i = 0; i < layer_count; i++)
		if (strcmp(layers[i].id, id) == 0)
			return &layers[i];
	return NULL;
}

struct layer *layer_of(struct disk *disk, const char *id)
{
	struct layer *layer = find_layer(id);

	if (!layer)
		fail("'%s': layer '%s' is not known", disk->name, id);
	return layer;
}

struct content *content_of(struct disk *disk, const char *id)
{
	struct layer *layer = layer_of(disk, id);

	if (!layer->known)
		fail("'%s': what layer '%s' reads is not known", disk->name, id);
	return &layer->content;
}

static struct layer *find_or_add(const char *id)
{
	struct layer *layer = find_layer(id);

	if (layer)
		return layer;
	if (layer_count == LAYERS_MAX)
		fail("too many layers for the model");
	layer = &layers[layer_count++];
	memset(layer, 0, sizeof(*layer));
	snprintf(layer->id, sizeof(layer->id), "%s", id);
	return layer;
}

void learn(const char *id, const struct content *content)
{
	struct layer *layer = find_or_add(id);

	layer->content = *content;
	layer->known = true;
}

struct content *base_of(struct disk *disk)
{
	return content_of(disk, disk->hold[0] ? disk->hold : disk->head);
}

static const struct disk *image_of(const struct disk *disk)
{
	while (disk->origin)
		disk = disk->origin;
	return disk;
}

bool are_kin(const struct disk *a, const struct disk *b)
{
	return a->protected && b->protected && image_of(a) == image_of(b);
}

static bool is_open_question(const char *id)
{
	return id[0] == HEAD_SEALED[0] || id[0] == HEAD_MOVED[0];
}

void name_layer(struct disk *disk, const char *name, const char *id)
{
	struct point *point = &disk->points[disk->point_count++];

	if (disk->point_count == POINTS_MAX)
		fail("too many points for the model");
	memset(point, 0, sizeof(*point));
	snprintf(point->name, sizeof(point->name), "%s", name);
	snprintf(point->id, sizeof(point->id), "%s", id);
	point->content = *content_of(disk, id);
}

/*
 * A scratch is sealed on what it stands on. Before status is seen, a fold may have taken either
 * away, and what the lower one read is needed for as long as the upper one is.
 */
void will_seal(struct disk *disk)
{
	const char *base = disk->hold[0] ? disk->hold : disk->head;

	if (!is_open_question(base))
		snprintf(disk->sealed_on, sizeof(disk->sealed_on), "%s", base);
}

void expect_point(struct disk *disk, const char *name, const struct content *content)
{
	struct point *point = &disk->pending[disk->pending_count++];

	will_seal(disk);
	memset(point, 0, sizeof(*point));
	snprintf(point->name, sizeof(point->name), "%s", name);
	point->content = *content;
}

struct point *find_point(struct disk *disk, const char *name)
{
	for (size_t i = 0; i < disk->point_count; i++)
		if (strcmp(disk->points[i].name, name) == 0)
			return &disk->points[i];
	return NULL;
}

void sealed_as_head(struct disk *disk, const char *id)
{
	will_seal(disk);
	if (!is_open_question(id)) {
		learn(id, &disk->scratch);
		strcpy(find_layer(id)->parent, disk->sealed_on);
	}
	snprintf(disk->head, sizeof(disk->head), "%s", id);
	disk->dirty = disk->follow = false;
}

void fresh_scratch(struct disk *disk)
{
	if (!is_open_question(disk->head)) /* else it has just been protected, by a prepare */
		disk->scratch = *base_of(disk);
	disk->dirty = false;
}

/* --- one status ------------------------------------------------------------------------------- */

struct view {
	struct json_object *status;
	struct json_object *entry[DISKS]; /* of each disk of the model; NULL: status does not have it */
};

static struct disk *disk_named(const char *name)
{
	for (int i = 0; i < DISKS; i++)
		if (strcmp(disks[i].name, name) == 0)
			return &disks[i];
	fail("there is a disk '%s'", name);
}

static void view_take(struct view *view)
{
	struct json_object *list = NULL;

	memset(view, 0, sizeof(*view));
	view->status = read_status();
	json_object_object_get_ex(view->status, "disks", &list);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		view->entry[disk_named(member(entry, "name")) - disks] = entry;
	}
	for (int i = 0; i < DISKS; i++)
		if (disks[i].protected != (view->entry[i] != NULL))
			fail("'%s' is %s", disks[i].name, disks[i].protected ? "gone" : "there");
}

static struct json_object *list_of(struct json_object *entry)
{
	struct json_object *list = NULL;

	if (!present(entry, "layers", &list))
		fail("'%s' has no layers", member(entry, "name"));
	return list;
}

static const char *hold_in(struct json_object *entry)
{
	struct json_object *hold = NULL;

	return present(entry, "hold", &hold) ? member(hold, "layer") : "";
}

/* Call `visit` for each layer that any disk lists. */
static bool any_listed(const struct view *view,
		       bool (*visit)(const struct view *view, struct disk *disk, struct json_object *layer))
{
	for (int i = 0; i < DISKS; i++) {
		struct json_object *list = view->entry[i] ? list_of(view->entry[i]) : NULL;

		for (size_t k = 0; list && k < json_object_array_length(list); k++)
			if (visit(view, &disks[i], json_object_array_get_idx(list, k)))
				return true;
	}
	return false;
}

/*
 * A fold moves heads and holds first and takes the layer away then: for a moment status has both.
 * Nothing else may choose what a layer is being folded into.
 */
static bool is_in_transit(const struct view *view, struct disk *lister, struct json_object *layer)
{
	const char *parent = member(layer, "parent");

	(void)lister;
	if (strcmp(member(layer, "state"), "folding") != 0)
		return false;
	for (int i = 0; i < DISKS; i++)
		if (view->entry[i] && (strcmp(member(view->entry[i], "head"), parent) == 0 ||
				       strcmp(hold_in(view->entry[i]), parent) == 0))
			return true;
	return false;
}

static bool mark_listed(const struct view *view, struct disk *lister, struct json_object *layer)
{
	struct layer *known = find_layer(member(layer, "id"));

	(void)view, (void)lister;
	if (known)
		known->listed = true;
	return false;
}

static bool take_layer(const struct view *view, struct disk *lister, struct json_object *entry)
{
	struct layer *layer = find_or_add(member(entry, "id"));

	(void)view;
	snprintf(layer->parent, sizeof(layer->parent), "%s", member(entry, "parent"));
	snprintf(layer->file, sizeof(layer->file), "%s", member(entry, "file"));
	layer->folding = strcmp(member(entry, "state"), "folding") == 0;
	layer->qcow2 = layer->parent[0] || image_of(lister)->qcow2;
	layer->listed = true;
	return false;
}

/* --- what happened by itself: clones that have moved on --------------------------------------- */

/* Where a layer that is not listed any more went, if it was folded. */
static const char *folded_into(const char *id)
{
	struct layer *layer = find_layer(id);

	while (layer && !layer->listed && layer->parent[0])
		layer = find_layer(layer->parent);
	return layer ? layer->id : id;
}

/*
 * It has its old head, for its origin's new one was folded into that: only a disk that had taken
 * the new one allows this. Where the new one is not known, a disk that is used has not.
 */
static bool has_come_back(const struct view *view, const struct disk *disk)
{
	const struct disk *origin = disk->origin;

	if (is_open_question(origin->head))
		return !disk->dirty && session_is_active(disk) != YES &&
		       strcmp(folded_into(origin->sealed_on), disk->head) == 0 &&
		       strcmp(member(view->entry[origin - disks], "head"), disk->head) == 0;
	return strcmp(origin->head, disk->head) != 0 && strcmp(folded_into(origin->head), disk->head) == 0;
}

/* A fold changes a head too; but none folds a layer into the head of a disk, as the origin's is. */
static bool has_moved_on(const struct view *view, const struct disk *disk, const char *found)
{
	const char *goal = disk->origin->head;
	struct layer *layer = find_layer(goal);

	if (is_open_question(disk->head))
		return false;
	if (strcmp(found, disk->head) == 0)
		return has_come_back(view, disk);
	if (is_open_question(goal))
		goal = member(view->entry[disk->origin - disks], "head");
	if (!layer || layer->listed)
		return strcmp(found, goal) == 0;
	return strcmp(found, folded_into(goal)) == 0 && strcmp(found, folded_into(disk->head)) != 0;
}

static void move_on(const struct view *view, struct disk *disk, bool *ret_moved)
{
	const char *found = view->entry[disk - disks] ? member(view->entry[disk - disks], "head") : "";

	*ret_moved = false;
	if (!disk->protected || !disk->follow || disk->hold[0] || !has_moved_on(view, disk, found))
		return;
	if (disk->dirty || session_is_active(disk) == YES)
		fail("'%s' took its origin's head while it was used", disk->name);
	snprintf(disk->head, sizeof(disk->head), "%s", found);
	*ret_moved = true;
}

/* --- ... and folds ---------------------------------------------------------------------------- */

static bool stands_on(const char *id, const char *below_id)
{
	for (struct layer *layer = find_layer(id); layer; layer = find_layer(layer->parent))
		if (strcmp(layer->id, below_id) == 0)
			return true;
	return false;
}

/* Whether a head, a hold or a name needs the layer, by what the model knows. */
static bool is_reached(const char *id)
{
	for (int i = 0; i < DISKS; i++) {
		struct disk *disk = &disks[i];

		if (!disk->protected)
			continue;
		if (stands_on(disk->head, id) || stands_on(disk->hold, id) || stands_on(disk->sealed_on, id))
			return true;
		for (size_t k = 0; k < disk->point_count; k++)
			if (stands_on(disk->points[k].id, id))
				return true;
	}
	return false;
}

static void replace_id(char *place, const char *from, const char *to)
{
	if (strcmp(place, from) == 0)
		snprintf(place, 17, "%s", to);
}

static void replace_everywhere(const char *from, const char *to)
{
	for (int i = 0; i < DISKS; i++) {
		replace_id(disks[i].head, from, to);
		replace_id(disks[i].hold, from, to);
		replace_id(disks[i].sealed_on, from, to);
		for (size_t k = 0; k < disks[i].point_count; k++)
			replace_id(disks[i].points[k].id, from, to);
	}
	for (size_t i = 0; i < layer_count; i++)
		replace_id(layers[i].parent, from, to);
}

/*
 * A layer is not there any more: folded into its parent, when something stood on it; else it was
 * given up.
 */
static void forget_layer(struct layer *place)
{
	struct layer gone = *place, *parent = find_layer(gone.parent);

	if (is_reached(gone.id)) {
		if (!parent)
			fail("layer %s, which is needed, is gone, and its parent too", gone.id);
		if (gone.known)
			parent->content = gone.content;
		note("%u: layer %s was folded into %s", step, gone.id, parent->id);
		replace_everywhere(gone.id, parent->id);
	}
	*place = layers[--layer_count];
}

static bool has_gone_child(const struct layer *layer)
{
	for (size_t i = 0; i < layer_count; i++)
		if (!layers[i].listed && strcmp(layers[i].parent, layer->id) == 0)
			return true;
	return false;
}

/* In the order in which they stood on one another, the top first: each takes its content down. */
static void forget_gone_layers(void)
{
	for (size_t i = 0; i < layer_count;) {
		if (layers[i].listed || has_gone_child(&layers[i])) {
			i++;
			continue;
		}
		forget_layer(&layers[i]);
		i = 0;
	}
}

/* --- names ------------------------------------------------------------------------------------ */

/*
 * A name that status has and the model does not: one that the last verb must have made, known by
 * its beginning.
 */
static struct point *take_point(struct disk *disk, const char *name, const char *id)
{
	for (size_t i = 0; i < disk->pending_count; i++) {
		struct point *pending = &disk->pending[i];

		if (strncmp(name, pending->name, strlen(pending->name)) != 0)
			continue;
		if (disk->point_count == POINTS_MAX)
			fail("too many points for the model");
		snprintf(pending->name, sizeof(pending->name), "%s", name);
		snprintf(pending->id, sizeof(pending->id), "%s", id);
		learn(id, &pending->content);
		disk->points[disk->point_count++] = *pending;
		*pending = disk->pending[--disk->pending_count];
		return &disk->points[disk->point_count - 1];
	}
	/*
	 * A daemon was killed when it had named the old head, and the next one, which moved on, did
	 * not say so.
	 */
	if (strncmp(name, "undone-", 7) == 0 && was_struck()) {
		name_layer(disk, name, id);
		return &disk->points[disk->point_count - 1];
	}
	fail("'%s' has a name '%s' that nothing made", disk->name, name);
}

static void take_points(struct disk *disk, struct json_object *list)
{
	bool found[POINTS_MAX] = { false };

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i), *points = NULL;

		if (!present(entry, "names", &points))
			continue;
		for (size_t k = 0; k < json_object_array_length(points); k++) {
			const char *name = json_object_get_string(json_object_array_get_idx(points, k));
			struct point *point = find_point(disk, name);

			if (!point)
				point = take_point(disk, name, member(entry, "id"));
			found[point - disk->points] = true;
			/*
			 * A fold hands the names down before the layer goes: for a moment both have
			 * them.
			 */
			if (strcmp(point->id, member(entry, "id")) != 0 && !disk->job && !find_layer(point->id))
				fail("'%s': the name '%s' went to another layer", disk->name, name);
		}
	}
	for (size_t i = 0; i < disk->point_count; i++)
		if (!found[i])
			fail("'%s': the name '%s' is gone", disk->name, disk->points[i].name);
	if (disk->pending_count)
		fail("'%s': nothing was named '%s...'", disk->name, disk->pending[0].name);
}

/* --- all of it -------------------------------------------------------------------------------- */

void same_answer(struct disk *disk, const char *what, const char *found, const char *expected)
{
	if (strcmp(found, expected) != 0 && !was_struck())
		same_text(disk, what, found, expected);
}

void same_text(struct disk *disk, const char *what, const char *found, const char *expected)
{
	if (strcmp(found, expected) != 0)
		fail("'%s': %s is '%s', not '%s'", disk->name, what, found, expected);
}

/* What sealing made is known by its place: the new head or hold. */
static void take_sealed(struct disk *disk, struct json_object *entry)
{
	if (is_open_question(disk->hold)) {
		snprintf(disk->hold, sizeof(disk->hold), "%s", hold_in(entry));
		learn(disk->hold, &disk->scratch);
	}
	if (is_open_question(disk->head)) {
		bool sealed = disk->head[0] == HEAD_SEALED[0];

		snprintf(disk->head, sizeof(disk->head), "%s", member(entry, "head"));
		if (sealed)
			learn(disk->head, &disk->scratch);
		else
			fresh_scratch(disk);
	}
}

/*
 * What a command ends, an idle session, may outlive the daemon that was killed over the command; it
 * lapses, or the next prepare ends it.
 */
static void take_idle_session(struct disk *disk, struct json_object *entry)
{
	struct json_object *session = NULL;

	if (!disk->session.present && present(entry, "session", &session) && was_struck() &&
	    strcmp(member(session, "active"), "false") == 0 &&
	    strcmp(member(session, "uuid"), uuids[disk->session.domain]) == 0)
		disk->session.present = true;
}

static void compare_disk(struct disk *disk, struct json_object *entry)
{
	static const char *const fate_names[] = { "",         "leftover",  "armed",    "uncommitted",
						  "unhooked", "undecided", "snapshot", "unsynced" };
	struct json_object *session = NULL, *error = NULL;

	take_points(disk, list_of(entry));
	take_idle_session(disk, entry);
	same_text(disk, "its head", member(entry, "head"), disk->head);
	same_text(disk, "its hold", hold_in(entry), disk->hold);
	same_text(disk, "its template", member(entry, "template"), disk->origin ? disk->origin->name : "");
	same_text(disk, "that it follows", member(entry, "follow"), disk->follow ? "true" : "false");
	same_text(disk, "its state", member(entry, "state"), disk->dirty ? "dirty" : "pristine");
	same_text(disk, "what is kept", member(entry, "kept"), fate_names[disk->fate]);
	same_text(disk, "its session", present(entry, "session", &session) ? member(session, "uuid") : "",
		  disk->session.present ? uuids[disk->session.domain] : "");
	if ((unsigned)atoi(member(entry, "virtual_size")) != content_of(disk, disk->head)->blocks * BLOCK)
		fail("'%s': its size is %s", disk->name, member(entry, "virtual_size"));
	if (present(entry, "last_error", &error) && strstr(member(entry, "last_error"), "not folded yet"))
		fail("'%s': a fold failed: %s", disk->name, member(entry, "last_error"));
}

static void note_jobs(const struct view *view)
{
	bool has_job[DISKS] = { false };
	struct json_object *job = NULL;

	for (int i = 0; i < DISKS; i++)
		has_job[i] = view->entry[i] && present(view->entry[i], "job", &job);
	for (int i = 0; i < DISKS; i++) {
		disks[i].job = false;
		for (int k = 0; k < DISKS; k++)
			disks[i].job |= has_job[k] && are_kin(&disks[i], &disks[k]);
	}
}

void observe(void)
{
	bool moved[DISKS] = { false };
	struct view view;

	view_take(&view);
	for (int i = 0; i < 1000 && any_listed(&view, is_in_transit); i++) {
		json_object_put(view.status);
		usleep(2000);
		view_take(&view);
	}
	note_jobs(&view);
	for (size_t i = 0; i < layer_count; i++)
		layers[i].listed = false;
	any_listed(&view, mark_listed);
	/* Clones come after the images, but a clone's origin may be a later one. */
	for (int round = 0; round < DISKS - IMAGES; round++)
		for (int i = IMAGES; i < DISKS; i++)
			if (!moved[i])
				move_on(&view, &disks[i], &moved[i]);
	forget_gone_layers();
	any_listed(&view, take_layer);
	for (int i = 0; i < DISKS; i++)
		if (view.entry[i])
			take_sealed(&disks[i], view.entry[i]);
	for (int i = 0; i < DISKS; i++)
		if (moved[i])
			fresh_scratch(&disks[i]);
	for (int i = 0; i < DISKS; i++) {
		disks[i].sealed_on[0] = '\0';
		if (view.entry[i])
			compare_disk(&disks[i], view.entry[i]);
	}
	json_object_put(view.status);
}
