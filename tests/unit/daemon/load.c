/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a start finds in the state directory, in states made by hand as a crash, another's hand or a
 * bad medium leaves them: mended where that is safe, and otherwise nothing is removed and the disk
 * says why it cannot be served.
 */
#include "daemon_world.h"

/* A stopped world with a disk `d` of one commit (2 in block 0), not folded. */
static char head[17];

static void stopped_with_a_layer(void)
{
	world_new();
	make_raw("d", 1);
	check_ok("protect d");
	check_ok("set d keep-revisions=5");
	guest_write("d", 0, 1, 2);
	check_ok("commit d");
	snprintf(head, sizeof(head), "%s", status_of("d", "head"));
	world_stop();
}

static const char *layer_file(const char *suffix)
{
	return in_world("state/layers/%s%s", head, suffix);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	check(fd >= 0);
	check_int(write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static int file_count(void)
{
	return count_files("state/layers", "") + count_files("state/disks", "") + count_files("state/lost", "");
}

/* --- what is right stays ---------------------------------------------------------------------- */

TEST(a_restart_changes_nothing)
{
	stopped_with_a_layer();
	world_start();
	check_reads("d", 0, 1, 2);
	check_reads("d", 1, BLOCKS - 1, 1);
	check_str(status_of("d", "head"), head);
	check_str(status_of("d", "state"), "pristine");
	guest_write("d", 1, 1, 3);
	world_restart();
	check_reads("d", 1, 1, 3);
	check_str(status_of("d", "state"), "dirty");
	check_int(count_files("state/lost", ""), 0);
	world_end();
}

TEST(a_second_daemon_on_the_same_state_or_images_is_refused)
{
	struct disks *disks = NULL, *first;
	struct sentence error;
	char *state, pid[32];

	snprintf(pid, sizeof(pid), ": pid %d", (int)getpid());
	world_new();
	first = world->disks;
	check_errno(disks_new(&world->options, world->images_fd, -1, world->handover, &disks, &error), EBUSY);
	check_contains(error.text, "another revertfs uses the state directory");
	check_contains(error.text, pid);
	state = world->options.state;
	world->options.state = (char *)in_world("other");
	check_errno(disks_new(&world->options, world->images_fd, -1, world->handover, &disks, &error), EBUSY);
	check_contains(error.text, "another revertfs serves the images directory");
	check_contains(error.text, pid);
	world->options.state = state;
	world->disks = first;
	world_end();
}

TEST(the_state_directory_is_for_its_owner_alone)
{
	struct stat stat;

	world_new();
	check_int(lstat(in_world("state"), &stat), 0);
	check_int(stat.st_mode & 07777, 0700);
	world_end();
}

/* --- what a crash leaves is mended ------------------------------------------------------------ */

TEST(a_scratch_that_is_a_layer_s_file_is_replaced)
{
	stopped_with_a_layer();
	/* Step 5 of the seal is undone: the scratch still is the file that was sealed. */
	check_int(unlink(in_world("state/disks/d/scratch.qcow2")), 0);
	check_int(link(layer_file(".qcow2"), in_world("state/disks/d/scratch.qcow2")), 0);
	world_start();
	check_str(status_of("d", "state"), "pristine");
	check_reads("d", 0, 1, 2);
	guest_write("d", 0, 1, 3);
	check(file_reads(layer_file(".qcow2"), "qcow2", 0, 1, 2));
	world_end();
}

/* So it is where a crash came between steps 3 and 4 of its seal, and the snapshot was deleted. */
TEST(a_scratch_that_is_the_file_of_a_layer_without_names_is_replaced)
{
	char root[17], sealed[17];

	world_new();
	make_raw("d", 1);
	check_ok("protect d");
	snprintf(root, sizeof(root), "%s", status_of("d", "head"));
	guest_write("d", 0, 1, 2);
	check_ok("snapshot d one");
	snprintf(sealed, sizeof(sealed), "%s", status_of("d", "head"));
	guest_write("d", 0, 1, 3);
	check_ok("snapshot d two");
	world_stop();
	check_int(
		shell("cd '%s' && sed -zi 's/\"names\":\\[[^]]*\\]/\"names\":[]/' layers/%s.json && sed -i 's/\"head\":\"[0-9a-f]*\"/\"head\":\"%s\"/' disks/d/disk.json && ln -f layers/%s.qcow2 disks/d/scratch.qcow2",
		      in_world("state"), sealed, root, sealed),
		0);
	world_start();
	check_str(status_of("d", "state"), "pristine");
	check_reads("d", 0, 1, 1);
	world_end();
}

TEST(a_link_without_a_record_is_removed_and_the_scratch_stays)
{
	stopped_with_a_layer();
	world_start();
	guest_write("d", 5, 1, 7);
	world_stop();
	check_int(link(in_world("state/disks/d/scratch.qcow2"), in_world("state/layers/00000000000000aa.qcow2")), 0);
	write_file(in_world("state/layers/00000000000000aa.template"), "x");
	write_file(in_world("state/layers/00000000000000aa.json.new"), "{");
	world_start();
	check_reads("d", 5, 1, 7);
	check_int(count_files("state/layers", ".qcow2"), 1);
	check_int(count_files("state/layers", ".new"), 0);
	check_int(access(in_world("state/layers/00000000000000aa.template"), F_OK), -1);
	check_int(count_files("state/lost", ""), 0);
	world_end();
}

TEST(a_layer_that_nothing_reaches_goes_to_lost)
{
	stopped_with_a_layer();
	check_int(
		shell("cd '%s' && sed 's/%s/00000000000000bb/' %s.json >00000000000000bb.json && cp %s.qcow2 00000000000000bb.qcow2",
		      in_world("state/layers"), head, head, head),
		0);
	world_start();
	check_int(layer_count("d"), 2);
	check_int(count_files("state/layers", ".qcow2"), 1);
	check_int(access(in_world("state/lost/00000000000000bb.qcow2"), F_OK), 0);
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(a_file_that_no_record_stands_for_goes_to_lost)
{
	stopped_with_a_layer();
	write_file(in_world("state/layers/00000000000000cc.qcow2"), "somebody's");
	write_file(in_world("state/layers/notes.txt"), "somebody's");
	world_start();
	check_int(access(in_world("state/lost/00000000000000cc.qcow2"), F_OK), 0);
	check_int(access(in_world("state/lost/notes.txt"), F_OK), 0);
	world_end();
}

TEST(a_folding_layer_that_nothing_stands_on_has_been_folded)
{
	stopped_with_a_layer();
	check_int(
		shell("cd '%s' && sed 's/%s/00000000000000dd/; s/\"sealed\"/\"folding\"/' %s.json >00000000000000dd.json && cp %s.qcow2 00000000000000dd.qcow2",
		      in_world("state/layers"), head, head, head),
		0);
	world_start();
	check_int(layer_count("d"), 2);
	check_int(count_files("state/layers", ".qcow2"), 1);
	check_int(count_files("state/lost", ""), 0);
	world_end();
}

TEST(a_fold_that_was_cut_short_is_taken_up_again)
{
	stopped_with_a_layer();
	check_int(shell("cd '%s' && sed -i 's/\"sealed\"/\"folding\"/' %s.json", in_world("state/layers"), head), 0);
	world_start();
	check_ok("set d keep-revisions=0");
	check_ok("fold d");
	check(image_reads("d", 0, 1, 2));
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(without_its_template_a_layer_serves_all_the_same)
{
	stopped_with_a_layer();
	check_int(shell("rm '%s'/*.template", in_world("state/layers")), 0);
	world_start();
	check_reads("d", 0, 1, 2);
	check_ok("reset d");
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(a_template_of_another_s_making_is_not_used)
{
	stopped_with_a_layer();
	check_int(
		shell("qemu-img create -q -u -f qcow2 -o extended_l2=on,cluster_size=128k -b /etc/passwd -F qcow2 '%s' 1M",
		      layer_file(".template")),
		0);
	world_start();
	check_ok("reset d");
	check_reads("d", 0, 1, 2);
	check_ok("commit d");
	world_end();
}

TEST(a_missing_scratch_is_made_anew)
{
	stopped_with_a_layer();
	check_int(unlink(in_world("state/disks/d/scratch.qcow2")), 0);
	world_start();
	check_str(status_of("d", "state"), "pristine");
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(a_moved_mount_is_named_in_all_headers)
{
	stopped_with_a_layer();
	world_start();
	guest_write("d", 3, 1, 4);
	world_stop();
	check_int(
		shell("cd '%s' && mkdir -p elsewhere/.revertfs/layers && ln -s '%s' elsewhere/.revertfs/images && rm -r mount",
		      world->top, world->options.images),
		0);
	free(world->options.mount);
	world->options.mount = strdup(in_world("elsewhere"));
	world_start();
	check_int(shell("qemu-img info -U '%s' | grep -q '/elsewhere/.revertfs/layers/.*backing_file'",
			layer_file(".qcow2")),
		  0);
	check_reads("d", 0, 1, 2);
	check_reads("d", 3, 1, 4);
	check_ok("reset d");
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(a_disk_that_was_being_protected_or_unprotected_is_gone)
{
	stopped_with_a_layer();
	check_int(mkdir(in_world("state/disks/half"), 0700), 0);
	write_file(in_world("state/disks/half/scratch.qcow2"), "x");
	write_file(in_world("state/disks/half/disk.json.new"), "{");
	world_start();
	check_str(status_of("half", "state"), "(no such disk)");
	check_int(access(in_world("state/disks/half"), F_OK), -1);
	world_end();
}

TEST(another_boot_throws_away_what_was_never_synced)
{
	stopped_with_a_layer();
	world_start();
	check_ok("prepare " UUID1 " domain=one d target=vda source=/vm/d");
	guest_write("d", 3, 1, 4);
	world_stop();
	write_file(in_world("state/boot"), "00000000-0000-4000-8000-000000000000");
	world_start();
	check_str(status_of("d", "state"), "pristine");
	check_reads("d", 3, 1, 1);
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(another_boot_keeps_what_was_written_without_a_session)
{
	stopped_with_a_layer();
	world_start();
	guest_write("d", 3, 1, 4);
	world_stop();
	write_file(in_world("state/boot"), "00000000-0000-4000-8000-000000000000");
	world_start();
	check_str(status_of("d", "state"), "dirty");
	check_reads("d", 3, 1, 4);
	world_end();
}

TEST(a_torn_session_is_over)
{
	stopped_with_a_layer();
	world_start();
	check_ok("prepare " UUID1 " domain=one d target=vda source=/vm/d");
	world_stop();
	check_int(truncate(in_world("state/disks/d/session.json"), 20), 0);
	world_start();
	check_str(status_of("d", "session"), "");
	check_ok("prepare " UUID2 " domain=two d target=vda source=/vm/d");
	world_end();
}

/* --- what cannot be read is left alone -------------------------------------------------------- */

/*
 * Whatever was put there: the start succeeds, the disk has failed with these words, and no file was
 * removed.
 */
static void check_failed(const char *words)
{
	int before = file_count();

	world_start();
	check_str(status_of("d", "state"), "failed");
	check_contains(status_of("d", "last_error"), words);
	check_refused(EIO, "", "reset d");
	check_refused(EIO, "", "commit d");
	check_refused(EIO, "", "unprotect d");
	check_int(file_count(), before);
	check(image_reads("d", 0, BLOCKS, 1));
}

TEST(with_a_torn_disk_record_nothing_is_removed_and_the_disk_has_failed)
{
	char *text;
	size_t length;
	int fd;

	stopped_with_a_layer();
	fd = open(in_world("state/disks/d/disk.json"), O_RDONLY | O_CLOEXEC);
	check_int(read_all(fd, 100000, &text, &length), 0);
	close(fd);
	check_int(truncate(in_world("state/disks/d/disk.json"), 40), 0);
	check_failed("record");
	world_stop();
	write_file(in_world("state/disks/d/disk.json"), text);
	free(text);
	world_start();
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(with_a_torn_layer_record_nothing_is_removed_and_the_disk_has_failed)
{
	stopped_with_a_layer();
	check_int(truncate(layer_file(".json"), 40), 0);
	write_file(in_world("state/layers/00000000000000cc.qcow2"), "may be needed");
	check_failed("head");
	check_int(count_files("state/lost", ""), 0);
	world_end();
}

TEST(with_a_missing_parent_nothing_is_removed_and_the_disk_has_failed)
{
	stopped_with_a_layer();
	check_int(shell("cd '%s' && mkdir ../away && grep -l '\"image\":\"d\"' *.json | xargs -I{} mv {} ../away",
			in_world("state/layers")),
		  0);
	check_failed("head");
	check_int(count_files("state/lost", ""), 0);
	world_stop();
	check_int(shell("cd '%s' && mv away/* layers", in_world("state")), 0);
	world_start();
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(layers_that_stand_on_one_another_in_a_circle_are_left_alone)
{
	stopped_with_a_layer();
	check_int(shell("cd '%s' && sed -i 's/\"parent\":\"[0-9a-f]*\"/\"parent\":\"%s\"/' %s.json",
			in_world("state/layers"), head, head),
		  0);
	check_failed("head");
	world_end();
}

TEST(a_layer_record_under_another_name_is_not_believed)
{
	stopped_with_a_layer();
	check_int(shell("cd '%s' && cp %s.json 00000000000000ee.json", in_world("state/layers"), head), 0);
	world_start();
	check_reads("d", 0, 1, 2);
	check_int(access(in_world("state/layers/00000000000000ee.json"), F_OK), 0);
	world_end();
}

TEST(a_copy_of_a_layer_s_record_under_a_longer_name_is_not_believed)
{
	stopped_with_a_layer();
	check_int(shell("cd '%s' && cp %s.json %s-backup.json", in_world("state/layers"), head, head), 0);
	world_start();
	check_int(layer_count("d"), 2);
	check_reads("d", 0, 1, 2);
	check_int(access(layer_file("-backup.json"), F_OK), 0);
	check_int(count_files("state/lost", ""), 0);
	/* It may be all that tells of a layer. */
	world_stop();
	check_int(unlink(layer_file(".json")), 0);
	check_failed("head");
	check_int(count_files("state/lost", ""), 0);
	world_end();
}

TEST(without_its_layer_s_file_a_disk_has_failed_and_comes_back_with_it)
{
	stopped_with_a_layer();
	check_int(rename(layer_file(".qcow2"), in_world("away")), 0);
	world_start();
	check_str(status_of("d", "state"), "failed");
	check_contains(status_of("d", "last_error"), head);
	check_refused(EIO, head, "reset d");
	check_refused(EIO, head, "prepare " UUID1 " domain=one d target=vda source=/vm/d");
	check_refused(EIO, head, "commit d");
	check_refused(EBUSY, "", "unprotect d");
	check_int(rename(in_world("away"), layer_file(".qcow2")), 0);
	check_ok("reset d");
	check_str(status_of("d", "state"), "pristine");
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(without_its_image_a_disk_is_not_served_and_comes_back_with_it)
{
	stopped_with_a_layer();
	world_start();
	make_raw("e", 5);
	check_ok("protect e"); /* or none were there, and nothing would start */
	world_stop();
	check_int(rename(in_world("images/d"), in_world("away")), 0);
	world_start();
	check_str(status_of("d", "state"), "failed");
	check_int(rename(in_world("away"), in_world("images/d")), 0);
	world_restart();
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(other_disks_are_served_all_the_same)
{
	stopped_with_a_layer();
	world_start();
	make_raw("e", 5);
	check_ok("protect e");
	world_stop();
	check_int(truncate(in_world("state/disks/d/disk.json"), 0), 0);
	world_start();
	check_str(status_of("d", "state"), "failed");
	check_reads("e", 0, BLOCKS, 5);
	guest_write("e", 0, 1, 6);
	check_ok("commit e");
	check_ok("reset e");
	check_reads("e", 0, 1, 6);
	world_end();
}

TEST(an_intent_that_cannot_be_read_is_kept)
{
	stopped_with_a_layer();
	write_file(in_world("state/intents/" UUID1 ".json"), "{\"version\":1");
	write_file(in_world("state/intents/" UUID2 ".json.new"), "{");
	world_start();
	check_reads("d", 0, 1, 2);
	check_int(count_files("state/intents", ".json"), 1);
	check_int(count_files("state/intents", ".new"), 0);
	world_end();
}

TEST(while_a_record_cannot_be_read_nothing_is_folded)
{
	stopped_with_a_layer();
	world_start();
	check_ok("clone d e follow=no");
	check_ok("set e keep-revisions=0");
	world_stop();
	write_file(in_world("state/disks/d/disk.json"), "{\"version\":1");
	world_start();
	/* The layer is the clone's head; whether `d` needs its parent is not known any more. */
	check_refused(EBUSY, "could not be read", "fold e");
	check_reads("e", 0, 1, 2);
	world_end();
}

TEST(a_disk_whose_record_cannot_be_read_has_no_fold)
{
	stopped_with_a_layer();
	world_start();
	check_ok("snapshot d point");
	world_stop();
	check_int(shell("cd '%s' && sed -i 's/\"sealed\"/\"folding\"/' %s.json", in_world("state/layers"), head), 0);
	write_file(in_world("state/disks/d/disk.json"), "{\"version\":1");
	world_start();
	check_refused(EIO, "has failed", "fold d");
	world_end();
}

TEST(what_is_no_disk_s_directory_is_left_alone)
{
	stopped_with_a_layer();
	check_int(mkdir(in_world("state/disks/a%%2fb"), 0700), 0);
	check_int(mkdir(in_world("state/disks/%%2E%%2E%%2Fx"), 0700), 0);
	write_file(in_world("state/disks/README"), "x");
	world_start();
	check_int(access(in_world("state/disks/a%%2fb"), F_OK), 0);
	check_int(access(in_world("state/disks/README"), F_OK), 0);
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(without_room_for_its_directories_it_does_not_start)
{
	struct sentence error;

	world_make();
	write_file(in_world("state"), "a file");
	check(new_disks(&error) < 0);
	check_contains(error.text, "state");
	world->disks = NULL;
	world_end();
}
