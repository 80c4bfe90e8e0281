/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a domain on its disks: each row of the policy table, at its start (prepare) and at
 * its end (release).
 */
#include "daemon_world.h"

#include "session.h"

#define D1 "domain=one"
#define D2 "domain=two"

static void new_disk(void)
{
	world_new();
	make_raw("d", 1);
	check_ok("protect d");
}

/* The guest of a session: started, it writes 2 into the first block. */
static void new_session(const char *more)
{
	new_disk();
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d %s", more);
	check_str(answered("disks.0.action"), "fresh");
	guest_write("d", 0, 1, 2);
}

/* A guest that wrote 2 and was saved; the disk is held. */
static void new_hold(const char *more)
{
	new_session("");
	check_ok("release " UUID1 " " D1 " reason=saved %s vda source=/vm/d", more);
	check_str(answered("disks.0.action"), "held");
}

static bool has_snapshot(const char *prefix)
{
	char path[64];

	for (int i = 0; i < layer_count("d"); i++)
		for (int k = 0; k < 9; k++) {
			snprintf(path, sizeof(path), "layers.%d.names.%d", i, k);
			if (strncmp(status_of("d", path), prefix, strlen(prefix)) == 0)
				return true;
		}
	return false;
}

/* --- release, without a hold ------------------------------------------------------------------ */

static const struct row {
	const char *reason;
	bool armed_at_start, armed_now, named, moved;
	const char *action;
	int reads;            /* in block 0, once the session is over */
	const char *snapshot; /* the beginning of a name that must be there, or NULL */
} rows[] = {
	{ "shutdown", false, false, true, false, "reset", 1, NULL },
	{ "destroyed", false, false, true, false, "reset", 1, NULL },
	{ "shutdown", true, true, true, false, "committed", 2, NULL },
	{ "destroyed", true, true, true, false, "committed", 2, NULL },
	{ "shutdown", false, true, true, false, "committed", 2, NULL },   /* the flag was set while it ran */
	{ "shutdown", true, false, true, false, "reset", 1, NULL },       /* and taken back */
	{ "shutdown", false, false, false, false, "undecided", 2, NULL }, /* the JSON is gone or does not name it */
	{ "shutdown", true, true, true, true, "undecided", 2, NULL },     /* an external snapshot stands on it */
	{ "crashed", false, false, true, false, "reset", 1, NULL },
	{ "crashed", true, true, true, false, "aside", 1, "uncommitted-" },
	{ "crashed", true, false, false, false, "aside", 1, "uncommitted-" },
	{ "failed", false, false, true, false, "reset", 1, NULL },
	{ "failed", true, true, true, false, "aside", 1, "uncommitted-" },
	{ "daemon", false, false, true, false, "reset", 1, NULL },
	{ "daemon", true, true, true, false, "aside", 1, "uncommitted-" },
	{ "migrated", false, false, true, false, "undecided", 2, NULL },
	{ "unknown", true, true, true, false, "undecided", 2, NULL },
	{ "from snapshot", false, false, true, false, "kept", 2, NULL },
};

static void check_row(const struct row *row)
{
	new_session(row->armed_at_start ? "armed=yes" : "");
	check_ok("set d keep-revisions=1");
	check_ok("release " UUID1 " " D1 " reason=\"%s\" %s %s %s", row->reason, row->named ? "vda" : "",
		 row->named ? (row->moved ? "source=/vm/d.snapshot" : "source=/vm/d") : "",
		 row->named && row->armed_now ? "armed=yes" : "");
	check_str(answered("disks.0.action"), row->action);
	check_str(answered("disks.0.target"), "vda");
	check_reads("d", 0, 1, row->reads);
	check(!row->snapshot || has_snapshot(row->snapshot));
	check_str(status_of("d", "session"), "");
	check_int(strcmp(row->action, "committed") == 0 ? layer_count("d") == 2
							: layer_count("d") == 1 + (row->snapshot != NULL),
		  true);
	check(image_reads("d", 0, BLOCKS, 1));
	world_end();
}

