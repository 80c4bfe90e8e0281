/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DOMAIN.json: what is accepted, what is refused in which words, and how a consumed flag is taken
 * back.
 */
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

#define FILE_MODE 0640

static char *place(const char *name)
{
	return format_text("%s/%s", TEST_DIR, name);
}

static void put(const char *name, const char *text, size_t length)
{
	CLEANUP(freep) char *path = place(name);
	CLEANUP(close_fdp) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, FILE_MODE);

	check(fd >= 0);
	check_int(write_all(fd, text, length), 0);
}

static char *get(const char *name)
{
	CLEANUP(freep) char *path = place(name);
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY);
	char *text = NULL;

	check(fd >= 0);
	check_int(read_all(fd, 1 << 20, &text, NULL), 0);
	return text;
}

static struct config *load(const char *text)
{
	struct sentence error = { "" };
	struct config *config = NULL;

	put("d.json", text, strlen(text));
	if (config_load(TEST_DIR, "d", &config, &error) != 1)
		test_fail(__FILE__, __LINE__, "%s", error.text);
	return config;
}

static void refused(const char *text, size_t length, const char *words)
{
	struct sentence error = { "" };
	struct config *config = NULL;

	put("d.json", text, length);
	check(config_load(TEST_DIR, "d", &config, &error) < 0);
	check(!config);
	check_contains(error.text, words);
	check_contains(error.text, "d.json'");
}

#define REFUSED(text, words) refused(text, sizeof(text) - 1, words)

/* Take the flags of the entries back that `which` has a '1' for, and see what the file is then. */
static void disarmed(const char *before, const char *which, const char *after)
{
	struct config *config = load(before);
	struct sentence error = { "" };
	bool flags[16] = { false };
	CLEANUP(freep) char *now = NULL;

	for (size_t i = 0; which[i]; i++)
		flags[i] = which[i] == '1';
	if (config_disarm(config, flags, &error) < 0)
		test_fail(__FILE__, __LINE__, "%s", error.text);
	config_free(config);
	now = get("d.json");
	check_str(now, after);
}

TEST(the_sample_in_conf_is_a_configuration)
{
	CLEANUP(freep) char *conf = format_text("%s/../conf", getenv("TESTS") ? getenv("TESTS") : "tests");
	struct config *config = NULL;

	check_int(config_load(conf, "domain", &config, NULL), 1);
	check_int(config->count, 2);
	check_str(config->disks[0].target, "vda");
	check_str(config->disks[1].leftover, "keep");
	check(config->disks[1].has_keep_revisions);
	check(!config->disks[0].one_shot_commit);
	config_free(config);
}

TEST(keys_that_are_absent_or_null_have_their_defaults)
{
	struct config *config = load("{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":null}]}");

	check(!config->disks[0].one_shot_commit);
	check(!config->disks[0].leftover);
	check(!config->disks[0].format);
	check(!config->disks[0].has_keep_revisions);
	config_free(config);
}

TEST(a_domain_without_a_file_has_no_configuration)
{
	struct config *config = NULL;

	check_int(config_load(TEST_DIR, "other", &config, NULL), 0);
	check_int(config_load("/nonexistent/directory", "other", &config, NULL), 0);
	check(!config);
}

TEST(a_name_too_long_for_a_file_has_no_configuration)
{
	struct config *config = NULL;
	char name[300];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	check_int(config_load(TEST_DIR, name, &config, NULL), 0);
}

TEST(a_name_that_would_leave_the_directory_is_refused)
{
	static const char *const names[] = { "", ".", "..", "a/b", "../d", "/etc/passwd" };
	struct config *config = NULL;

	put("d.json", "{\"disks\":[]}", 12);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		check_errno(config_load(TEST_DIR, names[i], &config, NULL), EINVAL);
}

