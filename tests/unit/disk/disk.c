/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verbs on a disk, without a kernel and without a daemon: what a guest reads after each, what
 * the image holds, what is refused and why.
 */
#include "model_world.h"

#include <sys/xattr.h>

#define check_image_untouched(name) check(image_reads(name, 0, BLOCKS, 1))

static void new_disk(void)
{
	world_new();
	make_raw("d", 1);
	check_ok(protect("d"));
}

/* --- protect ---------------------------------------------------------------------------------- */

TEST(a_protected_raw_image_reads_as_it_did)
{
	new_disk();
	check_reads("d", 0, BLOCKS, 1);
	check_int(look("d")->state, DISK_PRISTINE);
	check_int(look("d")->root->record.format, FORMAT_RAW);
	check_int(virtual_size("d"), 1048576);
	world_end();
}

TEST(a_protected_qcow2_image_reads_as_it_did)
{
	world_new();
	make_qcow2("q.qcow2", 7);
	check_ok(protect("q.qcow2"));
	check_reads("q.qcow2", 0, BLOCKS, 7);
	check_int(look("q.qcow2")->root->record.format, FORMAT_QCOW2);
	world_end();
}

TEST(a_disk_is_protected_once)
{
	new_disk();
	check_refused(EEXIST, "already", protect("d"));
	world_end();
}

TEST(what_cannot_be_a_disk_is_refused_and_leaves_nothing)
{
	world_new();
	make_raw("d", 1);
	mkdir(in_world("images/dir"), 0755);
	mkfifo(in_world("images/fifo"), 0644);
	check_int(symlink("d", in_world("images/symlink")), 0);
	check_int(symlink(".", in_world("images/way")), 0);
	check_int(link(in_world("images/d"), in_world("images/second")), 0);
	check_refused(ENOENT, "'none'", protect("none"));
	check_refused(EINVAL, "regular", protect("dir"));
	check_refused(EINVAL, "regular", protect("fifo"));
	check_refused(EINVAL, "symlink", protect("symlink"));
	check_refused(EINVAL, "symlink", protect("way/d"));
	check_refused(EINVAL, "2 links", protect("d"));
	check_refused(EINVAL, "2 links", protect("second"));
	unlink(in_world("images/second"));
	check_refused(EINVAL, "no qcow2", protect_as("d", "qcow2"));
	check_refused(EINVAL, "format must be", protect_as("d", "vmdk"));
	check_refused(EINVAL, "", protect(".revertfs/x"));
	check_refused(EINVAL, "", protect("../d"));
	check_int(count_files("state/disks", ""), 0);
	check_int(count_files("state/layers", ""), 0);
	check_ok(protect("d"));
	world_end();
}

TEST(images_that_lead_elsewhere_are_refused)
{
	world_new();
	make_raw("d", 1);
	check_int(
		shell("cd '%s' && qemu-img create -q -f qcow2 -b d -F raw backing && qemu-img create -q -f qcow2 -o data_file=data with-data 1M && "
		      "qemu-img create -q -f vmdk vmdk 1M",
		      in_world("images")),
		0);
	check_refused(EINVAL, "backing file", protect("backing"));
	check_refused(EINVAL, "backing file", protect_as("backing", "qcow2"));
	check_refused(EINVAL, "data file", protect("with-data"));
	check_refused(EINVAL, "data file", protect_as("with-data", "qcow2"));
	check_refused(EINVAL, "vmdk", protect("vmdk"));
	check_ok(protect_as("backing", "raw"));
	check_ok(protect_as("vmdk", "raw"));
	world_end();
}

TEST(an_image_that_is_open_for_writing_is_refused)
{
	int fd;

	world_new();
	make_raw("d", 1);
	fd = open(in_world("images/d"), O_RDWR | O_CLOEXEC);
	check_refused(EBUSY, "open for writing", protect("d"));
	close(fd);
	check_ok(protect("d"));
	world_end();
}

/* --- reset ------------------------------------------------------------------------------------ */

