/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control file's lines: what each verb takes, names as they may be written, several lines in a
 * write, the JSON answer.
 */
#include "control_lines.h"

#include "box.h"
#include "command.h"
#include "model.h"

static void world_end(void)
{
	model_free(world->disks);
	world_remove();
	forget_answer();
}

static void new_disk(void)
{
	world_make();
	world_open();
	make_raw("d", 1);
	check_ok("protect d");
}

static void check_answer(void)
{
	struct json_object *object = NULL;
	struct sentence why;

	if (json_parse(answer, strlen(answer), &object, &why) != 0)
		test_fail(__FILE__, __LINE__, "%s: %s", why.text, answer);
	json_object_put(object);
	check(answer[strlen(answer) - 1] == '\n');
	check(strchr(answer, '\n') == answer + strlen(answer) - 1);
}

TEST(an_answer_is_one_line_of_JSON)
{
	new_disk();
	check_ok("reset d");
	check_str(answer, "{\"ok\":true}\n");
	check_refused(ENOENT, "\"errno\":\"ENOENT\"", "reset none");
	check_answer();
	check_str(answered("ok"), "false");
	check_contains(answered("error"), "there is no disk 'none'");
	world_end();
}

TEST(blank_lines_and_an_empty_write_are_fine)
{
	static const char *const texts[] = {
		"", "\n", "\n\n\n", " \t \n", "\nreset d\n\n", "reset d", "  reset\td  \n"
	};

	new_disk();
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		check_ok("%s", texts[i]);
		check_str(answered("ok"), "true");
	}
	world_end();
}

TEST(lines_are_done_in_order_up_to_the_first_that_fails)
{
	new_disk();
	check_ok("set d keep-revisions=1\nset d leftover=keep\n");
	check_str(status_of("d", "properties.keep-revisions"), "1");
	check_str(status_of("d", "properties.leftover"), "keep");
	check_refused(ENOENT, "'none'", "set d keep-revisions=2\nreset none\nset d keep-revisions=3\n");
	check_str(status_of("d", "properties.keep-revisions"), "2");
	world_end();
}

TEST(a_line_that_is_no_command_does_nothing_and_says_why)
{
	static const char *const lines[] = {
		"x",
		"RESET d",
		"reset",
		"reset d e",
		"reset d force",
		"reset d force=maybe",
		"reset d x=y",
		"reset force=yes d",
		"reset d force=yes force=yes",
		"protect",
		"protect d e",
		"commit",
		"commit d at=once",
		"undo",
		"undo d d",
		"fold d wait=later",
		"cancel",
		"announce",
		"announce x",
		"announce uuid=" UUID1,
		"prepare",
		"prepare " UUID1,
		"prepare x d target=vda",
		"prepare " UUID1 " d",
		"prepare " UUID1 " d target=",
		"prepare " UUID1 " d target=vda colour=red",
		"prepare " UUID1 " colour=red d target=vda",
		"prepare " UUID1 " saved=maybe d target=vda",
		"prepare " UUID1 " d target=vda armed=1",
		"prepare " UUID1 " d target=vda keep-revisions=x",
		"prepare " UUID1 " d target=vda leftover=x",
		"release",
		"release " UUID1 " reason=bored",
		"release x",
		"set",
		"set d",
		"set d x",
		"set d keep-revisions",
		"set keep-revisions=1 d",
		"snapshot d",
		"snapshot d a/b",
		"snapshot d \"\"",
		"snapshot d a b",
		"revert d",
		"delete d",
		"\"reset d\"",
		"reset \"d",
		"reset d\\",
		"=",
		"\"\"",
		"a=b",
	};

	new_disk();
	guest_write("d", 0, 1, 2);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		int r = command("%s", lines[i]);

		if (r != -EINVAL && !(r == -ENOENT && strcmp(lines[i], "reset d\\") == 0))
			test_fail(__FILE__, __LINE__, "'%s' gave %d: %s", lines[i], r, answer);
		check_answer();
		check(strlen(answered("error")) > 10);
	}
	check_reads("d", 0, 1, 2);
	check_str(status_of("d", "session"), "");
	world_end();
}

TEST(names_that_leave_the_tree_are_refused)
{
	static const char *const names[] = { "..",          "../d", "a/../d", "./d",  "/",  "/d",
					     "/etc/passwd", "d/",   "d//x",   "\"\"", "//d" };

	new_disk();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		check_refused(EINVAL, "", "reset %s", names[i]);
		check_refused(EINVAL, "", "protect %s", names[i]);
		check_refused(EINVAL, "", "prepare " UUID1 " %s target=vda", names[i]);
	}
	check_refused(EINVAL, "", "reset %sx/d", world->options.mount);
	check_refused(EINVAL, "", "reset %s/../mount/d", world->options.mount);
	world_end();
}

TEST(an_absolute_path_in_the_mount_is_a_name_too)
{
	new_disk();
	check_ok("reset %s/d", world->options.mount);
	check_ok("reset %s//d", world->options.mount);
	check_ok("prepare " UUID1 " %s/d target=vda", world->options.mount);
	check_str(answered("disks.0.name"), "d");
	world_end();
}

TEST(names_that_are_too_long_are_refused)
{
	char name[5000];

	new_disk();
	memset(name, 'x', sizeof(name));
	name[300] = '\0';
	check_refused(ENAMETOOLONG, "", "protect %s", name);
	check_answer();
	memset(name, 'x', sizeof(name));
	name[4999] = '\0';
	check_refused(ENAMETOOLONG, "", "protect %s", name);
	check_answer();
	world_end();
}

