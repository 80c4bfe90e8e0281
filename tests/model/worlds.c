/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images are made, and at the end of a world all is folded into them and compared.
 */
#include "model.h"

#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>

static const char *const names[DISKS] = { "a.img",  "dir/b.qcow2",  "dir/sub/c.img", "d.qcow2",
					  "k1.img", "dir/k2.qcow2", "dir/k3.qcow2",  "k4.qcow2" };

static int remove_entry(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
	(void)stat, (void)flag, (void)ftw;
	return remove(path);
}

void make_image(struct disk *disk)
{
	struct text lines = { 0 };
	char path[PATH_MAX + 64];

	memset(disk, 0, sizeof(*disk));
	disk->name = names[disk - disks];
	disk->qcow2 = strstr(disk->name, "qcow2") != NULL;
	disk->image.blocks = BLOCKS_FIRST;
	snprintf(path, sizeof(path), "%s/%s", images, disk->name);
	run("qemu-img create -q -f %s '%s' %u", disk->qcow2 ? "qcow2" : "raw", path, BLOCKS_FIRST * BLOCK);
	add(&lines, "open -o driver=%s %s\n", disk->qcow2 ? "qcow2" : "raw", path);
	for (int i = 0; i < 8; i++) {
		unsigned first = below(BLOCKS_FIRST - 64), pattern = below(255) + 1;

		memset(disk->image.byte + first, (int)pattern, 64);
		add(&lines, "write -q -P %u %u %u\n", pattern, first * BLOCK, 64 * BLOCK);
	}
	add(&lines, "close\n");
	if (*io(lines.bytes))
		fail("an image cannot be filled");
	free(lines.bytes);
}

/* What the kernel says of the boot is mounted over (main.c). */
void new_boot(void)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/boot_id", top);
	write_file(path, "%08x-1111-4111-8111-111111111111\n", (unsigned)random64());
}

void world_begin(void)
{
	char path[PATH_MAX + 32];

	nftw(images, remove_entry, 20, FTW_DEPTH | FTW_PHYS);
	nftw(state, remove_entry, 20, FTW_DEPTH | FTW_PHYS);
	mkdir(images, 0755);
	mkdir(mnt, 0755);
	snprintf(path, sizeof(path), "%s/dir", images);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/dir/sub", images);
	mkdir(path, 0755);
	layer_count = 0;
	for (int i = 0; i < IMAGES; i++)
		make_image(&disks[i]);
	for (int i = IMAGES; i < DISKS; i++)
		disks[i] = (struct disk){ .name = names[i] };
	memset(announced, 0, sizeof(announced));
	new_boot();
	daemon_start();
	for (int i = 0; i < IMAGES; i++)
		if (!one_in(4))
			do_protect(&disks[i]);
	observe();
}

/* Names, holds and what was written are given up. */
static void clear(struct disk *disk)
{
	struct allowed must_work = { 0 };

	while (disk->point_count) {
		expect(&must_work, command("delete %s %s", disk->name, disk->points[0].name));
		disk->points[0] = disk->points[--disk->point_count];
	}
	expect(&must_work, command("set %s keep-revisions=0", disk->name));
	disk->keep_revisions = 0;
	expect(&must_work, command("reset %s force=yes", disk->name));
	disk->fate = FATE_DISCARD;
	disk->hold[0] = '\0';
	end_by_command(disk);
	catch_up(disk);
	fresh_scratch(disk);
	observe();
	check_content(disk);
}

static bool remove_a_clone(void)
{
	for (int i = IMAGES; i < DISKS; i++) {
		if (!disks[i].protected || has_clone(&disks[i]))
			continue;
		do_remove_clone(&disks[i]);
		if (disks[i].protected)
			fail("'%s' cannot be removed", disks[i].name);
		observe();
		return true;
	}
	return false;
}

static void finish(struct disk *disk)
{
	struct allowed must_work = { 0 };
	char path[PATH_MAX + 64];
	const char *said;

	expect(&must_work, command("fold %s", disk->name));
	observe();
	check_content(disk);
	if (has_layers(disk))
		fail("'%s' still has layers", disk->name);
	expect(&must_work, command("unprotect %s", disk->name));
	disk->protected = false;
	disk->image = disk->scratch;
	check_content(disk);
	snprintf(path, sizeof(path), "%s/%s", images, disk->name);
	said = compare(path, disk->qcow2, &disk->image);
	if (*said)
		fail("the image '%s' does not hold what was committed: %s", disk->name, said);
}

/* All is given up or folded, and what is left are the images. */
void world_end(void)
{
	/*
	 * What a layer that is given up leaves when its daemon is killed just then is kept in
	 * lost/.
	 */
	static const char *const directories[] = { "disks", "layers", "intents", "makings", "lost" };
	size_t count = sizeof(directories) / sizeof(directories[0]) - (strikes ? 1 : 0);

	daemon_end(SIGTERM); /* ends the sessions too */
	daemon_start();
	for (int i = 0; i < DISKS; i++)
		disks[i].session.adopted = false;
	observe();
	for (int i = 0; i < DISKS; i++)
		if (disks[i].protected)
			clear(&disks[i]);
	while (remove_a_clone())
		;
	for (int i = 0; i < IMAGES; i++)
		if (disks[i].protected)
			finish(&disks[i]);
	observe();
	forget_exports();
	daemon_end(SIGTERM);
	for (size_t i = 0; i < count; i++)
		run("test -z \"$(ls -A '%s/%s')\" || { ls -lR '%s' >&2; false; }", state, directories[i], state);
}
