/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a domain on its disks: each row of the policy table, at its start (prepare) and at
 * its end (release).
 */
#include "model_world.h"

#include "arm.h"
#include "domain_request.h"
#include "session.h"

#define ONE .uuid = UUID1, .domain = "one"
#define TWO .uuid = UUID2, .domain = "two"
#define D .name = "d", .target = "vda", .source = "/vm/d"
#define E .name = "dir/e", .target = "vdb", .source = "/vm/e"
#define DISKS(...)                                       \
	.items = (struct session_item[]){ __VA_ARGS__ }, \
	.count = sizeof((struct session_item[]){ __VA_ARGS__ }) / sizeof(struct session_item)

/* What the last prepare or release did to each disk. */
static struct {
	char target[TARGET_SIZE];
	char action[32];
	char point[SNAPSHOT_NAME_MAX + 1];
	bool consumed;
} answers[2];
static size_t answer_count;

static void take_answers(const struct session_result *result)
{
	memset(answers, 0, sizeof(answers));
	answer_count = result->count;
	for (size_t i = 0; i < answer_count && i < ARRAY_SIZE(answers); i++) {
		const struct participant_result *found = &result->list[i];

		snprintf(answers[i].target, sizeof(answers[i].target), "%s", found->target);
		snprintf(answers[i].action, sizeof(answers[i].action), "%s", found->action);
		snprintf(answers[i].point, sizeof(answers[i].point), "%s", found->snapshot);
		answers[i].consumed = found->consumed;
	}
}

static int ask(int (*verb)(struct disks *, const struct session_request *, struct session_result *, struct sentence *),
	       struct session_request request)
{
	struct session_result result = { 0 };
	int r;

	request.config = request.config ? request.config : "";
	r = verb(world->disks, &request, &result, &error);
	take_answers(&result);
	session_result_clear(&result);
	return r;
}

#define prepare(...) ask(session_prepare, (struct session_request){ __VA_ARGS__ })
#define release(...) ask(session_release, (struct session_request){ __VA_ARGS__ })

static int announce(const char *uuid)
{
	return session_announce(world->disks, uuid);
}

static void new_disk(void)
{
	world_new();
	make_raw("d", 1);
	check_ok(protect("d"));
}

/* The guest of a session: started, it writes 2 into the first block. */
static void begin_session(struct session_item item)
{
	new_disk();
	check_ok(prepare(ONE, DISKS(item)));
	check_str(answers[0].action, "fresh");
	guest_write("d", 0, 1, 2);
}

#define new_session(...) begin_session((struct session_item){ D, __VA_ARGS__ })

/* A guest that wrote 2 and was saved; the disk is held. */
static void new_hold(bool managed)
{
	new_session();
	check_ok(release(ONE, .reason = REASON_SAVED, .saved = managed, DISKS({ D })));
	check_str(answers[0].action, "held");
}

static bool is_armed(const char *name)
{
	const struct disk *disk = look(name);

	return (disk->session && disk->session->armed) || disk->record.commit_at_release;
}

static bool has_snapshot(const char *prefix)
{
	for (const struct layer *layer = world->disks->layers; layer; layer = layer->next)
		if (layer_find_name_locked(layer, "d", prefix))
			return true;
	return false;
}

/* --- release, without a hold ------------------------------------------------------------------ */

static const struct row {
	enum end_reason reason;
	bool armed_at_start, armed_now, named, moved;
	const char *action;
	int reads;            /* in block 0, once the session is over */
	const char *snapshot; /* the beginning of a name that must be there, or NULL */
} rows[] = {
	{ REASON_SHUTDOWN, false, false, true, false, "reset", 1, NULL },
	{ REASON_DESTROYED, false, false, true, false, "reset", 1, NULL },
	{ REASON_SHUTDOWN, true, true, true, false, "committed", 2, NULL },
	{ REASON_DESTROYED, true, true, true, false, "committed", 2, NULL },
	{ REASON_SHUTDOWN, false, true, true, false, "committed", 2, NULL }, /* the flag was set while it ran */
	{ REASON_SHUTDOWN, true, false, true, false, "reset", 1, NULL },     /* and taken back */
	{ REASON_SHUTDOWN, false, false, false, false, "undecided", 2,
	  NULL },                                                          /* the JSON is gone or does not name it */
	{ REASON_SHUTDOWN, true, true, true, true, "undecided", 2, NULL }, /* an external snapshot stands on it */
	{ REASON_CRASHED, false, false, true, false, "reset", 1, NULL },
	{ REASON_CRASHED, true, true, true, false, "aside", 1, "uncommitted-" },
	{ REASON_CRASHED, true, false, false, false, "aside", 1, "uncommitted-" },
	{ REASON_CRASHED, false, false, false, false, "aside", 1, "undecided-" },
	{ REASON_FAILED, false, false, true, false, "reset", 1, NULL },
	{ REASON_FAILED, true, true, true, false, "aside", 1, "uncommitted-" },
	{ REASON_DAEMON, false, false, true, false, "reset", 1, NULL },
	{ REASON_DAEMON, true, true, true, false, "aside", 1, "uncommitted-" },
	{ REASON_MIGRATED, false, false, true, false, "undecided", 2, NULL },
	{ REASON_UNKNOWN, true, true, true, false, "undecided", 2, NULL },
	{ REASON_FROM_SNAPSHOT, false, false, true, false, "kept", 2, NULL },
};

