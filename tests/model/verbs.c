/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each verb on one disk must answer, and what it makes of the model.
 */
#include "model.h"

#include <fcntl.h>

struct disk *any_disk(void)
{
	return &disks[below(DISKS)];
}

void do_write(struct disk *disk)
{
	struct content *content = disk->protected ? &disk->scratch : &disk->image;
	bool writes = !one_in(12);
	struct text lines = { 0 };
	const char *said;

	if (!disk->protected && disk >= disks + IMAGES)
		return;
	note("%u: write %s", step, disk->name);
	add(&lines, "open -o driver=%s %s/%s\n", disk->protected || disk->qcow2 ? "qcow2" : "raw", mnt, disk->name);
	for (unsigned n = writes ? below(5) + 1 : 0; n; n--) {
		unsigned first = below(content->blocks), count = one_in(4) ? below(128) + 1 : below(8) + 1;
		unsigned pattern = one_in(6) ? 0 : below(255) + 1;

		if (count > content->blocks - first)
			count = content->blocks - first;
		memset(content->byte + first, (int)pattern, count);
		if (pattern == 0 && one_in(2))
			add(&lines, "write -q -z %s %u %u\n", one_in(2) ? "-u" : "", first * BLOCK, count * BLOCK);
		else
			add(&lines, "write -q -P %u %u %u\n", pattern, first * BLOCK, count * BLOCK);
		if (one_in(6))
			add(&lines, "flush\n");
	}
	add(&lines, "close\n");
	said = io(lines.bytes);
	free(lines.bytes);
	if (*said)
		fail("'%s' cannot be written: %s", disk->name, said);
	if (!disk->protected)
		return;
	disk->dirty |= writes;
	if (!disk->session.present && (disk->fate == FATE_DISCARD || disk->fate == FATE_UNSYNCED))
		disk->fate = FATE_UNHOOKED;
	disk->session.had_writer = true;
	disk->session.writers_gone = now();
}

void start_model(struct disk *disk)
{
	disk->protected = true;
	disk->dirty = false;
	strcpy(disk->head, HEAD_SEALED);
	disk->scratch = disk->image;
	disk->hold[0] = '\0';
	disk->fate = FATE_DISCARD;
	disk->fate_domain = -1;
	disk->fate_armed = disk->fate_unread = disk->commit_at_release = disk->leftover_keep = false;
	disk->keeps_data = false;
	disk->consumed = disk->unread_domain = 0;
	disk->keep_revisions = 0;
	disk->session.present = disk->follow = false;
	disk->origin = NULL;
	disk->point_count = 0;
}

void do_protect(struct disk *disk)
{
	const char *format = one_in(2) ? "" : disk->qcow2 ? " format=qcow2" : " format=raw";
	struct allowed allowed = { 0 };

	if (disk->protected)
		must_fail(&allowed, EEXIST);
	else if (disk >= disks + IMAGES)
		must_fail(&allowed, ENOENT);
	if (expect(&allowed, command("protect %s%s", disk->name, format)) == 0)
		start_model(disk);
}

bool has_clone(const struct disk *disk)
{
	for (int i = IMAGES; i < DISKS; i++)
		if (disks[i].protected && disks[i].origin == disk)
			return true;
	return false;
}

bool has_layers(const struct disk *disk)
{
	const struct layer *root = find_layer(disk->head);

	while (root && root->parent[0])
		root = find_layer(root->parent);
	for (size_t i = 0; i < layer_count; i++)
		if (root && strcmp(layers[i].parent, root->id) == 0)
			return true;
	return false;
}

void do_unprotect(struct disk *disk)
{
	struct allowed allowed = { 0 };
	struct content content;

	if (want_protected(disk, &allowed)) {
		want_idle(disk, &allowed);
		if (disk->hold[0] || disk->dirty)
			must_fail(&allowed, EBUSY);
		if (disk->origin)
			must_fail(&allowed, EINVAL);
		if (has_clone(disk))
			must_fail(&allowed, EBUSY);
		if (has_layers(disk) && disk->job)
			may_fail(&allowed, EBUSY);
		else if (has_layers(disk))
			must_fail(&allowed, EBUSY);
		content = *content_of(disk, disk->head);
	}
	if (expect(&allowed, command("unprotect %s", disk->name)) != 0)
		return;
	disk->protected = false;
	disk->session.present = false;
	disk->image = content;
}

void catch_up(struct disk *disk)
{
	if (disk->follow && !disk->hold[0])
		strcpy(disk->head, disk->origin->head);
}

/* What the domain's file said was for the session that no release has ended. */
void end_by_command(struct disk *disk)
{
	struct session *session = &disk->session;

	if (session->present && session->config && (!session->adopted || session->had_writer))
		disk->consumed = session->config;
	session->present = false;
}

