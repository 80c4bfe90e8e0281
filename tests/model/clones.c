/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots of running disks, clones of both kinds, and exports.
 */
#include "model.h"

#include <sys/stat.h>

#define EXPORTS 3

/* What must stay as it was made, whatever becomes of the disk. */
static struct export
{
	bool there, qcow2;
	struct content content;
}
exports[EXPORTS];

static struct point *any_snapshot(struct disk *disk)
{
	return disk->point_count ? &disk->points[below((unsigned)disk->point_count)] : NULL;
}

/* --- of a disk that is being used ------------------------------------------------------------- */

/* The guest has it open, has flushed, and waits; it goes on afterwards. */
static void while_it_is_open(struct disk *disk, const char *name, struct allowed *allowed)
{
	unsigned first = below(disk->scratch.blocks - 8), pattern = below(255) + 1;
	struct text lines = { 0 };

	add(&lines, "open -o driver=qcow2 %s/%s\nwrite -q -P %u %u %u\nflush\n", mnt, disk->name, pattern,
	    first * BLOCK, 8 * BLOCK);
	if (*io(lines.bytes))
		fail("'%s' cannot be written", disk->name);
	memset(disk->scratch.byte + first, (int)pattern, 8);
	disk->dirty = true;
	if (!disk->session.present && (disk->fate == FATE_DISCARD || disk->fate == FATE_UNSYNCED))
		disk->fate = FATE_UNHOOKED;
	if (expect(allowed, command("snapshot %s %s live=yes", disk->name, name)) == 0)
		expect_point(disk, name, &disk->scratch);
	lines.length = 0;
	add(&lines, "write -q -P %u %u %u\nclose\n", pattern ^ 1, first * BLOCK, 4 * BLOCK);
	if (*io(lines.bytes))
		fail("'%s' cannot be written after a snapshot", disk->name);
	free(lines.bytes);
	memset(disk->scratch.byte + first, (int)(pattern ^ 1), 4);
	disk->session.had_writer = true;
	disk->session.writers_gone = now();
}

void do_live_snapshot(struct disk *disk)
{
	struct allowed allowed = { 0 };
	char name[32];

	snprintf(name, sizeof(name), "l%u", below(6));
	if (want_protected(disk, &allowed)) {
		if (find_point(disk, name))
			must_fail(&allowed, EEXIST);
		if (!disk->dirty && may_be_torn(disk))
			may_fail(&allowed, EBUSY);
	}
	if (disk->protected && one_in(2))
		while_it_is_open(disk, name, &allowed);
	else if (expect(&allowed, command("snapshot %s %s live=yes", disk->name, name)) == 0)
		expect_point(disk, name, &disk->scratch);
}

/* --- thin clones ------------------------------------------------------------------------------ */

void do_clone(struct disk *disk)
{
	struct disk *clone = &disks[IMAGES + below(DISKS - IMAGES)];
	struct point *point = one_in(3) ? any_snapshot(disk) : NULL;
	bool follow = !one_in(3);
	struct allowed allowed = { 0 };

	if (clone->protected)
		must_fail(&allowed, EEXIST);
	if (want_protected(disk, &allowed) && point && may_be_torn(disk))
		may_fail(&allowed, EBUSY);
	if (expect(&allowed, command("clone %s %s%s%s%s", disk->name, clone->name, point ? " point=" : "",
				     point ? point->name : "", follow ? "" : " follow=no")) != 0)
		return;
	clone->image = point ? point->content : *content_of(disk, disk->head);
	start_model(clone);
	clone->origin = disk;
	clone->follow = follow && !point;
}