static void check_row(const struct row *row)
{
	struct session_item item = { D, .armed = row->armed_now };

	if (row->moved)
		item.source = "/vm/d.snapshot";
	new_session(.armed = row->armed_at_start);
	check_ok(set("d", "keep-revisions", "1"));
	check_ok(release(ONE, .reason = row->reason, .items = &item, .count = row->named));
	check_str(answers[0].action, row->action);
	check_str(answers[0].target, "vda");
	check_reads("d", 0, 1, row->reads);
	check(!row->snapshot || has_snapshot(row->snapshot));
	check(!look("d")->session);
	check_int(layer_count("d"), 1 + (strcmp(row->action, "committed") == 0 || row->snapshot));
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
ROW(11, after_a_crash_a_session_that_may_have_been_armed_is_sealed_aside)
ROW(12, after_a_failed_start_the_disk_is_reset)
ROW(13, after_a_failure_an_armed_session_is_sealed_aside)
ROW(14, when_libvirtd_gives_a_domain_up_the_disk_is_reset)
ROW(15, when_libvirtd_gives_an_armed_domain_up_it_is_sealed_aside)
ROW(16, after_a_migration_the_scratch_stays_undecided)
ROW(17, an_unknown_reason_leaves_the_scratch_undecided)
ROW(18, before_a_revert_to_a_snapshot_the_scratch_stays)

TEST(reasons_are_read_as_libvirt_writes_them)
{
	static const struct {
		const char *name;
		enum end_reason reason;
	} names[] = { { "shutdown", REASON_SHUTDOWN }, { "destroyed", REASON_DESTROYED },
		      { "crashed", REASON_CRASHED },   { "failed", REASON_FAILED },
		      { "daemon", REASON_DAEMON },     { "migrated", REASON_MIGRATED },
		      { "saved", REASON_SAVED },       { "from snapshot", REASON_FROM_SNAPSHOT },
		      { "unknown", REASON_UNKNOWN } };
	enum end_reason reason;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		check_int(end_reason_parse(names[i].name, &reason), 0);
		check_int(reason, names[i].reason);
	}
	check_errno(end_reason_parse("bored", &reason), EINVAL);
}

TEST(a_commit_at_release_needs_no_flag)
{
	new_session();
	check_ok(commit_at_release("d"));
	check(is_armed("d"));
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D })));
	check_str(answers[0].action, "committed");
	check_reads("d", 0, 1, 2);
	check(!is_armed("d"));
	world_end();
}

TEST(a_commit_at_release_is_used_up_where_the_session_is_sealed_aside)
{
	new_session();
	check_ok(commit_at_release("d"));
	check_ok(release(ONE, .reason = REASON_CRASHED, DISKS({ D })));
	check_contains(answers[0].point, "uncommitted-");
	check(!is_armed("d"));
	check_ok(prepare(ONE, DISKS({ D })));
	guest_write("d", 0, 1, 3);
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D })));
	check_str(answers[0].action, "reset");
	check_reads("d", 0, 1, 1);
	world_end();
}

TEST(an_armed_session_that_wrote_nothing_commits_nothing)
{
	new_disk();
	check_ok(prepare(ONE, DISKS({ D, .armed = true })));
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D, .armed = true })));
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(a_release_without_a_session_does_nothing)
{
	new_disk();
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D })));
	check_int(answer_count, 0);
	world_end();
}

TEST(a_release_while_QEMU_still_writes_is_refused)
{
	struct scratch *scratch;

	new_session();
	scratch = open_scratch("d", true);
	check_refused(EBUSY, "open for writing", release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D })));
	close_scratch(scratch, true);
	check_reads("d", 0, 1, 2);
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D })));
	check_reads("d", 0, 1, 1);
	world_end();
}