TEST(odd_names_are_just_names)
{
	static const char *const names[] = { "a b", "-x", "--help", "...", "a\nb", "\xff\xfe", "\"'$(x);" };
	struct config *config = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CLEANUP(freep) char *file = format_text("%s.json", names[i]);

		put(file, "{\"disks\":[]}", 12);
		check_int(config_load(TEST_DIR, names[i], &config, NULL), 1);
		check(text_is_clean(config->shown));
		config_free(config);
	}
}

TEST(what_is_not_json_is_refused_with_its_line)
{
	REFUSED("{\"disks\":[\n{\"target\":\"vda\",}\n]}", "is not valid JSON in line 2");
	REFUSED("{\"disks\":[]", "is not valid JSON");
	REFUSED("", "is not valid JSON");
	REFUSED("disks: []", "is not valid JSON in line 1");
	REFUSED("{\"disks\":[]} x", "is not valid JSON");
	REFUSED("{\"disks\":[]}\0{", "is not valid JSON");
	REFUSED("{\"disks\":[],\"x\":NaN}", "is not valid JSON");
	REFUSED("{\"disks\":[],\n\"x\":\"a\nb\"}", "is not valid JSON in line 2");
	REFUSED("{'disks':[]}", "is not valid JSON");
	REFUSED("{\"disks\":[]}// a comment", "is not valid JSON");
	REFUSED("{\"disks\":[\"\xff\"]}", "is not valid JSON");
}

TEST(a_refusal_says_what_to_do)
{
	REFUSED("{\"disks\":[]", "; correct it, or remove the file");
}

TEST(a_file_without_disks_is_refused)
{
	REFUSED("{}", "has no list \"disks\"");
	REFUSED("[]", "has no list \"disks\"");
	REFUSED("{\"disk\":[]}", "has no list \"disks\"");
	REFUSED("{\"disks\":{}}", "has no list \"disks\"");
	REFUSED("{\"disks\":null}", "has no list \"disks\"");
	REFUSED("null", "has no list \"disks\"");
}

TEST(every_entry_needs_a_target)
{
	REFUSED("{\"disks\":[{}]}", "needs a \"target\"");
	REFUSED("{\"disks\":[null]}", "needs a \"target\"");
	REFUSED("{\"disks\":[\"vda\"]}", "needs a \"target\"");
	REFUSED("{\"disks\":[{\"target\":\"\"}]}", "needs a \"target\"");
	REFUSED("{\"disks\":[{\"target\":7}]}", "needs a \"target\"");
	REFUSED("{\"disks\":[{\"target\":\"v\\nda\"}]}", "needs a \"target\"");
	REFUSED("{\"disks\":[{\"target\":\"vda\\u0000b\"}]}", "needs a \"target\"");
}

TEST(a_target_named_twice_is_refused)
{
	REFUSED("{\"disks\":[{\"target\":\"vda\"},{\"target\":\"vda\"}]}", "names the target 'vda' twice");
}

TEST(known_keys_must_have_the_right_type)
{
	REFUSED("{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":\"true\"}]}", "must be true or false");
	REFUSED("{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":1}]}", "must be true or false");
	REFUSED("{\"disks\":[{\"target\":\"vda\",\"keep-revisions\":-1}]}", "must be a number");
	REFUSED("{\"disks\":[{\"target\":\"vda\",\"keep-revisions\":1.5}]}", "must be a number");
	REFUSED("{\"disks\":[{\"target\":\"vda\",\"leftover\":\"maybe\"}]}", "must be \"keep\" or \"discard\"");
	REFUSED("{\"disks\":[{\"target\":\"vda\",\"leftover\":true}]}", "must be \"keep\" or \"discard\"");
	REFUSED("{\"disks\":[{\"target\":\"vda\",\"format\":\"vmdk\"}]}", "must be \"raw\" or \"qcow2\"");
}