void do_remove_clone(struct disk *disk)
{
	enum maybe used = session_is_active(disk);
	char path[PATH_MAX + 64];
	int r;

	snprintf(path, sizeof(path), "%s/%s", mnt, disk->name);
	r = unlink(path) < 0 ? errno : 0;
	note("%u: rm %s -> %s", step, disk->name, r ? strerrorname_np(r) : "0");
	if (!disk->protected) {
		if (r != ENOENT)
			fail("'%s', which is not there, is removed", disk->name);
		return;
	}
	if (r != 0 && r != EBUSY)
		fail("'%s' is not removed: %s", disk->name, strerror(r));
	if (r == EBUSY && used == NO && !disk->hold[0] && !has_clone(disk))
		fail("'%s' is not removed, though nobody uses it", disk->name);
	if (r == 0 && (used == YES || disk->hold[0] || has_clone(disk)))
		fail("'%s' is removed, though it is used", disk->name);
	if (r == 0)
		*disk = (struct disk){ .name = disk->name };
}

/* --- flat copies ------------------------------------------------------------------------------ */

/* The content of a point, or of the head. */
static const struct content *source(struct disk *disk, const struct point *point)
{
	return point ? &point->content : content_of(disk, disk->head);
}

static void export_path(char path[PATH_MAX + 64], const struct export *export)
{
	snprintf(path, PATH_MAX + 64, "%s/out/e%d", top, (int)(export - exports));
}

static void check_file(const char *path, const struct export *export)
{
	const char *said = compare(path, export->qcow2, &export->content);

	if (*said)
		fail("the export '%s' does not read what it should: %s", path, said);
}

void check_export(void)
{
	const struct export *export = &exports[below(EXPORTS)];
	char path[PATH_MAX + 64];

	if (!export->there)
		return;
	export_path(path, export);
	check_file(path, export);
	run("test \"$(jq -r .sha256 '%s.json')\" = \"$(sha256sum <'%s' | cut -d ' ' -f 1)\"", path, path);
	if (export->qcow2)
		run("qemu-img check -q -f qcow2 '%s'", path);
}

void forget_exports(void)
{
	run("rm -rf '%s/out' && mkdir '%s/out'", top, top);
	memset(exports, 0, sizeof(exports));
}

void do_export(struct disk *disk)
{
	struct point *point = one_in(2) ? any_snapshot(disk) : NULL;
	struct export *export = &exports[below(EXPORTS)];
	bool qcow2 = one_in(2), replace = !one_in(4);
	struct allowed allowed = { 0 };
	char path[PATH_MAX + 64];

	if (want_protected(disk, &allowed) && point && may_be_torn(disk))
		may_fail(&allowed, EBUSY);
	if (export->there && !replace)
		must_fail(&allowed, EEXIST);
	export_path(path, export);
	if (expect(&allowed, command("export %s to=%s format=%s%s%s%s%s", disk->name, path, qcow2 ? "qcow2" : "raw",
				     point ? " point=" : "", point ? point->name : "",
				     qcow2 && one_in(2) ? " compress=yes" : "", replace ? " replace=yes" : "")) != 0)
		return;
	export->there = true;
	export->qcow2 = qcow2;
	export->content = *source(disk, point);
	if (!point)
		same_answer(disk, "that its changes are not in the export", member(answer, "uncommitted"),
			    disk->dirty ? "true" : "false");
	check_file(path, export);
}

/* An image that nobody protects makes room for it. */
void do_full_clone(struct disk *disk)
{
	struct disk *clone = &disks[below(IMAGES)];
	struct point *point = one_in(3) ? any_snapshot(disk) : NULL;
	struct allowed allowed = { 0 };
	char path[PATH_MAX + 64];

	if (!disk->protected || clone->protected) {
		must_fail(&allowed, disk->protected ? EEXIST : ENOENT);
		may_fail(&allowed, EEXIST);
		expect(&allowed, command("clone %s %s full=yes", disk->name, clone->name));
		return;
	}
	if (point && may_be_torn(disk))
		may_fail(&allowed, EBUSY);
	snprintf(path, sizeof(path), "%s/%s", mnt, clone->name);
	check_system(unlink(path), "removing an image");
	if (expect(&allowed,
		   command("clone %s %s full=yes format=%s%s%s", disk->name, clone->name,
			   clone->qcow2 ? "qcow2" : "raw", point ? " point=" : "", point ? point->name : "")) != 0) {
		make_image(clone);
		return;
	}
	clone->image = *source(disk, point);
	start_model(clone);
}