/* --- sessions and others ---------------------------------------------------------------------- */

TEST(a_disk_in_a_session_belongs_to_its_domain)
{
	new_session();
	check_refused(EBUSY, "'one'", prepare(TWO, DISKS({ D })));
	check_refused(EBUSY, "'one'", reset("d"));
	check_refused(EBUSY, "'one'", reset_by_force("d"));
	check_refused(EBUSY, "'one'", commit("d"));
	check_refused(EBUSY, "'one'", undo("d"));
	check_refused(EBUSY, "'one'", unprotect("d"));
	check_refused(EBUSY, "'one'", set("d", "size", "2M"));
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(a_domain_that_starts_again_takes_its_own_session_over)
{
	new_session();
	check_ok(prepare(ONE, DISKS({ D })));
	check_reads("d", 0, 1, 1);
	world_end();
}

/* --- leftovers -------------------------------------------------------------------------------- */

TEST(what_was_written_without_a_session_is_always_sealed_aside)
{
	new_disk();
	guest_write("d", 0, 1, 2);
	check_int(look("d")->record.fate, FATE_UNHOOKED);
	check_ok(prepare(ONE, DISKS({ D, .has_leftover = true, .leftover_keep = false })));
	check_contains(answers[0].point, "unhooked-");
	check(file_reads(layer_named("d", "unhooked-"), "qcow2", 0, 1, 2));
	check_reads("d", 0, 1, 1);
	check(look("d")->record.fate != FATE_UNHOOKED);
	world_end();
}

TEST(an_undecided_scratch_is_reset_at_the_next_start)
{
	new_session();
	check_ok(release(ONE, .reason = REASON_UNKNOWN, DISKS({ D })));
	check_reads("d", 0, 1, 2);
	check_ok(prepare(ONE, DISKS({ D })));
	check_str(answers[0].action, "fresh");
	check_reads("d", 0, 1, 1);
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(an_undecided_scratch_that_was_armed_or_is_a_backing_file_is_sealed_aside)
{
	new_session(.armed = true);
	check_ok(release(ONE, .reason = REASON_UNKNOWN, DISKS({ D, .armed = true })));
	check_ok(prepare(ONE, DISKS({ D })));
	check_contains(answers[0].point, "uncommitted-");
	world_end();
	new_session();
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, DISKS({ .target = "vda", .source = "/vm/d.snapshot" })));
	check_ok(prepare(ONE, DISKS({ D })));
	check_contains(answers[0].point, "uncommitted-");
	world_end();
}

/* A session that ended while the domain's file could not be read. */
static void new_unread(void)
{
	new_session();
	check_ok(release(ONE, .reason = REASON_SHUTDOWN));
}

TEST(where_the_flag_could_not_be_read_the_next_start_seals_aside_and_is_not_armed)
{
	new_unread();
	check_ok(prepare(ONE, .config = "corrected", DISKS({ D, .armed = true })));
	check_contains(answers[0].point, "undecided-");
	check(answers[0].consumed && !is_armed("d"));
	check(file_reads(layer_named("d", "undecided-"), "qcow2", 0, 1, 2));
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, .config = "corrected", DISKS({ D, .armed = true })));
	check_str(answers[0].action, "reset");
	check_ok(prepare(ONE, .config = "armed", DISKS({ D, .armed = true })));
	check(!answers[0].consumed && is_armed("d"));
	world_end();
}

