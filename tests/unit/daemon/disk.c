/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a disk has from its daemon: it is the same after a restart, its folds run by themselves and
 * yield, and layers are prepared ahead.
 */
#include "daemon_world.h"

static void new_disk(void)
{
	world_new();
	make_raw("d", 1);
	check_ok("protect d");
}

TEST(names_with_directories_blanks_percents_and_dots_are_disks)
{
	static const char *const names[] = { "dir/sub/a b.img",      "100%",   "a%2Fb", ".hidden",
					     "\xc3\xa4\xe2\x82\xac", "a\"b\\c" };

	world_new();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		make_raw(names[i], 1);
		check_int(disk_protect(world->disks, names[i], NULL, &(struct sentence){ "" }), 0);
		guest_write(names[i], 3, 1, 9);
	}
	world_restart();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		check_reads(names[i], 3, 1, 9);
		check_reads(names[i], 4, 1, 1);
	}
	world_end();
}

TEST(the_format_is_pinned_when_it_is_protected)
{
	struct scratch *scratch;

	world_new();
	make_raw("d", 1);
	check_ok("protect d format=raw");
	check_int(shell("qemu-img create -q -f qcow2 -b /etc/passwd -F raw '%s' 1M", in_world("evil")), 0);
	scratch = open_scratch("d", true);
	scratch_mark_written(scratch);
	link_layers();
	check_int(shell("qemu-img convert -n -f raw -O qcow2 -S 0 '%s' '%s'", in_world("evil"), scratch_path("d")), 0);
	close_scratch(scratch, true);
	check_ok("commit d");
	check_ok("fold d");
	check_ok("reset d");
	world_restart();
	check_str(status_of("d", "format"), "raw");
	check_ok("reset d");
	check_int(shell("qemu-io -U -r -f raw -c 'read -v 0 4' '%s' | grep -q QFI", in_world("images/d")), 0);
	check_contains(status_of("d", "layers.0.file"), ".backing_file.img");
	world_end();
}

TEST(a_commit_reaches_the_image_by_itself)
{
	new_disk();
	guest_write("d", 0, 8, 2);
	check_ok("commit d");
	for (int i = 0; i < 200 && *status_of("d", "job"); i++)
		usleep(50000);
	check(image_reads("d", 0, 8, 2));
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(a_cancelled_fold_is_taken_up_by_the_next_one)
{
	new_disk();
	check_ok("set d keep-revisions=1");
	check_refused(ENOENT, "no job", "cancel d");
	guest_write("d", 0, 1, 2);
	check_ok("commit d");
	check_ok("fold d");
	check_int(layer_count("d"), 2);
	check_ok("set d keep-revisions=0");
	command("cancel d");
	check_ok("fold d");
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(no_fold_runs_while_somebody_has_the_disk_open)
{
	struct scratch *scratch;

	new_disk();
	check_ok("set d keep-revisions=1");
	guest_write("d", 0, 1, 2);
	check_ok("commit d");
	scratch = open_scratch("d", false);
	check_ok("set d keep-revisions=0");
	check_refused(EBUSY, "is open", "fold d");
	check_int(layer_count("d"), 2);
	check(image_reads("d", 0, BLOCKS, 1));
	close_scratch(scratch, false);
	check_ok("fold d");
	check(image_reads("d", 0, 1, 2));
	world_end();
}

TEST(properties_are_checked_kept_and_shown)
{
	static const char *const bad[] = {
		"keep-revisions=-1", "keep-revisions=1001", "keep-revisions=x", "keep-revisions=",
		"leftover=maybe",    "durability=",         "size=0",           "size=1M1",
		"size=1048577",      "colour=red",          "leftover"
	};

	new_disk();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check_refused(EINVAL, "", "set d %s", bad[i]);
	check_refused(EINVAL, "key=value", "set d");
	check_refused(EINVAL, "twice", "set d leftover=keep leftover=discard");
	check_ok("set d keep-revisions=1000 leftover=keep durability=strict");
	world_restart();
	check_str(status_of("d", "properties.keep-revisions"), "1000");
	check_str(status_of("d", "properties.leftover"), "keep");
	check_str(status_of("d", "properties.durability"), "strict");
	world_end();
}

/* A disk whose daemon runs the qemu-img that lies in the world's directory. */
static void new_disk_with_own_qemu_img(void)
{
	world_make();
	free(world->options.qemu_img);
	world->options.qemu_img = strdup(in_world("qemu-img"));
	check_int(shell("ln -s \"$(command -v qemu-img)\" %s", world->options.qemu_img), 0);
	world_start();
	make_raw("d", 1);
	check_ok("protect d");
}

TEST(without_qemu_img_nothing_is_protected_and_resets_and_commits_go_on)
{
	new_disk_with_own_qemu_img();
	make_raw("e", 1);
	guest_write("d", 0, 1, 2);
	for (int i = 0; i < 1500 && count_files("state/layers", ".template") < 2; i++)
		usleep(20000); /* the next layer's, which is made ahead */
	check_int(rename(in_world("qemu-img"), in_world("away")), 0);
	check_refused(ENOENT, "qemu-img' cannot be started", "protect e");
	check_ok("commit d");
	check_refused(ENOENT, "qemu-img' cannot be started", "fold d");
	check_contains(status_of("d", "last_error"), "qemu-img' cannot be started");
	check_ok("reset d");
	check_reads("d", 0, 1, 2);
	check_int(rename(in_world("away"), in_world("qemu-img")), 0);
	check_ok("fold d");
	check(image_reads("d", 0, 1, 2));
	world_end();
}

TEST(the_names_of_the_verbs_files_stay_few)
{
	new_disk();
	for (int i = 0; i < 20; i++) {
		guest_write("d", i, 1, 2);
		check_ok("commit d");
		check_ok("fold d");
		check_ok("reset d");
	}
	check_int(count_files("state/layers", ".json"), 1);
	check_int(count_files("state/layers", ".qcow2"), 0);
	check(count_files("state/layers", ".template") <= 2);
	check_int(count_files("state/lost", ""), 0);
	check_int(count_files("state/intents", ""), 0);
	world_end();
}
