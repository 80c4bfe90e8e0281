/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions that outlive their daemon: the next one finds what they left.
 */
#include "daemon_world.h"

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