#define ROW(number, promise)              \
	TEST(promise)                     \
	{                                 \
		check_row(&rows[number]); \
	}

ROW(0, after_a_shutdown_the_disk_is_reset)
ROW(1, after_a_destroy_the_disk_is_reset)
ROW(2, after_a_shutdown_an_armed_session_is_committed)
ROW(3, after_a_destroy_an_armed_session_is_committed)
ROW(4, a_flag_set_while_the_guest_ran_commits)
ROW(5, a_flag_taken_back_while_the_guest_ran_resets)
ROW(6, without_its_JSON_a_session_ends_undecided)
ROW(7, a_disk_that_became_a_backing_file_ends_undecided)
ROW(8, after_a_crash_the_disk_is_reset)
ROW(9, after_a_crash_an_armed_session_is_sealed_aside)
ROW(10, after_a_crash_a_session_that_was_armed_is_sealed_aside)
ROW(11, after_a_failed_start_the_disk_is_reset)
ROW(12, after_a_failure_an_armed_session_is_sealed_aside)
ROW(13, when_libvirtd_gives_a_domain_up_the_disk_is_reset)
ROW(14, when_libvirtd_gives_an_armed_domain_up_it_is_sealed_aside)
ROW(15, after_a_migration_the_scratch_stays_undecided)
ROW(16, an_unknown_reason_leaves_the_scratch_undecided)
ROW(17, before_a_revert_to_a_snapshot_the_scratch_stays)

TEST(a_commit_at_release_needs_no_flag)
{
	new_session("");
	check_ok("commit d at=release");
	check_str(status_of("d", "armed"), "true");
	check_ok("release " UUID1 " " D1 " reason=shutdown vda source=/vm/d");
	check_str(answered("disks.0.action"), "committed");
	check_reads("d", 0, 1, 2);
	check_str(status_of("d", "armed"), "false");
	world_end();
}