TEST(what_is_nested_too_deep_or_too_long_is_refused)
{
	char *text = malloc(CONFIG_MAX + 10);

	memset(text, '[', 4000);
	refused(text, 4000, "not valid JSON");
	memset(text, ' ', CONFIG_MAX + 10);
	refused(text, CONFIG_MAX + 10, "cannot read");
	free(text);
}

TEST(what_is_no_regular_file_is_refused)
{
	CLEANUP(freep) char *directory = place("dir.json");
	CLEANUP(freep) char *fifo = place("fifo.json");
	struct sentence error = { "" };
	struct config *config = NULL;

	check_int(mkdir(directory, 0700), 0);
	check_int(mkfifo(fifo, 0600), 0);
	check_errno(config_load(TEST_DIR, "dir", &config, &error), EINVAL);
	check_contains(error.text, "not a regular file");
	check_errno(config_load(TEST_DIR, "fifo", &config, &error), EINVAL);
}

TEST(a_link_to_nothing_is_not_taken_for_no_configuration)
{
	CLEANUP(freep) char *path = place("dangling.json");
	struct sentence error = { "" };
	struct config *config = NULL;

	check_int(symlink("nowhere", path), 0);
	check_errno(config_load(TEST_DIR, "dangling", &config, &error), ENOENT);
	check_contains(error.text, "symbolic link");
}

TEST(only_the_flag_changes_and_nothing_else_in_the_file)
{
	disarmed("{ \"note\": 1.50, \"big\": 123456789012345678901234567890,\n"
		 "  \"disks\": [ { \"x\": \"\\u00e9 } true\", \"target\": \"vda\",\t\"one-shot-commit\" : true } ],\n"
		 "  \"files\": {\"a\": [true, {}]}\n}\n\n",
		 "1",
		 "{ \"note\": 1.50, \"big\": 123456789012345678901234567890,\n"
		 "  \"disks\": [ { \"x\": \"\\u00e9 } true\", \"target\": \"vda\",\t\"one-shot-commit\" : false } ],\n"
		 "  \"files\": {\"a\": [true, {}]}\n}\n\n");
}

TEST(only_the_disks_that_were_committed_lose_their_flag)
{
	disarmed("{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":true},"
		 "{\"target\":\"vdb\",\"one-shot-commit\":true},{\"one-shot-commit\":true,\"target\":\"vdc\"}]}",
		 "101",
		 "{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":false},"
		 "{\"target\":\"vdb\",\"one-shot-commit\":true},{\"one-shot-commit\":false,\"target\":\"vdc\"}]}");
}

TEST(of_repeated_keys_the_one_that_counts_is_changed)
{
	disarmed("{\"disks\":[{\"target\":\"x\"}],\"disks\":[{\"one-shot-commit\":false,\"target\":\"vda\","
		 "\"one-shot-commit\":true}]}",
		 "1",
		 "{\"disks\":[{\"target\":\"x\"}],\"disks\":[{\"one-shot-commit\":false,\"target\":\"vda\","
		 "\"one-shot-commit\":false}]}");
}

TEST(a_key_written_with_escapes_is_the_same_key)
{
	disarmed("{\"d\\u0069sks\":[{\"target\":\"vda\",\"one\\u002dshot-commit\":true}]}", "1",
		 "{\"d\\u0069sks\":[{\"target\":\"vda\",\"one\\u002dshot-commit\":false}]}");
}

TEST(mode_and_owner_are_kept)
{
	struct config *config = load("{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":true}]}");
	CLEANUP(freep) char *path = place("d.json");
	bool which[] = { true };
	struct stat before, after;

	check_int(chmod(path, 04604), 0);
	if (geteuid() == 0)
		check_int(chown(path, 7, 8), 0);
	check_int(chmod(path, 0604), 0);
	check_int(stat(path, &before), 0);
	check_int(config_disarm(config, which, NULL), 0);
	check_int(stat(path, &after), 0);
	check_int(after.st_mode, before.st_mode);
	check_int(after.st_uid, before.st_uid);
	check_int(after.st_gid, before.st_gid);
	check(after.st_ino != before.st_ino);
	config_free(config);
}