TEST(what_a_guest_writes_is_read_back_and_the_image_is_not_touched)
{
	new_disk();
	guest_write("d", 10, 5, 2);
	check_reads("d", 10, 5, 2);
	check_reads("d", 9, 1, 1);
	check_reads("d", 15, BLOCKS - 15, 1);
	check_image_untouched("d");
	check_int(look("d")->state, DISK_DIRTY);
	world_end();
}

TEST(a_reset_gives_the_old_bytes_back)
{
	new_disk();
	guest_write("d", 0, BLOCKS, 2);
	check_ok(reset("d"));
	check_reads("d", 0, BLOCKS, 1);
	check_int(look("d")->state, DISK_PRISTINE);
	check_ok(reset("d"));
	check_image_untouched("d");
	world_end();
}

TEST(a_reset_is_refused_while_somebody_can_write)
{
	struct scratch *scratch;

	new_disk();
	guest_write("d", 0, 1, 2);
	scratch = open_scratch("d", true);
	check_refused(EBUSY, "open for writing", reset("d"));
	check_refused(EBUSY, "open for writing", commit("d"));
	close_scratch(scratch, true);
	check_reads("d", 0, 1, 2);
	world_end();
}

static void *close_late(void *scratch)
{
	usleep(300000);
	scratch_close(scratch, true);
	return NULL;
}

TEST(the_last_writer_s_close_may_come_a_little_late)
{
	struct scratch *scratch;
	pthread_t thread;

	new_disk();
	scratch = open_scratch("d", true);
	pthread_create(&thread, NULL, close_late, scratch);
	check_ok(reset("d"));
	pthread_join(thread, NULL);
	scratch_put(scratch);
	world_end();
}

TEST(readers_do_not_hold_up_a_reset_and_keep_what_they_have_open)
{
	struct scratch *old;
	char *path;

	new_disk();
	guest_write("d", 0, 4, 2);
	old = open_scratch("d", false);
	check_ok(reset("d"));
	check_reads("d", 0, 4, 1);
	path = format_text("/proc/%d/fd/%d", getpid(), scratch_fd(old));
	check(file_reads(path, "qcow2", 0, 4, 2));
	close_scratch(old, false);
	free(path);
	world_end();
}

TEST(an_old_scratch_cannot_be_opened_any_more)
{
	struct disk *disk;
	struct scratch *old;

	new_disk();
	disk = disks_find(world->disks, "d");
	old = disk_scratch(disk);
	check_ok(reset("d"));
	check_errno(scratch_open(old, true), ESTALE);
	check_errno(scratch_open(old, false), ESTALE);
	scratch_put(old);
	disk_put(disk);
	world_end();
}

TEST(a_fresh_scratch_has_owner_mode_and_xattrs_of_the_image_and_a_serial_of_its_own)
{
	struct scratch *scratch;
	struct disk *disk;
	struct stat stat;
	uint64_t serial = 0;
	char value[8];

	new_disk();
	disk = disks_find(world->disks, "d");
	check_int(chmod(in_world("images/d"), 0640), 0);
	check_int(chown(in_world("images/d"), 12, 34), 0);
	check_int(setxattr(in_world("images/d"), "user.note", "kept", 4, 0), 0);
	check_int(setxattr(in_world("images/d"), "trusted.libvirt.security.dac", "+0:+0", 5, 0), 0);
	for (int i = 0; i < 3; i++) {
		check_ok(reset("d"));
		scratch = disk_scratch(disk);
		check_int(fstat(scratch_fd(scratch), &stat), 0);
		check_int(stat.st_mode & 07777, 0640);
		check_int(stat.st_uid, 12);
		check_int(stat.st_gid, 34);
		check_int(fgetxattr(scratch_fd(scratch), "user.note", value, sizeof(value)), 4);
		check_int(fgetxattr(scratch_fd(scratch), "trusted.libvirt.security.dac", value, sizeof(value)), -1);
		check(scratch_serial(scratch) > serial);
		serial = scratch_serial(scratch);
		check_int(fchmod(scratch_fd(scratch), 0), 0);
		scratch_put(scratch);
	}
	disk_put(disk);
	world_end();
}

/* --- commit, fold, undo ----------------------------------------------------------------------- */