TEST(an_armed_session_that_wrote_nothing_commits_nothing)
{
	new_disk();
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d armed=yes");
	check_ok("release " UUID1 " " D1 " reason=shutdown vda source=/vm/d armed=yes");
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(a_release_without_a_session_does_nothing)
{
	new_disk();
	check_ok("release " UUID1 " " D1 " reason=shutdown vda source=/vm/d");
	check_str(answered("disks"), "[ ]");
	world_end();
}

TEST(a_release_while_QEMU_still_writes_is_refused)
{
	struct scratch *scratch;

	new_session("");
	scratch = open_scratch("d", true);
	check_refused(EBUSY, "open for writing", "release " UUID1 " " D1 " reason=shutdown vda source=/vm/d");
	close_scratch(scratch, true);
	check_reads("d", 0, 1, 2);
	check_ok("release " UUID1 " " D1 " reason=shutdown vda source=/vm/d");
	check_reads("d", 0, 1, 1);
	world_end();
}

/* --- sessions and others ---------------------------------------------------------------------- */

TEST(a_disk_in_a_session_belongs_to_its_domain)
{
	new_session("");
	check_refused(EBUSY, "'one'", "prepare " UUID2 " " D2 " d target=vda source=/vm/d");
	check_refused(EBUSY, "'one'", "reset d");
	check_refused(EBUSY, "'one'", "reset d force=yes");
	check_refused(EBUSY, "'one'", "commit d");
	check_refused(EBUSY, "'one'", "undo d");
	check_refused(EBUSY, "'one'", "unprotect d");
	check_refused(EBUSY, "'one'", "set d size=2M");
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(a_domain_that_starts_again_takes_its_own_session_over)
{
	new_session("");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_reads("d", 0, 1, 1);
	world_end();
}

TEST(a_session_of_an_earlier_daemon_is_over_when_nobody_writes)
{
	new_session("");
	world_restart();
	check_reads("d", 0, 1, 2);
	check_str(status_of("d", "session.uuid"), UUID1);
	check_ok("prepare " UUID2 " " D2 " d target=vda source=/vm/d");
	check_reads("d", 0, 1, 1);
	world_end();
}

TEST(a_release_after_a_restart_still_commits)
{
	new_session("armed=yes");
	world_restart();
	check_ok("release " UUID1 " " D1 " reason=shutdown vda source=/vm/d armed=yes");
	check_str(answered("disks.0.action"), "committed");
	check_reads("d", 0, 1, 2);
	world_end();
}

/* --- leftovers -------------------------------------------------------------------------------- */

static void leave(const char *more)
{
	new_session(more);
	world_restart(); /* the session is over, nobody ended it */
}

TEST(a_leftover_is_discarded)
{
	leave("");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_reads("d", 0, 1, 1);
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(a_leftover_is_sealed_aside_with_leftover_keep)
{
	leave("leftover=keep");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_contains(answered("disks.0.point"), "crash-");
	check_reads("d", 0, 1, 1);
	check(file_reads(layer_named("d", "crash-"), "qcow2", 0, 1, 2));
	world_end();
}

TEST(what_the_session_itself_said_of_its_leftover_counts)
{
	leave("leftover=keep");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d leftover=discard");
	check_contains(answered("disks.0.point"), "crash-");
	world_end();
}

TEST(what_a_domain_says_of_leftovers_goes_before_the_disk_s_own_property_and_leaves_that_alone)
{
	new_disk();
	check_ok("set d leftover=keep");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d leftover=discard");
	guest_write("d", 0, 1, 2);
	world_restart();
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d leftover=discard");
	check_int(layer_count("d"), 1);
	check_str(status_of("d", "properties.leftover"), "keep");
	world_end();
}

TEST(a_leftover_of_an_armed_session_is_always_sealed_aside)
{
	leave("armed=yes leftover=discard");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_contains(answered("disks.0.point"), "uncommitted-");
	check(file_reads(layer_named("d", "uncommitted-"), "qcow2", 0, 1, 2));
	check_reads("d", 0, 1, 1);
	world_end();
}

TEST(what_was_written_without_a_session_is_always_sealed_aside)
{
	new_disk();
	guest_write("d", 0, 1, 2);
	check_str(status_of("d", "unhooked"), "true");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d leftover=discard");
	check_contains(answered("disks.0.point"), "unhooked-");
	check(file_reads(layer_named("d", "unhooked-"), "qcow2", 0, 1, 2));
	check_reads("d", 0, 1, 1);
	check_str(status_of("d", "unhooked"), "false");
	world_end();
}

TEST(an_undecided_scratch_is_reset_at_the_next_start)
{
	new_session("");
	check_ok("release " UUID1 " " D1 " reason=unknown vda source=/vm/d");
	check_reads("d", 0, 1, 2);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_str(answered("disks.0.action"), "fresh");
	check_reads("d", 0, 1, 1);
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(an_undecided_scratch_that_was_armed_or_is_a_backing_file_is_sealed_aside)
{
	new_session("armed=yes");
	check_ok("release " UUID1 " " D1 " reason=unknown vda source=/vm/d armed=yes");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_contains(answered("disks.0.point"), "uncommitted-");
	world_end();
	new_session("");
	check_ok("release " UUID1 " " D1 " reason=shutdown vda source=/vm/d.snapshot");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_contains(answered("disks.0.point"), "uncommitted-");
	world_end();
}

TEST(a_restore_goes_on_with_an_undecided_scratch)
{
	new_session("");
	check_ok("release " UUID1 " " D1 " reason=unknown vda source=/vm/d");
	check_ok("announce " UUID1);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_str(answered("disks.0.action"), "continued");
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(after_a_revert_to_a_libvirt_snapshot_the_guest_goes_on_with_its_scratch)
{
	new_session("");
	check_ok("release " UUID1 " " D1 " reason=\"from snapshot\" vda source=/vm/d");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_str(answered("disks.0.action"), "continued");
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(another_domain_does_not_go_on_with_it)
{
	new_session("");
	check_ok("release " UUID1 " " D1 " reason=\"from snapshot\" vda source=/vm/d");
	check_ok("prepare " UUID2 " " D2 " d target=vda source=/vm/d");
	check_str(answered("disks.0.action"), "fresh");
	check_reads("d", 0, 1, 1);
	world_end();
}

TEST(a_leftover_with_a_foreign_header_is_moved_to_lost)
{
	leave("armed=yes");
	check_int(shell("qemu-img rebase -u -f qcow2 -b /etc/passwd -F raw '%s'", scratch_path("d")), 0);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_reads("d", 0, 1, 1);
	check_int(layer_count("d"), 1);
	check_int(count_files("state/lost", ".qcow2"), 1);
	world_end();
}

/* --- holds ------------------------------------------------------------------------------------ */

TEST(a_saved_guest_resumes_on_the_bytes_it_left)
{
	new_hold("");
	check_reads("d", 0, 1, 2);
	check_str(status_of("d", "hold.domain"), "one");
	check_ok("announce " UUID1);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_str(answered("disks.0.action"), "resumed");
	check_reads("d", 0, 1, 2);
	guest_write("d", 1, 1, 3);
	check_ok("release " UUID1 " " D1 " reason=shutdown vda source=/vm/d");
	check_reads("d", 0, 2, 1);
	check_str(status_of("d", "hold"), "");
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(a_hold_keeps_others_and_other_verbs_away)
{
	new_hold("");
	check_refused(EBUSY, "'one'", "prepare " UUID2 " " D2 " d target=vda source=/vm/d");
	check_refused(EBUSY, "force=yes", "reset d");
	check_refused(EBUSY, "held", "commit d");
	check_refused(EBUSY, "held", "undo d");
	check_refused(EBUSY, "held", "unprotect d");
	check_refused(EBUSY, "held", "set d size=2M");
	world_restart();
	check_reads("d", 0, 1, 2);
	check_refused(EBUSY, "'one'", "prepare " UUID2 " " D2 " d target=vda source=/vm/d");
	world_end();
}

TEST(reset_with_force_gives_a_hold_up)
{
	new_hold("");
	check_ok("reset d force=yes");
	check_reads("d", 0, 1, 1);
	check_int(layer_count("d"), 1);
	check_int(count_files("state/layers", ".qcow2"), 0);
	check_ok("announce " UUID1);
	check_refused(ENOENT, "gone", "prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	world_end();
}

TEST(a_managed_save_that_still_exists_is_resumed_without_an_announcement)
{
	new_hold("saved=yes");
	check_ok("prepare " UUID1 " " D1 " saved=yes d target=vda source=/vm/d");
	check_str(answered("disks.0.action"), "resumed");
	world_end();
}

TEST(a_managed_save_that_is_gone_drops_the_hold)
{
	new_hold("saved=yes");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_str(answered("disks.0.action"), "fresh");
	check_reads("d", 0, 1, 1);
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(a_guest_saved_to_a_file_and_started_afresh_leaves_its_hold_under_a_name)
{
	new_hold("");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_str(answered("disks.0.action"), "fresh");
	check_reads("d", 0, 1, 1);
	check(file_reads(layer_named("d", "saved-"), "qcow2", 0, 1, 2));
	check_str(status_of("d", "hold"), "");
	world_end();
}

TEST(a_failed_restore_keeps_the_hold)
{
	new_hold("");
	check_ok("announce " UUID1);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	guest_write("d", 1, 1, 3);
	check_ok("release " UUID1 " " D1 " reason=failed vda source=/vm/d");
	check_str(answered("disks.0.action"), "dropped");
	check_reads("d", 0, 1, 2);
	check_reads("d", 1, 1, 1);
	check_ok("announce " UUID1);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_str(answered("disks.0.action"), "resumed");
	world_end();
}

TEST(a_resumed_guest_may_be_saved_again)
{
	new_hold("");
	check_ok("announce " UUID1);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	guest_write("d", 1, 1, 3);
	check_ok("release " UUID1 " " D1 " reason=saved vda source=/vm/d");
	check_ok("announce " UUID1);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_reads("d", 0, 1, 2);
	check_reads("d", 1, 1, 3);
	world_end();
}

TEST(a_resumed_and_armed_guest_commits_all_it_wrote)
{
	new_hold("");
	check_ok("announce " UUID1);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d armed=yes");
	guest_write("d", 1, 1, 3);
	check_ok("release " UUID1 " " D1 " reason=shutdown vda source=/vm/d armed=yes");
	check_ok("fold d");
	check(image_reads("d", 0, 1, 2));
	check(image_reads("d", 1, 1, 3));
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(a_restore_whose_layer_is_gone_is_refused)
{
	new_disk();
	check_ok("announce " UUID1);
	check_refused(ENOENT, "saved state", "prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_refused(ENOENT, "saved state", "prepare " UUID1 " " D1 " saved=yes d target=vda source=/vm/d");
	world_end();
}

TEST(an_announcement_is_for_one_start_of_one_domain)
{
	new_hold("");
	check_ok("announce " UUID2);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_str(answered("disks.0.action"), "fresh");
	world_end();
	new_hold("");
	check_ok("announce " UUID1);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_ok("release " UUID1 " " D1 " reason=failed vda source=/vm/d");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_str(answered("disks.0.action"), "fresh");
	world_end();
}

TEST(a_hold_whose_header_was_rewritten_is_not_resumed)
{
	new_hold("");
	check_int(shell("qemu-img rebase -u -f qcow2 -b /etc/passwd -F raw '%s'",
			in_world("state/layers/%s.qcow2", status_of("d", "hold.layer"))),
		  0);
	check_ok("announce " UUID1);
	check_refused(EBADMSG, "cannot resume", "prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	world_end();
}

/* --- the flag --------------------------------------------------------------------------------- */

TEST(a_config_that_was_consumed_already_does_not_arm_again)
{
	new_disk();
	check_ok("prepare " UUID1 " " D1 " config=5:7 d target=vda source=/vm/d armed=yes");
	check_str(answered("disks.0.consumed"), "false");
	guest_write("d", 0, 1, 2);
	check_ok("release " UUID1 " " D1 " config=5:7 reason=shutdown vda source=/vm/d armed=yes");
	world_restart();
	check_ok("prepare " UUID1 " " D1 " config=5:7 d target=vda source=/vm/d armed=yes");
	check_str(answered("disks.0.consumed"), "true");
	check_str(status_of("d", "armed"), "false");
	check_ok("prepare " UUID1 " " D1 " config=5:8 d target=vda source=/vm/d armed=yes");
	check_str(answered("disks.0.consumed"), "false");
	check_str(status_of("d", "armed"), "true");
	world_end();
}

/* --- several disks ---------------------------------------------------------------------------- */

TEST(an_image_that_is_no_disk_yet_is_protected_by_its_first_start)
{
	world_new();
	make_raw("d", 1);
	make_raw("dir/e", 1);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d format=raw dir/e target=vdb source=/vm/e");
	check_str(answered("disks.1.action"), "fresh");
	guest_write("d", 0, 1, 2);
	guest_write("dir/e", 0, 1, 3);
	check_ok("release " UUID1 " " D1 " reason=shutdown vda source=/vm/d armed=yes vdb source=/vm/e");
	check_reads("d", 0, 1, 2);
	check_reads("dir/e", 0, 1, 1);
	world_end();
}

TEST(a_start_acts_on_all_disks_or_on_none)
{
	world_new();
	make_raw("d", 1);
	make_raw("dir/e", 1);
	check_ok("prepare " UUID1 " " D1 " dir/e target=vda source=/vm/e");
	check_ok("protect d");
	guest_write("d", 0, 1, 2);
	check_refused(EBUSY, "'one'",
		      "prepare " UUID2 " " D2 " d target=vda source=/vm/d dir/e target=vdb source=/vm/e");
	check_reads("d", 0, 1, 2);
	check_str(status_of("d", "session"), "");
	check_refused(ENOENT, "'none'",
		      "prepare " UUID2 " " D2 " d target=vda source=/vm/d none target=vdb source=/vm/x");
	check_reads("d", 0, 1, 2);
	check_refused(EINVAL, "twice", "prepare " UUID2 " " D2 " d target=vda source=/vm/d d target=vdb source=/vm/d");
	world_end();
}

TEST(two_disks_are_committed_together_and_leave_no_intent)
{
	world_new();
	make_raw("d", 1);
	make_raw("dir/e", 1);
	check_ok("prepare " UUID1 " " D1
		 " d target=vda source=/vm/d armed=yes dir/e target=vdb source=/vm/e armed=yes");
	guest_write("d", 0, 1, 2);
	guest_write("dir/e", 0, 1, 3);
	check_ok("release " UUID1 " " D1 " reason=shutdown vda source=/vm/d armed=yes vdb source=/vm/e armed=yes");
	check_int(count_files("state/intents", ""), 0);
	check_ok("fold d");
	check_ok("fold dir/e");
	check(image_reads("d", 0, 1, 2));
	check(image_reads("dir/e", 0, 1, 3));
	world_end();
}

TEST(a_commit_that_fails_for_one_disk_commits_none_and_keeps_both)
{
	world_new();
	make_raw("d", 1);
	make_raw("dir/e", 1);
	check_ok("prepare " UUID1 " " D1
		 " d target=vda source=/vm/d armed=yes dir/e target=vdb source=/vm/e armed=yes");
	guest_write("d", 0, 1, 2);
	guest_write("dir/e", 0, 1, 3);
	check_int(shell("qemu-img rebase -u -f qcow2 -b /etc/passwd -F raw '%s'", scratch_path("dir/e")), 0);
	check_refused(EBADMSG, "not what revertfs made",
		      "release " UUID1 " " D1 " reason=shutdown vda source=/vm/d armed=yes vdb source=/vm/e armed=yes");
	check_int(layer_count("d"), 1);
	check_reads("d", 0, 1, 2);
	check_contains(status_of("dir/e", "last_error"), "not what revertfs made");
	check_str(status_of("d", "kept"), "uncommitted");
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d dir/e target=vdb source=/vm/e");
	check(file_reads(layer_named("d", "uncommitted-"), "qcow2", 0, 1, 2));
	check_int(count_files("state/lost", ".qcow2"), 1);
	check(image_reads("d", 0, BLOCKS, 1));
	check(image_reads("dir/e", 0, BLOCKS, 1));
	world_end();
}

TEST(two_domains_with_disks_of_their_own_do_not_disturb_each_other)
{
	world_new();
	make_raw("d", 1);
	make_raw("dir/e", 1);
	check_ok("prepare " UUID1 " " D1 " d target=vda source=/vm/d");
	check_ok("prepare " UUID2 " " D2 " dir/e target=vda source=/vm/e");
	guest_write("d", 0, 1, 2);
	guest_write("dir/e", 0, 1, 3);
	check_ok("release " UUID1 " " D1 " reason=shutdown vda source=/vm/d");
	check_reads("d", 0, 1, 1);
	check_reads("dir/e", 0, 1, 3);
	world_end();
}

/* --- durability ------------------------------------------------------------------------------- */

static bool flush_is_strict(const char *more, const char *property)
{
	struct disk *disk;
	bool strict;

	new_session(more);
	if (property)
		check_ok("set d %s", property);
	disk = disks_find(world->disks, "d");
	pthread_mutex_lock(&world->disks->lock);
	strict = session_is_strict_locked(disk);
	pthread_mutex_unlock(&world->disks->lock);
	disk_put(disk);
	world_end();
	return strict;
}

TEST(a_flush_costs_nothing_in_a_session_that_ends_in_a_reset_and_is_real_in_all_others)
{
	check(!flush_is_strict("", NULL));
	check(flush_is_strict("armed=yes", NULL));
	check(flush_is_strict("leftover=keep", NULL));
	check(flush_is_strict("", "durability=strict"));
	check(!flush_is_strict("", "durability=relaxed"));
}