TEST(a_linked_configuration_stays_a_link_and_its_target_is_replaced)
{
	static const char armed[] = "{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":true}]}";
	CLEANUP(freep) char *link = place("linked.json");
	CLEANUP(freep) char *sub = place("sub");
	CLEANUP(freep) char *now = NULL;
	struct config *config = NULL;
	bool which[] = { true };
	struct stat st;

	check_int(mkdir(sub, 0700), 0);
	put("sub/real", armed, sizeof(armed) - 1);
	check_int(symlink("sub/real", link), 0);
	check_int(config_load(TEST_DIR, "linked", &config, NULL), 1);
	check_int(config_disarm(config, which, NULL), 0);
	check_int(lstat(link, &st), 0);
	check(S_ISLNK(st.st_mode));
	now = get("sub/real");
	check_contains(now, "false");
	config_free(config);
}

TEST(a_file_that_was_changed_meanwhile_is_left_as_it_is)
{
	struct config *config = load("{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":true}]}");
	static const char edited[] = "{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":true}],\"new\":1}";
	CLEANUP(freep) char *path = place("d.json");
	CLEANUP(freep) char *now = NULL;
	struct sentence error = { "" };
	bool which[] = { true };

	check_int(unlink(path), 0);
	put("e.json", "", 0); /* takes the inode */
	put("d.json", edited, sizeof(edited) - 1);
	check_errno(config_disarm(config, which, &error), ESTALE);
	check_contains(error.text, "changed meanwhile");
	now = get("d.json");
	check_str(now, edited);
	config_free(config);
}

TEST(a_file_that_is_gone_is_not_made_again)
{
	struct config *config = load("{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":true}]}");
	CLEANUP(freep) char *path = place("d.json");
	bool which[] = { true };

	check_int(unlink(path), 0);
	check(config_disarm(config, which, NULL) < 0);
	check(access(path, F_OK) < 0);
	config_free(config);
}

TEST(a_flag_that_is_false_already_writes_nothing)
{
	struct config *config = load("{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":false}]}");
	CLEANUP(freep) char *path = place("d.json");
	bool which[] = { true };
	struct stat before, after;

	check_int(stat(path, &before), 0);
	check_int(config_disarm(config, which, NULL), 0);
	check_int(stat(path, &after), 0);
	check_int(after.st_ino, before.st_ino);
	config_free(config);
}

TEST(the_token_changes_with_the_file_and_stays_otherwise)
{
	struct config *first = load("{\"disks\":[]}"), *same = NULL, *other;

	check_int(config_load(TEST_DIR, "d", &same, NULL), 1);
	check(first && same);
	check_str(same->token, first->token);
	check(!strpbrk(same->token, " \t\"=")); /* a word as it stands */
	usleep(20000);                          /* file times have the granularity of the timer tick */
	other = load("{\"disks\":[ ]}");
	check(other && strcmp(other->token, first->token) != 0);
	config_free(first);
	config_free(same);
	config_free(other);
}

TEST(what_earlier_builds_documented_is_read_as_before)
{
	CLEANUP(freep)
	char *directory = format_text("%s/fixtures/fc8d36e", getenv("TESTS") ? getenv("TESTS") : "tests");
	struct config *config = NULL;

	check_int(config_load(directory, "domain", &config, NULL), 1);
	check_int(config->count, 2);
	check_str(config->disks[0].target, "vda");
	check(!config->disks[0].one_shot_commit && !config->disks[1].one_shot_commit);
	check_str(config->disks[0].leftover, NULL);
	check_str(config->disks[1].leftover, "keep");
	check(!config->disks[0].has_keep_revisions && config->disks[1].has_keep_revisions);
	check_int(config->disks[1].keep_revisions, 2);
	config_free(config);
}