TEST(a_commit_keeps_what_was_written_and_a_reset_goes_back_to_it)
{
	new_disk();
	check_ok(set("d", "keep-revisions", "5"));
	guest_write("d", 0, 8, 2);
	check_ok(commit("d"));
	check_str(answer.layer, look("d")->head->record.id);
	check_int(look("d")->state, DISK_PRISTINE);
	guest_write("d", 4, 8, 3);
	check_ok(reset("d"));
	check_reads("d", 0, 8, 2);
	check_reads("d", 8, BLOCKS - 8, 1);
	check_image_untouched("d");
	world_end();
}

TEST(a_commit_of_nothing_does_nothing)
{
	new_disk();
	check_ok(commit("d"));
	check_str(answer.layer, "");
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(a_fold_moves_commits_into_the_image_and_changes_nothing_that_is_read)
{
	new_disk();
	check_ok(set("d", "keep-revisions", "5"));
	guest_write("d", 0, 8, 2);
	check_ok(commit("d"));
	guest_write("d", 4, 8, 3);
	check_ok(commit("d"));
	guest_write("d", 6, 1, 4);
	check_ok(set("d", "keep-revisions", "0"));
	check_ok(fold("d"));
	check_int(layer_count("d"), 1);
	check(image_reads("d", 0, 4, 2));
	check(image_reads("d", 4, 8, 3));
	check(image_reads("d", 12, BLOCKS - 12, 1));
	check_reads("d", 6, 1, 4);
	check_reads("d", 4, 2, 3);
	check_int(look("d")->state, DISK_DIRTY);
	check_int(count_files("state/layers", ".qcow2"), 0);
	check_ok(reset("d"));
	check_reads("d", 4, 8, 3);
	world_end();
}

TEST(a_qcow2_image_takes_folds_too)
{
	world_new();
	make_qcow2("q", 7);
	check_ok(protect("q"));
	guest_write("q", 0, 8, 2);
	check_ok(commit("q"));
	check_ok(fold("q"));
	check(file_reads(in_world("images/q"), "qcow2", 0, 8, 2));
	check(file_reads(in_world("images/q"), "qcow2", 8, 100, 7));
	check_int(shell("qemu-img check -q '%s'", in_world("images/q")), 0);
	world_end();
}

TEST(keep_revisions_holds_that_many_commits_back)
{
	new_disk();
	check_ok(set("d", "keep-revisions", "2"));
	for (int i = 0; i < 5; i++) {
		guest_write("d", i, 1, 10 + i);
		check_ok(commit("d"));
	}
	check_ok(fold("d"));
	check_int(layer_count("d"), 3);
	check(image_reads("d", 2, 1, 12));
	check(image_reads("d", 3, 2, 1));
	check_ok(undo("d"));
	check_ok(undo("d"));
	check_reads("d", 2, 1, 12);
	check_reads("d", 3, 2, 1);
	check_refused(ENOENT, "no commit", undo("d"));
	world_end();
}

TEST(undo_goes_back_one_commit_and_keeps_what_it_undoes)
{
	new_disk();
	check_ok(set("d", "keep-revisions", "5"));
	guest_write("d", 0, 1, 2);
	check_ok(commit("d"));
	guest_write("d", 1, 1, 3);
	check_ok(commit("d"));
	check_ok(undo("d"));
	check_contains(answer.head_kept_as, "undone-");
	check_reads("d", 0, 1, 2);
	check_reads("d", 1, 1, 1);
	check(file_reads(layer_named("d", "undone-"), "qcow2", 1, 1, 3));
	world_end();
}

TEST(undo_with_changes_in_the_scratch_keeps_those_aside)
{
	new_disk();
	check_ok(set("d", "keep-revisions", "5"));
	guest_write("d", 0, 1, 2);
	check_ok(commit("d"));
	guest_write("d", 1, 1, 3);
	check_ok(undo("d"));
	check_contains(answer.scratch_kept_as, "before-revert-");
	check_reads("d", 0, 2, 1);
	check(file_reads(layer_named("d", "before-revert-"), "qcow2", 1, 1, 3));
	check(file_reads(layer_named("d", "before-revert-"), "qcow2", 0, 1, 2));
	world_end();
}

TEST(without_a_commit_there_is_nothing_to_undo)
{
	new_disk();
	check_refused(ENOENT, "no commit", undo("d"));
	guest_write("d", 0, 1, 2);
	check_refused(ENOENT, "no commit", undo("d"));
	check_reads("d", 0, 1, 2);
	check_ok(commit("d"));
	check_ok(fold("d"));
	check_refused(ENOENT, "part of its image", undo("d"));
	world_end();
}

/* --- unprotect -------------------------------------------------------------------------------- */

TEST(unprotect_wants_a_pristine_disk_without_layers)
{
	new_disk();
	check_ok(set("d", "keep-revisions", "1"));
	guest_write("d", 0, 1, 2);
	check_refused(EBUSY, "changes in its scratch", unprotect("d"));
	check_ok(commit("d"));
	check_refused(EBUSY, "layers", unprotect("d"));
	check_ok(set("d", "keep-revisions", "0"));
	check_ok(fold("d"));
	check_ok(unprotect("d"));
	check_refused(ENOENT, "no disk 'd'", reset("d"));
	check_int(count_files("state/disks", ""), 0);
	check_int(count_files("state/layers", ""), 0);
	check(image_reads("d", 0, 1, 2));
	check_ok(protect("d"));
	world_end();
}

/* --- properties ------------------------------------------------------------------------------- */

TEST(a_disk_grows_and_its_image_with_the_fold)
{
	struct stat stat;

	new_disk();
	check_ok(set("d", "keep-revisions", "1"));
	check_ok(set("d", "size", "1M"));
	check_int(layer_count("d"), 1);
	check_ok(set("d", "size", "2M"));
	check_int(virtual_size("d"), 2097152);
	check_reads("d", 0, BLOCKS, 1);
	check_reads("d", BLOCKS, BLOCKS, 0);
	guest_write("d", BLOCKS + 5, 1, 9);
	check_refused(EBUSY, "changes in its scratch", set("d", "size", "3M"));
	check_refused(EINVAL, "only grow", set("d", "size", "1M"));
	check_ok(commit("d"));
	check_ok(set("d", "keep-revisions", "0"));
	check_ok(fold("d"));
	check_int(layer_count("d"), 1);
	check_int(lstat(in_world("images/d"), &stat), 0);
	check_int(stat.st_size, 2 << 20);
	check(image_reads("d", 0, BLOCKS, 1));
	check(image_reads("d", BLOCKS + 5, 1, 9));
	world_end();
}

/* --- what others do to the files -------------------------------------------------------------- */

static void rewrite_header(const char *arguments)
{
	struct scratch *scratch = open_scratch("d", true);

	scratch_mark_written(scratch);
	check_int(shell(arguments, scratch_path("d")), 0);
	close_scratch(scratch, true);
}

TEST(a_scratch_whose_header_was_rewritten_is_not_sealed_and_a_reset_mends_it)
{
	static const char *const rewrites[] = {
		"qemu-img rebase -u -f qcow2 -b /etc/passwd -F raw '%s'",
		"qemu-img rebase -u -f qcow2 -b '' '%s'",
		"qemu-img amend -f qcow2 -o lazy_refcounts=on '%s'",
		"qemu-img resize -q -f qcow2 --shrink '%s' 512k",
		"printf 'QFIx' | dd of='%s' conv=notrunc status=none",
		"truncate -s 80 '%s'",
		"truncate -s 0 '%s'",
	};

	new_disk();
	for (size_t i = 0; i < ARRAY_SIZE(rewrites); i++) {
		guest_write("d", 0, 1, 2);
		rewrite_header(rewrites[i]);
		check_refused(EBADMSG, "not what revertfs made", commit("d"));
		check_int(count_files("state/layers", ".qcow2"), 0);
		check_ok(reset("d"));
		check_reads("d", 0, BLOCKS, 1);
	}
	check_image_untouched("d");
	world_end();
}

static void change_image(int pattern)
{
	char block[BLOCK];
	int fd = open(in_world("images/d"), O_RDWR | O_CLOEXEC);

	memset(block, pattern, sizeof(block));
	check_int(pwrite_all(fd, block, sizeof(block), 50 * BLOCK), 0);
	close(fd);
}

TEST(an_image_that_was_changed_is_taken_as_it_is_when_nothing_stands_on_it)
{
	new_disk();
	change_image(5);
	check_ok(reset("d"));
	check_reads("d", 50, 1, 5);
	guest_write("d", 0, 1, 2);
	check_ok(commit("d"));
	check_ok(fold("d"));
	check(image_reads("d", 50, 1, 5));
	world_end();
}

TEST(an_image_that_was_changed_below_changes_is_refused_with_the_ways_out)
{
	new_disk();
	guest_write("d", 0, 1, 2);
	change_image(5);
	check_refused(EBUSY, "changed outside revertfs", commit("d"));
	check_ok(reset("d"));
	check_reads("d", 50, 1, 5);
	check_reads("d", 0, 1, 1);
	world_end();
}

TEST(an_image_that_was_changed_below_layers_is_refused_with_the_ways_out)
{
	new_disk();
	check_ok(set("d", "keep-revisions", "1"));
	guest_write("d", 0, 1, 2);
	check_ok(commit("d"));
	change_image(5);
	check_refused(EBUSY, "changed outside revertfs", reset("d"));
	check_ok(set("d", "keep-revisions", "0"));
	check_refused(EBUSY, "changed outside revertfs", fold("d"));
	world_end();
}

TEST(an_image_that_grew_is_taken_with_its_new_size)
{
	new_disk();
	check_int(truncate(in_world("images/d"), 2 << 20), 0);
	check_ok(reset("d"));
	check_int(virtual_size("d"), 2097152);
	check_reads("d", BLOCKS, BLOCKS, 0);
	world_end();
}

TEST(without_its_image_a_disk_is_refused_and_comes_back_with_it)
{
	new_disk();
	guest_write("d", 0, 1, 2);
	check_int(rename(in_world("images/d"), in_world("away")), 0);
	check_refused(ENOENT, "image", reset("d"));
	check_refused(ENOENT, "image", commit("d"));
	check_int(rename(in_world("away"), in_world("images/d")), 0);
	check_reads("d", 0, 1, 2);
	check_ok(commit("d"));
	check_ok(fold("d"));
	check(image_reads("d", 0, 1, 2));
	world_end();
}

TEST(another_file_under_the_image_s_name_is_taken_only_when_nothing_stands_on_the_old)
{
	new_disk();
	guest_write("d", 0, 1, 2);
	check_int(rename(in_world("images/d"), in_world("away")), 0);
	make_raw("d", 6);
	check_refused(EBUSY, "outside revertfs", commit("d"));
	check_ok(reset("d"));
	check_reads("d", 0, BLOCKS, 6);
	world_end();
}

/* --- the table of disks ----------------------------------------------------------------------- */

struct visits {
	char names[64];
	const char *unprotect; /* at its own visit */
};

static bool visit(void *context, const char *component, bool is_directory)
{
	struct visits *visits = context;
	size_t length = strlen(visits->names);

	(void)is_directory;
	snprintf(visits->names + length, sizeof(visits->names) - length, "%s ", component);
	if (strcmp(component, visits->unprotect) == 0)
		check_ok(unprotect(component));
	return true;
}

TEST(a_walk_goes_on_behind_a_disk_that_leaves_the_table_meanwhile)
{
	const char *const names[] = { "a", "b", "c", "d" };
	struct visits visits = { .unprotect = "b" };

	world_new();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		make_raw(names[i], 1);
		check_ok(protect(names[i]));
	}
	disks_visit_names(world->disks, "", visit, &visits);
	check_str(visits.names, "a b c d ");
	visits = (struct visits){ .unprotect = "d" };
	disks_visit_names(world->disks, "", visit, &visits);
	check_str(visits.names, "a c d ");
	world_end();
}

/* --- failures of qemu-img and of the state ---------------------------------------------------- */