TEST(a_flag_that_could_not_be_read_is_used_up_though_a_command_decided_about_the_data)
{
	new_unread();
	check_ok(commit("d"));
	check_ok(prepare(TWO, .config = "anothers", DISKS({ D, .armed = true })));
	check(is_armed("d"));
	check_ok(release(TWO, .reason = REASON_DESTROYED, .config = "taken-back", DISKS({ D })));
	check_ok(prepare(ONE, .config = "corrected", DISKS({ D, .armed = true })));
	check(answers[0].consumed && !is_armed("d"));
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(a_restore_goes_on_with_what_may_have_been_armed_and_is_armed_by_the_flag)
{
	new_unread();
	check_ok(announce(UUID1));
	check_ok(prepare(ONE, .config = "corrected", DISKS({ D, .armed = true })));
	check_str(answers[0].action, "continued");
	check(is_armed("d"));
	check_ok(release(ONE, .reason = REASON_FAILED, .config = "taken-back", DISKS({ D })));
	check_str(answers[0].action, "undecided");
	check_ok(prepare(ONE, .config = "taken-back", DISKS({ D })));
	check_contains(answers[0].point, "uncommitted-");
	world_end();
}

TEST(a_start_that_says_that_the_next_session_is_meant_is_armed)
{
	struct session_result result = { 0 };
	struct session_item other = { .target = "vdb", .armed = true }, same = { .target = "vda", .armed = true };
	struct session_request request = { ONE, .config = "armed", .items = &other, .count = 1 };

	new_unread();
	check_ok(session_arm(world->disks, &request, &result, &error));
	check(look("d")->record.unread_uuid[0]);
	session_result_clear(&result);
	request.items = &same;
	check_ok(session_arm(world->disks, &request, &result, &error));
	session_result_clear(&result);
	check_ok(prepare(ONE, .config = "armed", DISKS({ D, .armed = true })));
	check_contains(answers[0].point, "undecided-");
	check(!answers[0].consumed && is_armed("d"));
	world_end();
}

TEST(of_a_session_without_an_end_whose_file_was_edited_nothing_is_thrown_away)
{
	new_disk();
	check_ok(prepare(ONE, .config = "first", DISKS({ D })));
	guest_write("d", 0, 1, 2);
	check_ok(prepare(ONE, .config = "second", DISKS({ D })));
	check_contains(answers[0].point, "undecided-");
	guest_write("d", 0, 1, 3);
	check_ok(prepare(ONE, .config = "second", DISKS({ D })));
	check_str(answers[0].point, "");
	world_end();
}

TEST(a_restore_goes_on_with_an_undecided_scratch)
{
	new_session();
	check_ok(release(ONE, .reason = REASON_UNKNOWN, DISKS({ D })));
	check_ok(announce(UUID1));
	check_ok(prepare(ONE, DISKS({ D })));
	check_str(answers[0].action, "continued");
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(after_a_revert_to_a_libvirt_snapshot_the_guest_goes_on_with_its_scratch)
{
	new_session();
	check_ok(release(ONE, .reason = REASON_FROM_SNAPSHOT, DISKS({ D })));
	check_ok(prepare(ONE, DISKS({ D })));
	check_str(answers[0].action, "continued");
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(another_domain_does_not_go_on_with_it)
{
	new_session();
	check_ok(release(ONE, .reason = REASON_FROM_SNAPSHOT, DISKS({ D })));
	check_ok(prepare(TWO, DISKS({ D })));
	check_str(answers[0].action, "fresh");
	check_reads("d", 0, 1, 1);
	world_end();
}

/* --- holds ------------------------------------------------------------------------------------ */

TEST(a_saved_guest_resumes_on_the_bytes_it_left)
{
	new_hold(false);
	check_reads("d", 0, 1, 2);
	check_str(look("d")->record.hold_domain, "one");
	check_ok(announce(UUID1));
	check_ok(prepare(ONE, DISKS({ D })));
	check_str(answers[0].action, "resumed");
	check_reads("d", 0, 1, 2);
	guest_write("d", 1, 1, 3);
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D })));
	check_reads("d", 0, 2, 1);
	check(!look("d")->hold);
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(reset_with_force_gives_a_hold_up)
{
	new_hold(false);
	check_ok(reset_by_force("d"));
	check_reads("d", 0, 1, 1);
	check_int(layer_count("d"), 1);
	check_int(count_files("state/layers", ".qcow2"), 0);
	check_ok(announce(UUID1));
	check_refused(ENOENT, "gone", prepare(ONE, DISKS({ D })));
	world_end();
}

static void *announce_often(void *ignored)
{
	for (int i = 0; i < 50000; i++)
		announce(UUID1);
	return ignored;
}

