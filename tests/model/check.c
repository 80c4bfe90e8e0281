/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must be so: what files read, what is left to be folded, and what a verb may answer.
 */
#include "model.h"

#include <fcntl.h>

/* --- files ------------------------------------------------------------------------------------ */

/* Empty when it is so; else what qemu-io said. */
static const char *look(const struct disk *disk)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", mnt, disk->name);
	return compare(path, disk->protected || disk->qcow2, disk->protected ? &disk->scratch : &disk->image);
}

void check_content(struct disk *disk)
{
	const char *said;

	if (!disk->protected && disk >= disks + IMAGES)
		return;
	said = look(disk);
	/* A clone that follows may have taken its origin's head since status was read. */
	if (*said && disk->follow) {
		observe();
		said = look(disk);
	}
	if (*said)
		fail("'%s' does not read what it should: %s", disk->name, said);
}

static bool fold_may_be_at_work(void)
{
	bool any = false;

	for (int i = 0; i < DISKS; i++)
		any |= disks[i].protected && disks[i].job;
	for (size_t i = 0; i < layer_count; i++)
		any |= layers[i].folding;
	return any;
}

/*
 * Every layer reads, through its view, what the model says; but one whose child is being folded
 * into it reads nothing.
 */
void check_layers(void)
{
	for (size_t i = 0; i < layer_count && !fold_may_be_at_work(); i++) {
		const char *said = layers[i].known ? compare(layers[i].file, layers[i].qcow2, &layers[i].content) : "";

		if (*said)
			fail("layer %s does not read what it should: %s", layers[i].id, said);
	}
}

static void write_model(const char *path, const struct content *content)
{
	FILE *file = fopen(path, "w");

	for (unsigned i = 0; file && i < content->blocks; i++) {
		uint8_t block[BLOCK];

		memset(block, content->byte[i], sizeof(block));
		fwrite(block, sizeof(block), 1, file);
	}
	if (!file || fclose(file) != 0)
		fail("cannot write '%s'", path);
}

/* By QEMU's own judgement. */
void check_with_qemu_img(struct disk *disk)
{
	char model[PATH_MAX + 16];

	/* One that follows may move on in between. */
	if (!disk->protected || disk->follow)
		return;
	snprintf(model, sizeof(model), "%s/model.raw", top);
	write_model(model, &disk->scratch);
	run("qemu-img check -q -f qcow2 '%s/%s'", mnt, disk->name);
	run("qemu-img compare -q -f raw -F qcow2 '%s' '%s/%s'", model, mnt, disk->name);
	if (disk->qcow2 && !disk->job)
		run("qemu-img check -q -U -f qcow2 '%s/%s'", images, disk->name);
}

/* --- folds ------------------------------------------------------------------------------------ */

static bool is_chosen(const char *id)
{
	for (int i = 0; i < DISKS; i++) {
		const struct disk *disk = &disks[i];

		if (!disk->protected)
			continue;
		if (strcmp(disk->head, id) == 0 || strcmp(disk->hold, id) == 0)
			return true;
		for (size_t k = 0; k < disk->point_count; k++)
			if (strcmp(disk->points[k].id, id) == 0)
				return true;
	}
	return false;
}

static bool is_kept_revision(const char *id)
{
	for (int i = 0; i < DISKS; i++) {
		struct layer *layer = disks[i].protected ? find_layer(disks[i].head) : NULL;

		for (unsigned n = 0; layer && n < disks[i].keep_revisions; n++, layer = find_layer(layer->parent))
			if (strcmp(layer->id, id) == 0)
				return true;
	}
	return false;
}

/*
 * Whether the model's tree has a layer that a fold would take: what `fold` must have done all of.
 */
void check_nothing_to_fold(struct disk *disk)
{
	for (struct layer *layer = find_layer(disk->head); layer && layer->parent[0];
	     layer = find_layer(layer->parent)) {
		unsigned children = 0;

		for (size_t i = 0; i < layer_count; i++)
			children += strcmp(layers[i].parent, layer->parent) == 0;
		if (children == 1 && !is_chosen(layer->parent) && !is_kept_revision(layer->id))
			fail("'%s': layer %s was not folded", disk->name, layer->id);
	}
}

/* --- answers ---------------------------------------------------------------------------------- */

void may_fail(struct allowed *allowed, int error)
{
	allowed->list[allowed->count++] = error;
}

void must_fail(struct allowed *allowed, int error)
{
	may_fail(allowed, error);
	allowed->must_fail = true;
}

int expect(const struct allowed *allowed, int r)
{
	if (r == 0 && !allowed->must_fail)
		return r;
	for (size_t i = 0; i < allowed->count; i++)
		if (allowed->list[i] == r)
			return r;
	fail("it answered %s: %s", r ? strerrorname_np(r) : "0", json_object_to_json_string(answer));
}

/* Sessions lapse with time: 60 s without a writer, 10 s after the last one. */
enum maybe session_is_active(const struct disk *disk)
{
	const struct session *session = &disk->session;
	double age, limit;

	if (!session->present || !session->adopted)
		return NO;
	age = now() - (session->had_writer ? session->writers_gone : session->since);
	limit = session->had_writer ? 10 : 60;
	if (age < limit - 2)
		return YES;
	/* One that has lapsed goes on with the next daemon, which may be the one that answers. */
	return age > limit + 5 && !strikes ? NO : PERHAPS;
}

/* What commit, undo, reset and the like want. */
void want_idle(const struct disk *disk, struct allowed *allowed)
{
	switch (session_is_active(disk)) {
	case YES:
		must_fail(allowed, EBUSY);
		break;
	case PERHAPS:
		may_fail(allowed, EBUSY);
		break;
	case NO:
		break;
	}
}

bool want_protected(const struct disk *disk, struct allowed *allowed)
{
	if (!disk->protected)
		must_fail(allowed, ENOENT);
	return disk->protected;
}