TEST(a_sentence_about_any_name_is_valid_JSON)
{
	char name[4 * 250 + 1] = "";
	char *line = NULL;

	new_disk();
	for (int i = 0; i < 60; i++)
		strcat(name, i % 2 ? "\xf0\x9f\x98\x80" : "\\\"\xc3\xa4/");
	check_int(command_append(&line, NULL, "reset"), 0);
	check_int(command_append(&line, NULL, name), 0);
	check(command("%s", line) < 0);
	check_answer();
	free(line);
	world_end();
}

TEST(every_verb_on_what_is_no_disk_is_ENOENT)
{
	static const char *const lines[] = { "unprotect none",
					     "set none leftover=keep",
					     "reset none",
					     "commit none",
					     "commit none at=release",
					     "undo none",
					     "fold none",
					     "cancel none",
					     "snapshot none p",
					     "revert none p",
					     "delete none p" };

	new_disk();
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		check_refused(ENOENT, "none", "%s", lines[i]);
	world_end();
}

TEST(failures_are_the_disk_s_last_error_until_something_succeeds)
{
	new_disk();
	check_refused(ENOENT, "no commit", "undo d");
	check_contains(status_of("d", "last_error"), "no commit");
	check_ok("reset d");
	check_str(status_of("d", "last_error"), "");
	world_end();
}

TEST(the_help_names_every_verb)
{
	static const char *const verbs[] = { "protect ",  "unprotect ", "set ",    "reset ", "commit ", "undo ",
					     "snapshot ", "revert ",    "delete ", "clone ", "export ", "fold ",
					     "cancel ",   "announce",   "prepare", "release" };

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		check_contains(control_help(), verbs[i]);
}

/* --- status ----------------------------------------------------------------------------------- */

TEST(the_status_is_valid_JSON_with_what_is_documented)
{
	static const char *const members[] = { "name",    "state",        "open",          "head",
					       "format",  "virtual_size", "scratch_bytes", "layers",
					       "session", "hold",         "armed",         "unhooked",
					       "job",     "template",     "last_error",    "properties" };
	struct json_object *root = NULL, *list = NULL, *disk, *member;
	char *text;

	new_disk();
	text = status_json(world->disks, &(struct mount_facts){ .passthrough = true, .restarts = 3 });
	check_int(json_parse(text, strlen(text), &root, NULL), 0);
	check_str(member_of(root, "images"), world->options.images);
	check_str(member_of(root, "mount"), world->options.mount);
	check_str(member_of(root, "passthrough"), "true");
	check_str(member_of(root, "boxed"), box_landlock() > 0 ? "true" : "false");
	check_str(member_of(root, "restarts"), "3");
	check_int(atoi(member_of(root, "pid")), getpid());
	check_int(json_get_array(root, "disks", &list), 1);
	check_int(json_object_array_length(list), 1);
	disk = json_object_array_get_idx(list, 0);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (!json_object_object_get_ex(disk, members[i], &member))
			test_fail(__FILE__, __LINE__, "'%s' is missing", members[i]);
	json_object_put(root);
	free(text);
	world_end();
}

TEST(the_status_follows_the_disk)
{
	new_disk();
	check_str(status_of("d", "layers.0.id"), status_of("d", "head"));
	check_str(status_of("d", "layers.0.parent"), "");
	check_contains(status_of("d", "layers.0.file"), "/mount/.revertfs/layers/");
	check_str(status_of("d", "open"), "0");
	guest_write("d", 0, 64, 2);
	check(atoi(status_of("d", "scratch_bytes")) >= 64 * BLOCK);
	check_ok("prepare " UUID1 " domain=\"a \\\"b\\\"\" d target=vdq source=/x");
	check_str(status_of("d", "session.uuid"), UUID1);
	check_str(status_of("d", "session.domain"), "a \"b\"");
	check_str(status_of("d", "session.target"), "vdq");
	world_end();
}

TEST(what_waits_to_be_kept_is_said_until_a_command_decides)
{
	struct disk *disk;
	char *table;

	new_disk();
	guest_write("d", 0, 64, 2);
	check_contains(
		status_of("d", "leftover"),
		"which was written without the hook's protection, waits for its next start with a file for the hook");
	disk = disks_find(world->disks, "d");
	disk->record.fate = FATE_ARMED;
	check_contains(status_of("d", "leftover"), "which keeps it as uncommitted-TIME; 'revertctl commit d' makes");
	table = status_table(world->disks);
	check_contains(table, "\n    warning: disk 'd': ");
	free(table);
	disk->record.fate = FATE_UNSYNCED;
	check_contains(status_of("d", "leftover"), "unsynced-TIME where one-shot-commit is true");
	check(!strstr(status_of("d", "leftover"), "'revertctl commit"));
	disk_put(disk);
	check_ok("reset d");
	check_str(status_of("d", "leftover"), "");
	world_end();
}

TEST(the_table_has_a_line_for_each_disk_and_its_last_error)
{
	char *table;

	new_disk();
	make_raw("dir/e", 1);
	check_ok("protect dir/e");
	check_refused(ENOENT, "", "undo d");
	table = status_table(world->disks);
	check_contains(table, "\nd ");
	check_contains(table, "\ndir/e ");
	check_contains(table, "pristine");
	check_contains(table, "last error: disk 'd' has no commit");
	free(table);
	world_end();
}