TEST(announcements_at_the_same_time_are_one)
{
	pthread_t threads[2];

	world_new();
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		check_int(pthread_create(&threads[i], NULL, announce_often, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		check_int(pthread_join(threads[i], NULL), 0);
	check(session_is_announced(world->disks, UUID1));
	session_forget_announcement(world->disks, UUID1);
	check(!session_is_announced(world->disks, UUID1));
	world_end();
}

TEST(a_managed_save_that_still_exists_is_resumed_without_an_announcement)
{
	new_hold(true);
	check_ok(prepare(ONE, .saved = true, DISKS({ D })));
	check_str(answers[0].action, "resumed");
	world_end();
}

TEST(a_managed_save_that_is_gone_drops_the_hold)
{
	new_hold(true);
	check_ok(prepare(ONE, DISKS({ D })));
	check_str(answers[0].action, "fresh");
	check_reads("d", 0, 1, 1);
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(a_guest_saved_to_a_file_and_started_afresh_leaves_its_hold_under_a_name)
{
	new_hold(false);
	check_ok(prepare(ONE, DISKS({ D })));
	check_str(answers[0].action, "fresh");
	check_reads("d", 0, 1, 1);
	check(file_reads(layer_named("d", "saved-"), "qcow2", 0, 1, 2));
	check(!look("d")->hold);
	world_end();
}

/* As many names as a layer can have, all of another disk. */
static void fill_names(const struct disk *disk)
{
	char snapshot[16];

	for (int i = 0; i < LAYER_NAMES_MAX; i++) {
		snprintf(snapshot, sizeof(snapshot), "s%d", i);
		check_int(layer_add_name(disk->hold, "other", snapshot), 0);
	}
}

TEST(a_hold_that_cannot_get_a_name_stays_and_the_domain_does_not_start)
{
	new_hold(false);
	fill_names(look("d"));
	check_refused(ENOSPC, "restore that, or give it up", prepare(ONE, DISKS({ D })));
	check(look("d")->hold);
	check(!look("d")->session);
	check_ok(announce(UUID1));
	check_ok(prepare(ONE, DISKS({ D })));
	check_str(answers[0].action, "resumed");
	check_reads("d", 0, 1, 2);
	world_end();
}

TEST(a_failed_restore_keeps_the_hold)
{
	new_hold(false);
	check_ok(announce(UUID1));
	check_ok(prepare(ONE, DISKS({ D })));
	guest_write("d", 1, 1, 3);
	check_ok(release(ONE, .reason = REASON_FAILED, DISKS({ D })));
	check_str(answers[0].action, "dropped");
	check_reads("d", 0, 1, 2);
	check_reads("d", 1, 1, 1);
	check_ok(announce(UUID1));
	check_ok(prepare(ONE, DISKS({ D })));
	check_str(answers[0].action, "resumed");
	world_end();
}

TEST(a_resumed_guest_may_be_saved_again)
{
	new_hold(false);
	check_ok(announce(UUID1));
	check_ok(prepare(ONE, DISKS({ D })));
	guest_write("d", 1, 1, 3);
	check_ok(release(ONE, .reason = REASON_SAVED, DISKS({ D })));
	check_ok(announce(UUID1));
	check_ok(prepare(ONE, DISKS({ D })));
	check_reads("d", 0, 1, 2);
	check_reads("d", 1, 1, 3);
	world_end();
}

TEST(a_resumed_and_armed_guest_commits_all_it_wrote)
{
	new_hold(false);
	check_ok(announce(UUID1));
	check_ok(prepare(ONE, DISKS({ D, .armed = true })));
	guest_write("d", 1, 1, 3);
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D, .armed = true })));
	check_ok(fold("d"));
	check(image_reads("d", 0, 1, 2));
	check(image_reads("d", 1, 1, 3));
	check_int(layer_count("d"), 1);
	world_end();
}

TEST(a_restore_whose_layer_is_gone_is_refused)
{
	new_disk();
	check_ok(announce(UUID1));
	check_refused(ENOENT, "saved state", prepare(ONE, DISKS({ D })));
	check_refused(ENOENT, "saved state", prepare(ONE, .saved = true, DISKS({ D })));
	world_end();
}

TEST(an_announcement_is_for_one_start_of_one_domain)
{
	new_hold(false);
	check_ok(announce(UUID2));
	check_ok(prepare(ONE, DISKS({ D })));
	check_str(answers[0].action, "fresh");
	world_end();
	new_hold(false);
	check_ok(announce(UUID1));
	check_ok(prepare(ONE, DISKS({ D })));
	check_ok(release(ONE, .reason = REASON_FAILED, DISKS({ D })));
	check_ok(prepare(ONE, DISKS({ D })));
	check_str(answers[0].action, "fresh");
	world_end();
}

TEST(a_hold_whose_header_was_rewritten_is_not_resumed)
{
	new_hold(false);
	check_int(shell("qemu-img rebase -u -f qcow2 -b /etc/passwd -F raw '%s'",
			in_world("state/layers/%s.qcow2", look("d")->record.hold)),
		  0);
	check_ok(announce(UUID1));
	check_refused(EBADMSG, "cannot resume", prepare(ONE, DISKS({ D })));
	world_end();
}

/* --- the flag --------------------------------------------------------------------------------- */