void do_reset(struct disk *disk)
{
	bool force = one_in(3);
	struct allowed allowed = { 0 };

	if (want_protected(disk, &allowed)) {
		want_idle(disk, &allowed);
		if (disk->hold[0] && !force)
			must_fail(&allowed, EBUSY);
		if (disk->keeps_data && disk->dirty && !force)
			must_fail(&allowed, EBUSY);
	}
	if (expect(&allowed, command("reset %s%s", disk->name, force ? " force=yes" : "")) != 0)
		return;
	disk->fate = FATE_DISCARD;
	disk->hold[0] = '\0';
	end_by_command(disk);
	catch_up(disk);
	fresh_scratch(disk);
}

static void want_sealable(struct disk *disk, struct allowed *allowed)
{
	want_idle(disk, allowed);
	if (disk->hold[0])
		must_fail(allowed, EBUSY);
}

/* What a crash has left of a session that may have been armed becomes no head. */
static void want_synced(const struct disk *disk, struct allowed *allowed)
{
	if (disk->dirty && disk->fate == FATE_UNSYNCED)
		must_fail(allowed, EBUSY);
}

void do_commit(struct disk *disk)
{
	struct allowed allowed = { 0 };

	if (want_protected(disk, &allowed)) {
		want_sealable(disk, &allowed);
		want_synced(disk, &allowed);
	}
	if (expect(&allowed, command("commit %s%s", disk->name, one_in(3) ? " note=\"why \\\"not\\\"\"" : "")) != 0)
		return;
	if (!disk->dirty) {
		if (*member(answer, "layer"))
			fail("a commit of nothing made a layer");
		return;
	}
	sealed_as_head(disk, member(answer, "layer"));
	disk->fate = FATE_DISCARD;
	end_by_command(disk);
}

void do_commit_at_release(struct disk *disk)
{
	struct allowed allowed = { 0 };

	want_protected(disk, &allowed);
	if (expect(&allowed, command("commit %s at=release", disk->name)) != 0)
		return;
	disk->commit_at_release = true;
	if (disk->session.present && disk->fate == FATE_DISCARD)
		disk->fate = FATE_ARMED;
}

/* The head becomes `to`; the old head and the scratch's changes get names. */
static void moved_to(struct disk *disk, const char *to, bool discard)
{
	const char *kept = member(answer, "point");
	struct point *known = find_point(disk, kept);

	if (disk->dirty && !discard)
		expect_point(disk, "before-revert-", &disk->scratch);
	/* A daemon that finds it done may name what the head had been kept as before. */
	if (*kept && !(was_struck() && known && strcmp(known->id, disk->head) == 0))
		name_layer(disk, kept, disk->head);
	snprintf(disk->head, sizeof(disk->head), "%s", to);
	disk->fate = FATE_DISCARD;
	disk->follow = false;
	end_by_command(disk);
	fresh_scratch(disk);
}

void do_undo(struct disk *disk)
{
	struct allowed allowed = { 0 };
	char parent[17] = "";
	bool loose =
		disk->job || strikes; /* a fold may remove the head meanwhile; a daemon that starts queues all folds */

	if (want_protected(disk, &allowed)) {
		want_sealable(disk, &allowed);
		strcpy(parent, layer_of(disk, disk->head)->parent);
		if (!parent[0] || disk->follow)
			must_fail(&allowed, ENOENT);
		else if (layer_of(disk, disk->head)->folding && !loose)
			must_fail(&allowed, EBUSY);
		if (loose && (disk->keep_revisions == 0 || allowed.must_fail || layer_of(disk, disk->head)->folding)) {
			may_fail(&allowed, EBUSY);
			may_fail(&allowed, ENOENT);
		}
	}
	if (expect(&allowed, command("undo %s", disk->name)) != 0)
		return;
	/* A fold may have taken the head or the parent away just before. */
	moved_to(disk, loose ? HEAD_MOVED : parent, false);
}

void do_snapshot(struct disk *disk)
{
	struct allowed allowed = { 0 };
	char name[32];

	snprintf(name, sizeof(name), "p%u", below(6));
	if (want_protected(disk, &allowed)) {
		if (find_point(disk, name))
			must_fail(&allowed, EEXIST);
		want_sealable(disk, &allowed);
		want_synced(disk, &allowed);
	}
	if (expect(&allowed, command("snapshot %s %s", disk->name, name)) != 0)
		return;
	expect_point(disk, name, &disk->scratch);
	if (!disk->dirty)
		return;
	sealed_as_head(disk, member(answer, "layer"));
	disk->fate = FATE_DISCARD;
	end_by_command(disk);
}

bool may_be_torn(const struct disk *disk)
{
	bool folding = disk->job || strikes;

	for (size_t i = 0; i < layer_count; i++)
		folding |= layers[i].folding;
	return folding;
}

void do_revert(struct disk *disk)
{
	struct point *point =
		disk->point_count && !one_in(10) ? &disk->points[below((unsigned)disk->point_count)] : NULL;
	bool discard = one_in(4);
	struct allowed allowed = { 0 };
	struct content content;

	if (want_protected(disk, &allowed)) {
		if (!point)
			must_fail(&allowed, ENOENT);
		want_sealable(disk, &allowed);
		if (may_be_torn(disk))
			may_fail(&allowed, EBUSY);
	}
	if (expect(&allowed, command("revert %s %s%s", disk->name, point ? point->name : "none",
				     discard ? " discard=yes" : "")) != 0)
		return;
	content = point->content;
	if (disk->job || strikes) { /* the snapshot's layer may have been folded into its parent meanwhile */
		moved_to(disk, HEAD_SEALED, discard);
		disk->scratch = content;
		return;
	}
	moved_to(disk, point->id, discard);
}

void do_delete(struct disk *disk)
{
	struct point *point =
		disk->point_count && !one_in(10) ? &disk->points[below((unsigned)disk->point_count)] : NULL;
	struct allowed allowed = { 0 };

	if (want_protected(disk, &allowed) && !point)
		must_fail(&allowed, ENOENT);
	if (expect(&allowed, command("delete %s %s", disk->name, point ? point->name : "none")) == 0)
		*point = disk->points[--disk->point_count];
}

static void set_reverts(struct disk *disk, bool keeps)
{
	struct allowed allowed = { 0 };

	if (want_protected(disk, &allowed)) {
		want_idle(disk, &allowed);
		if (keeps && (disk->hold[0] || (disk->dirty && disk->fate != FATE_UNHOOKED)))
			must_fail(&allowed, EBUSY);
	}
	if (expect(&allowed, command("set %s reverts=%s", disk->name, keeps ? "no" : "yes")) != 0)
		return;
	disk->keeps_data = keeps;
	if (keeps)
		end_by_command(disk);
}

void do_set(struct disk *disk)
{
	struct allowed allowed = { 0 };
	unsigned n = below(4);

	/* Mostly taken back, for nothing starts on it meanwhile. */
	if (one_in(4) || (disk->keeps_data && one_in(2))) {
		set_reverts(disk, one_in(3));
		return;
	}
	want_protected(disk, &allowed);
	if (one_in(3)) {
		if (expect(&allowed, command("set %s leftover=%s", disk->name, n % 2 ? "keep" : "discard")) == 0)
			disk->leftover_keep = n % 2;
	} else if (one_in(4)) {
		expect(&allowed, command("set %s durability=%s", disk->name, n % 2 ? "strict" : "relaxed"));
	} else {
		if (expect(&allowed, command("set %s keep-revisions=%u", disk->name, n)) == 0)
			disk->keep_revisions = n;
	}
}

void do_grow(struct disk *disk)
{
	struct allowed allowed = { 0 };
	unsigned old = 0, blocks = BLOCKS_FIRST - 64 + 64 * below(5);

	if (want_protected(disk, &allowed)) {
		want_sealable(disk, &allowed);
		old = content_of(disk, disk->head)->blocks;
		if (blocks < old)
			must_fail(&allowed, EINVAL);
		if (blocks != old && disk->dirty)
			must_fail(&allowed, EBUSY);
	}
	if (expect(&allowed, command("set %s size=%u", disk->name, blocks * BLOCK)) != 0 || blocks == old)
		return;
	disk->follow = false;
	disk->scratch.blocks = blocks;
	memset(disk->scratch.byte + old, 0, blocks - old);
	will_seal(disk);
	strcpy(disk->head, HEAD_SEALED);
}

void do_fold(struct disk *disk)
{
	struct allowed allowed = { 0 };
	bool used = false;

	for (int i = 0; i < DISKS; i++)
		if (are_kin(disk, &disks[i]) && session_is_active(&disks[i]) != NO)
			used = true;
	if (want_protected(disk, &allowed) && used)
		may_fail(&allowed, EBUSY);
	if (expect(&allowed, command("fold %s", disk->name)) != 0)
		return;
	if (!used) {
		observe();
		check_nothing_to_fold(disk);
	}
}

void do_cancel(struct disk *disk)
{
	struct allowed allowed = { .list = { ENOENT }, .count = 1 };

	expect(&allowed, command("cancel %s", disk->name));
}

void do_announce(void)
{
	int domain = (int)below(DOMAINS);

	expect(&(struct allowed){ 0 }, command("announce %s", uuids[domain]));
	announced[domain] = now();
}

/* A program that has the disk open for writing keeps every verb from it, and costs nothing. */
void do_held_open(struct disk *disk)
{
	static const char *const verbs[] = { "reset %s", "commit %s", "undo %s", "unprotect %s", "snapshot %s q" };
	struct allowed allowed = { .list = { EBUSY }, .count = 1, .must_fail = true };
	char path[PATH_MAX + 64], line[PATH_MAX];
	int fd;

	if (!disk->protected)
		return;
	snprintf(path, sizeof(path), "%s/%s", mnt, disk->name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	check_system(fd, "opening a disk");
	snprintf(line, sizeof(line), verbs[below(5)], disk->name);
	expect(&allowed, command("%s", line));
	close(fd);
	if (!disk->session.present && (disk->fate == FATE_DISCARD || disk->fate == FATE_UNSYNCED))
		disk->fate = FATE_UNHOOKED;
	disk->session.had_writer = true;
	disk->session.writers_gone = now();
}