/* --- several disks ---------------------------------------------------------------------------- */

TEST(an_image_that_is_no_disk_yet_is_protected_by_its_first_start)
{
	world_new();
	make_raw("d", 1);
	make_raw("dir/e", 1);
	check_ok(prepare(ONE, DISKS({ D, .format = "raw" }, { E })));
	check_str(answers[1].action, "fresh");
	guest_write("d", 0, 1, 2);
	guest_write("dir/e", 0, 1, 3);
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D, .armed = true }, { E })));
	check_reads("d", 0, 1, 2);
	check_reads("dir/e", 0, 1, 1);
	world_end();
}

TEST(a_start_acts_on_all_disks_or_on_none)
{
	world_new();
	make_raw("d", 1);
	make_raw("dir/e", 1);
	check_ok(prepare(ONE, DISKS({ .name = "dir/e", .target = "vda", .source = "/vm/e" })));
	check_ok(protect("d"));
	guest_write("d", 0, 1, 2);
	check_refused(EBUSY, "'one'", prepare(TWO, DISKS({ D }, { E })));
	check_reads("d", 0, 1, 2);
	check(!look("d")->session);
	check_refused(ENOENT, "'none'",
		      prepare(TWO, DISKS({ D }, { .name = "none", .target = "vdb", .source = "/vm/x" })));
	check_reads("d", 0, 1, 2);
	check_refused(EINVAL, "twice", prepare(TWO, DISKS({ D }, { .name = "d", .target = "vdb", .source = "/vm/d" })));
	world_end();
}

TEST(two_disks_are_committed_together_and_leave_no_intent)
{
	world_new();
	make_raw("d", 1);
	make_raw("dir/e", 1);
	check_ok(prepare(ONE, DISKS({ D, .armed = true }, { E, .armed = true })));
	guest_write("d", 0, 1, 2);
	guest_write("dir/e", 0, 1, 3);
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D, .armed = true }, { E, .armed = true })));
	check_int(count_files("state/intents", ""), 0);
	check_ok(fold("d"));
	check_ok(fold("dir/e"));
	check(image_reads("d", 0, 1, 2));
	check(image_reads("dir/e", 0, 1, 3));
	world_end();
}

TEST(a_commit_that_fails_for_one_disk_commits_none_and_keeps_both)
{
	world_new();
	make_raw("d", 1);
	make_raw("dir/e", 1);
	check_ok(prepare(ONE, DISKS({ D, .armed = true }, { E, .armed = true })));
	guest_write("d", 0, 1, 2);
	guest_write("dir/e", 0, 1, 3);
	check_int(shell("qemu-img rebase -u -f qcow2 -b /etc/passwd -F raw '%s'", scratch_path("dir/e")), 0);
	check_refused(EBADMSG, "not what revertfs made",
		      release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D, .armed = true }, { E, .armed = true })));
	check_int(layer_count("d"), 1);
	check_reads("d", 0, 1, 2);
	check_contains(look("dir/e")->last_error.text, "not what revertfs made");
	check_int(look("d")->record.fate, FATE_UNCOMMITTED);
	check_ok(prepare(ONE, DISKS({ D }, { E })));
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
	check_ok(prepare(ONE, DISKS({ D })));
	check_ok(prepare(TWO, DISKS({ .name = "dir/e", .target = "vda", .source = "/vm/e" })));
	guest_write("d", 0, 1, 2);
	guest_write("dir/e", 0, 1, 3);
	check_ok(release(ONE, .reason = REASON_SHUTDOWN, DISKS({ D })));
	check_reads("d", 0, 1, 1);
	check_reads("dir/e", 0, 1, 3);
	world_end();
}

/* --- durability ------------------------------------------------------------------------------- */

static bool flush_is_strict(struct session_item item, const char *durability)
{
	bool strict;

	begin_session(item);
	if (durability)
		check_ok(set("d", "durability", durability));
	strict = session_is_strict_locked(look("d"));
	world_end();
	return strict;
}

TEST(a_flush_costs_nothing_in_a_session_that_ends_in_a_reset_and_is_real_in_all_others)
{
	check(!flush_is_strict((struct session_item){ D }, NULL));
	check(flush_is_strict((struct session_item){ D, .armed = true }, NULL));
	check(flush_is_strict((struct session_item){ D, .has_leftover = true, .leftover_keep = true }, NULL));
	check(flush_is_strict((struct session_item){ D }, "strict"));
	check(!flush_is_strict((struct session_item){ D }, "relaxed"));
}
