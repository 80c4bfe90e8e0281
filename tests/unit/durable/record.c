/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records: what is saved is loaded, and whatever else lies there, torn or by another's hand, is
 * -EBADMSG and leaves the output alone.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "json.h"
#include "record.h"

#define UUID "0f7f9e1c-2d6b-4c1e-9a53-6f1b0c7d8e90"
#define FILE_NAME "record.json"

static int directory(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open(TEST_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(fd >= 0);
	return fd;
}

static void put(const void *text, size_t length)
{
	int fd = openat(directory(), FILE_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	check(fd >= 0);
	check_int(write_all(fd, text, length), 0);
	close(fd);
}

static char *get(size_t *ret_length)
{
	int fd = openat(directory(), FILE_NAME, O_RDONLY | O_CLOEXEC);
	char *text = NULL;

	check(fd >= 0);
	check_int(read_all(fd, 1 << 20, &text, ret_length), 0);
	close(fd);
	return text;
}

/* --- the four kinds, each with all its members filled ----------------------------------------- */

static struct disk_record full_disk(void)
{
	return (struct disk_record){
		.head = "0123456789abcdef",
		.hold = "fedcba9876543210",
		.hold_uuid = UUID,
		.hold_domain = "a \"domain\" \xc3\xa4",
		.hold_managed = true,
		.fate = FATE_UNDECIDED,
		.fate_uuid = "FFFFFFFF-2d6b-4c1e-9a53-6f1b0c7d8e90",
		.fate_armed = true,
		.fate_unread = true,
		.fate_clean = true,
		.unread_uuid = "00000000-0000-4000-8000-000000000001",
		.unread_target = "vda",
		.fate_since = 1795197469,
		.commit_at_release = true,
		.consumed = "64512:17:1795197469.5",
		.keep_revisions = 1000,
		.leftover_keep = true,
		.strict = true,
		.keeps_data = true,
	};
}

static int save_disk(void)
{
	struct disk_record record = full_disk();

	return record_save_disk(NULL, directory(), FILE_NAME, &record);
}

static int load_disk(void)
{
	struct disk_record record = { .keep_revisions = 77 };
	int r = record_load_disk(directory(), FILE_NAME, &record);

	check(r == 0 || record.keep_revisions == 77);
	return r;
}

static struct layer_name layer_names[] = { { (char *)"dir/a.img", (char *)"before update" },
					   { (char *)"b", (char *)"\xc3\xa4" } };

static int save_layer(void)
{
	struct layer_record record = {
		.id = "0123456789abcdef",
		.parent = "fedcba9876543210",
		.format = FORMAT_QCOW2,
		.state = LAYER_FOLDING,
		.virtual_size = 1ULL << 40,
		.created = 1795197469,
		.names = layer_names,
		.name_count = 2,
		.becomes_head = true,
		.domain = "win10",
		.note = "all updates of November",
		.trouble = TROUBLE_BITMAP,
		.consistency = "clean",
	};

	return record_save_layer(NULL, directory(), FILE_NAME, &record);
}

static int save_root(void)
{
	struct layer_record record = {
		.id = "0123456789abcdef",
		.image = (char *)"dir/win 10.img",
		.format = FORMAT_RAW,
		.virtual_size = 512,
		.created = 1795197469,
		.stamp = { 64512, UINT64_MAX, 512, { 1795197469, 999999999 } },
	};

	return record_save_layer(NULL, directory(), FILE_NAME, &record);
}

static int load_layer(void)
{
	struct layer_record record = { .virtual_size = 77 };
	int r = record_load_layer(directory(), FILE_NAME, &record);

	check(r == 0 || (record.virtual_size == 77 && !record.names && !record.image));
	record_clear_layer(&record);
	return r;
}

static int save_session(void)
{
	struct session_record record = {
		.uuid = UUID,
		.domain = "win10",
		.target = "vda",
		.source = (char *)"/srv/vm/win 10.img",
		.boot = "22b4b1f4-2d6b-4c1e-9a53-6f1b0c7d8e90",
		.since = 1795197469,
		.armed = true,
		.config = "64512:17:1795197469.5",
		.is_watched = true,
		.keeps_leftover = true,
		.on_hold = true,
		.continued = true,
	};

	return record_save_session(NULL, directory(), FILE_NAME, &record);
}

static int load_session(void)
{
	struct session_record record = { .since = 77 };
	int r = record_load_session(directory(), FILE_NAME, &record);

	check(r == 0 || (record.since == 77 && !record.source));
	record_clear_session(&record);
	return r;
}

static int save_intent(void)
{
	struct intent_entry entries[] = { { (char *)"dir/a", "0123456789abcdef", false },
					  { (char *)"b", "fedcba9876543210", true } };
	struct intent_record record = {
		.uuid = UUID, .domain = "win10", .managed = true, .consumed = "token", .entries = entries, .count = 2
	};

	return record_save_intent(NULL, directory(), FILE_NAME, &record);
}

static int load_intent(void)
{
	struct intent_record record = { .count = 77 };
	int r = record_load_intent(directory(), FILE_NAME, &record);

	check(r == 0 || (record.count == 77 && !record.entries));
	if (r == 0)
		record_clear_intent(&record);
	return r;
}

static const struct kind {
	const char *name;
	int (*save)(void);
	int (*load)(void);
	const char *required; /* members without which it means nothing */
} kinds[] = {
	{ "disk", save_disk, load_disk, " version head hold-uuid keep " },
	{ "layer", save_layer, load_layer, " version id parent format state virtual-size created names " },
	{ "root", save_root, load_layer,
	  " version id image format state virtual-size created names device inode size mtime mtime-nsec " },
	{ "session", save_session, load_session, " version uuid boot since " },
	{ "intent", save_intent, load_intent, " version uuid parts " },
};

#define FOR_EACH_KIND(kind) for (const struct kind *kind = kinds; kind < kinds + ARRAY_SIZE(kinds); kind++)

/* --- what is right is read -------------------------------------------------------------------- */

TEST(a_disk_is_loaded_as_it_was_saved)
{
	struct disk_record record = full_disk(), loaded;

	check_int(record_save_disk(NULL, directory(), FILE_NAME, &record), 0);
	memset(&loaded, 0xff, sizeof(loaded));
	check_int(record_load_disk(directory(), FILE_NAME, &loaded), 0);
	check_str(loaded.head, record.head);
	check_str(loaded.hold, record.hold);
	check_str(loaded.hold_uuid, record.hold_uuid);
	check_str(loaded.hold_domain, record.hold_domain);
	check_str(loaded.fate_uuid, record.fate_uuid);
	check_str(loaded.consumed, record.consumed);
	check_int(loaded.hold_managed, true);
	check_int(loaded.fate, FATE_UNDECIDED);
	check_int(loaded.fate_armed, true);
	check_int(loaded.fate_unread, true);
	check_int(loaded.fate_clean, true);
	check_str(loaded.unread_uuid, "00000000-0000-4000-8000-000000000001");
	check_str(loaded.unread_target, "vda");
	check_int(loaded.fate_since, record.fate_since);
	check_int(loaded.commit_at_release, true);
	check_int(loaded.keep_revisions, 1000);
	check_int(loaded.leftover_keep, true);
	check_int(loaded.strict, true);
	check_int(loaded.keeps_data, true);
}

TEST(every_keep_is_loaded_as_it_was_saved)
{
	for (int keep = FATE_DISCARD; keep <= FATE_SNAPSHOT; keep++) {
		struct disk_record record = full_disk(), loaded;

		record.fate = (enum fate)keep;
		check_int(record_save_disk(NULL, directory(), FILE_NAME, &record), 0);
		check_int(record_load_disk(directory(), FILE_NAME, &loaded), 0);
		check_int(loaded.fate, keep);
	}
}

TEST(a_disk_with_nothing_but_its_head_is_loaded)
{
	struct disk_record record = { .head = "0123456789abcdef" }, loaded;

	check_int(record_save_disk(NULL, directory(), FILE_NAME, &record), 0);
	memset(&loaded, 0xff, sizeof(loaded));
	check_int(record_load_disk(directory(), FILE_NAME, &loaded), 0);
	check(memcmp(&loaded, &record, sizeof(loaded)) == 0);
}

TEST(a_layer_is_loaded_as_it_was_saved)
{
	struct layer_record loaded;

	check_int(save_layer(), 0);
	check_int(record_load_layer(directory(), FILE_NAME, &loaded), 0);
	check_str(loaded.id, "0123456789abcdef");
	check_str(loaded.parent, "fedcba9876543210");
	check(!loaded.image);
	check_int(loaded.format, FORMAT_QCOW2);
	check_int(loaded.state, LAYER_FOLDING);
	check(loaded.virtual_size == 1ULL << 40);
	check_int(loaded.created, 1795197469);
	check_int(loaded.name_count, 2);
	for (size_t i = 0; i < 2; i++) {
		check_str(loaded.names[i].disk, layer_names[i].disk);
		check_str(loaded.names[i].snapshot, layer_names[i].snapshot);
	}
	check(loaded.becomes_head);
	check_str(loaded.domain, "win10");
	check_str(loaded.note, "all updates of November");
	check_int(loaded.trouble, TROUBLE_BITMAP);
	check_str(loaded.consistency, "clean");
	record_clear_layer(&loaded);
}

TEST(a_root_is_loaded_as_it_was_saved)
{
	struct layer_record loaded;

	check_int(save_root(), 0);
	check_int(record_load_layer(directory(), FILE_NAME, &loaded), 0);
	check_str(loaded.parent, "");
	check_str(loaded.image, "dir/win 10.img");
	check_int(loaded.format, FORMAT_RAW);
	check_int(loaded.state, LAYER_SEALED);
	check_int(loaded.stamp.device, 64512);
	check(loaded.stamp.inode == UINT64_MAX);
	check_int(loaded.stamp.size, 512);
	check_int(loaded.stamp.modified.tv_sec, 1795197469);
	check_int(loaded.stamp.modified.tv_nsec, 999999999);
	check_int(loaded.name_count, 0);
	record_clear_layer(&loaded);
}

TEST(an_image_from_before_1970_is_loaded_as_it_was_saved)
{
	struct layer_record record = { .id = "0123456789abcdef",
				       .image = (char *)"a",
				       .stamp = { 1, 2, 3, { -1795197469, 5 } } };
	struct layer_record loaded;

	check_int(record_save_layer(NULL, directory(), FILE_NAME, &record), 0);
	check_int(record_load_layer(directory(), FILE_NAME, &loaded), 0);
	check_int(loaded.stamp.modified.tv_sec, -1795197469);
	record_clear_layer(&loaded);
}

TEST(a_session_is_loaded_as_it_was_saved)
{
	struct session_record loaded;

	check_int(save_session(), 0);
	check_int(record_load_session(directory(), FILE_NAME, &loaded), 0);
	check_str(loaded.uuid, UUID);
	check_str(loaded.domain, "win10");
	check_str(loaded.target, "vda");
	check_str(loaded.source, "/srv/vm/win 10.img");
	check_str(loaded.boot, "22b4b1f4-2d6b-4c1e-9a53-6f1b0c7d8e90");
	check_int(loaded.since, 1795197469);
	check_str(loaded.config, "64512:17:1795197469.5");
	check(loaded.armed && loaded.on_hold && loaded.continued && loaded.is_watched && loaded.keeps_leftover);
	record_clear_session(&loaded);
}

TEST(an_intent_is_loaded_as_it_was_saved)
{
	struct intent_record loaded;

	check_int(save_intent(), 0);
	check_int(record_load_intent(directory(), FILE_NAME, &loaded), 0);
	check_str(loaded.uuid, UUID);
	check_str(loaded.domain, "win10");
	check_str(loaded.consumed, "token");
	check(loaded.managed);
	check_int(loaded.count, 2);
	check_str(loaded.entries[0].disk, "dir/a");
	check_str(loaded.entries[0].layer, "0123456789abcdef");
	check(!loaded.entries[0].hold);
	check_str(loaded.entries[1].disk, "b");
	check(loaded.entries[1].hold);
	record_clear_intent(&loaded);
}

TEST(saving_leaves_one_file_with_rights_for_root_alone)
{
	struct stat stat;

	check_int(save_disk(), 0);
	check_int(fstatat(directory(), FILE_NAME, &stat, 0), 0);
	check_int(stat.st_mode & 07777, 0600);
	check_int(fstatat(directory(), FILE_NAME ".new", &stat, 0), -1);
}

/* --- what is wrong is refused ----------------------------------------------------------------- */

TEST(a_record_that_is_not_there_is_ENOENT)
{
	unlinkat(directory(), FILE_NAME, 0);
	FOR_EACH_KIND(kind)
	check_errno(kind->load(), ENOENT);
}

TEST(a_record_torn_at_any_byte_is_refused)
{
	FOR_EACH_KIND(kind)
	{
		size_t length;
		char *text;

		check_int(kind->save(), 0);
		text = get(&length);
		for (size_t cut = 0; cut < length - 1; cut++) { /* the last byte is the newline */
			put(text, cut);
			if (kind->load() != -EBADMSG)
				test_fail(__FILE__, __LINE__, "a %s torn at byte %zu was taken", kind->name, cut);
		}
		/* As a filesystem may leave it: the length is there, the data is not. */
		for (size_t cut = 0; cut < length - 1; cut++) {
			memset(text + length - 1 - cut, 0, 1);
			put(text, length);
			if (kind->load() != -EBADMSG)
				test_fail(__FILE__, __LINE__, "a %s with %zu zero bytes was taken", kind->name,
					  cut + 1);
		}
		free(text);
	}
}

static struct json_object *load_object(void)
{
	struct json_object *object = NULL;
	size_t length;
	char *text = get(&length);

	check_int(json_parse(text, length, &object, NULL), 0);
	free(text);
	return object;
}

static void put_object(struct json_object *object)
{
	const char *text = json_object_to_json_string(object);

	put(text, strlen(text));
}

static bool is_required(const struct kind *kind, const char *key)
{
	char word[64];

	snprintf(word, sizeof(word), " %s ", key);
	return strstr(kind->required, word) != NULL;
}

TEST(a_record_without_a_member_that_it_needs_is_refused)
{
	FOR_EACH_KIND(kind)
	{
		struct json_object *all;

		check_int(kind->save(), 0);
		all = load_object();
		json_object_object_foreach (all, key, member) {
			struct json_object *copy = NULL;

			(void)member;
			json_object_deep_copy(all, &copy, NULL);
			json_object_object_del(copy, key);
			put_object(copy);
			json_object_put(copy);
			if (kind->load() != (is_required(kind, key) ? -EBADMSG : 0))
				test_fail(__FILE__, __LINE__, "a %s without '%s' was misjudged", kind->name, key);
		}
		json_object_put(all);
	}
}

static struct json_object *other_type(size_t i)
{
	switch (i) {
	case 0:
		return json_object_new_string("\x01");
	case 1:
		return json_object_new_int64(-1);
	case 2:
		return json_object_new_double(1.5);
	case 3:
		return json_object_new_array();
	case 4:
		return json_object_new_object();
	case 5:
		return json_object_new_boolean(true);
	default:
		return json_object_new_string_len("a\0b", 3);
	}
}

TEST(a_record_with_a_member_of_another_type_is_refused)
{
	FOR_EACH_KIND(kind)
	{
		struct json_object *all;

		check_int(kind->save(), 0);
		all = load_object();
		json_object_object_foreach (all, key, member) {
			for (size_t i = 0; i < 7; i++) {
				struct json_object *copy = NULL, *other = other_type(i);
				bool same_type = json_object_get_type(other) == json_object_get_type(member);

				if (json_object_is_type(member, json_type_null) ||
				    (same_type && i != 0 && i != 1 && i != 6) ||
				    (strcmp(key, "source") == 0 && i == 0) || (strstr(key, "mtime") && i == 1)) {
					json_object_put(other);
					continue;
				}
				json_object_deep_copy(all, &copy, NULL);
				json_object_object_add(copy, key, other);
				put_object(copy);
				json_object_put(copy);
				if (kind->load() != -EBADMSG)
					test_fail(__FILE__, __LINE__, "a %s with '%s' of kind %zu was taken",
						  kind->name, key, i);
			}
		}
		json_object_put(all);
	}
}

static void refuse_with(const struct kind *kind, const char *key, struct json_object *member)
{
	struct json_object *object;

	check_int(kind->save(), 0);
	object = load_object();
	json_object_object_add(object, key, member);
	put_object(object);
	json_object_put(object);
	if (kind->load() != -EBADMSG)
		test_fail(__FILE__, __LINE__, "a %s with a bad '%s' was taken", kind->name, key);
}

static void refuse_text(const struct kind *kind, const char *key, const char *text)
{
	refuse_with(kind, key, json_object_new_string(text));
}

static struct json_object *long_text(size_t length)
{
	char *text = malloc(length);
	struct json_object *object;

	memset(text, 'a', length);
	object = json_object_new_string_len(text, (int)length);
	free(text);
	return object;
}

TEST(ids_uuids_names_and_texts_are_checked)
{
	static const char *const bad_ids[] = { "0123456789abcde",  "0123456789abcdef0", "0123456789ABCDEF",
					       "0123456789abcdeg", "../../etc/shadow",  "0123456789abcd/f" };
	static const char *const bad_uuids[] = { "0f7f9e1c2d6b4c1e9a536f1b0c7d8e90", UUID "0",
						 "0f7f9e1c-2d6b-4c1e-9a53-6f1b0c7d8e9",
						 "0f7f9e1c-2d6b-4c1e-9a53-6f1b0c7d8e9g",
						 "0f7f9e1c-2d6b-4c1e-9a53_6f1b0c7d8e90" };
	static const char *const bad_names[] = { "", "/etc/shadow", "../x", "a/../b", "a//b", "a\nb" };

	for (size_t i = 0; i < ARRAY_SIZE(bad_ids); i++) {
		refuse_text(&kinds[0], "head", bad_ids[i]);
		refuse_text(&kinds[0], "hold", bad_ids[i]);
		refuse_text(&kinds[1], "id", bad_ids[i]);
		refuse_text(&kinds[1], "parent", bad_ids[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_uuids); i++) {
		refuse_text(&kinds[0], "hold-uuid", bad_uuids[i]);
		refuse_text(&kinds[0], "keep-uuid", bad_uuids[i]);
		refuse_text(&kinds[3], "uuid", bad_uuids[i]);
		refuse_text(&kinds[4], "uuid", bad_uuids[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_names); i++)
		refuse_text(&kinds[2], "image", bad_names[i]);
	refuse_text(&kinds[0], "keep", "everything");
	refuse_text(&kinds[1], "format", "vmdk");
	refuse_text(&kinds[1], "state", "torn");
}

TEST(texts_that_are_too_long_are_refused)
{
	refuse_with(&kinds[0], "hold-domain", long_text(DOMAIN_SIZE));
	refuse_with(&kinds[0], "consumed", long_text(TOKEN_SIZE));
	refuse_with(&kinds[0], "head", long_text(100000));
	refuse_with(&kinds[1], "domain", long_text(DOMAIN_SIZE));
	refuse_with(&kinds[1], "note", long_text(NOTE_SIZE));
	refuse_with(&kinds[1], "consistency", long_text(TARGET_SIZE));
	refuse_with(&kinds[2], "image", long_text(5000));
	refuse_with(&kinds[3], "domain", long_text(DOMAIN_SIZE));
	refuse_with(&kinds[3], "target", long_text(TARGET_SIZE));
	refuse_with(&kinds[3], "boot", long_text(BOOT_ID_SIZE));
	refuse_with(&kinds[4], "domain", long_text(DOMAIN_SIZE));
	refuse_with(&kinds[4], "consumed", long_text(TOKEN_SIZE));
}

TEST(a_layer_has_either_a_parent_or_an_image)
{
	refuse_text(&kinds[1], "image", "a");
	refuse_text(&kinds[2], "parent", "fedcba9876543210");
}

TEST(an_image_is_not_being_folded)
{
	refuse_text(&kinds[2], "state", "folding");
}

static struct json_object *layer_name(const char *text)
{
	return json_tokener_parse(text);
}

TEST(names_of_a_layer_are_checked_and_counted)
{
	struct json_object *names = json_object_new_array();
	static const char *const bad[] = { "1",
					   "\"x\"",
					   "null",
					   "{}",
					   "{\"disk\":\"a\"}",
					   "{\"point\":\"p\"}",
					   "{\"disk\":\"../a\",\"point\":\"p\"}",
					   "{\"disk\":\"a\",\"point\":\"\"}",
					   "{\"disk\":\"a\",\"point\":\"p/q\"}",
					   "{\"disk\":\"a\",\"point\":1}" };

	for (int i = 0; i <= LAYER_NAMES_MAX; i++)
		json_object_array_add(names, layer_name("{\"disk\":\"a\",\"point\":\"p\"}"));
	refuse_with(&kinds[1], "names", names);
	for (size_t i = 0; i < ARRAY_SIZE(bad) + 1; i++) {
		struct json_object *last = i < ARRAY_SIZE(bad) ? layer_name(bad[i]) : layer_name("{\"disk\":\"a\"}");

		if (i == ARRAY_SIZE(bad))
			json_object_object_add(last, "point", long_text(SNAPSHOT_NAME_MAX + 1));
		names = json_object_new_array();
		json_object_array_add(names, layer_name("{\"disk\":\"a\",\"point\":\"p\"}"));
		json_object_array_add(names, last);
		refuse_with(&kinds[1], "names", names);
	}
}

TEST(parts_of_an_intent_are_checked_and_counted)
{
	struct json_object *entries = json_object_new_array();
	static const char *const bad[] = { "1",
					   "{}",
					   "{\"disk\":\"a\"}",
					   "{\"layer\":\"0123456789abcdef\"}",
					   "null",
					   "[]",
					   "{\"disk\":\"../a\",\"layer\":\"0123456789abcdef\",\"hold\":false}",
					   "{\"disk\":\"a\",\"layer\":\"0123456789abcdef\",\"hold\":1}",
					   "{\"disk\":\"a\",\"layer\":\"x\",\"hold\":false}" };

	for (int i = 0; i < 257; i++)
		json_object_array_add(
			entries, json_tokener_parse("{\"disk\":\"a\",\"layer\":\"0123456789abcdef\",\"hold\":false}"));
	refuse_with(&kinds[4], "parts", entries);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		entries = json_object_new_array();
		json_object_array_add(
			entries, json_tokener_parse("{\"disk\":\"a\",\"layer\":\"0123456789abcdef\",\"hold\":false}"));
		json_object_array_add(entries, json_tokener_parse(bad[i]));
		refuse_with(&kinds[4], "parts", entries);
	}
}

TEST(a_record_of_another_version_is_refused)
{
	FOR_EACH_KIND(kind)
	refuse_with(kind, "version", json_object_new_int(2));
}

TEST(what_is_no_object_or_no_file_is_refused)
{
	static const char *const texts[] = { "[]", "null", "1", "\"x\"", "{\"version\":1}", "{\"version\":1} {}", "" };
	char *large;

	FOR_EACH_KIND(kind)
	{
		for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
			put(texts[i], strlen(texts[i]));
			check_errno(kind->load(), EBADMSG);
		}
	}
	large = calloc(1, 300000);
	check(large);
	memset(large, ' ', 300000);
	put(large, 300000);
	free(large);
	check_errno(load_disk(), EBADMSG);
	unlinkat(directory(), FILE_NAME, 0);
	check_int(symlinkat("/etc/passwd", directory(), FILE_NAME), 0);
	check_errno(load_disk(), EBADMSG);
	unlinkat(directory(), FILE_NAME, 0);
	check_int(mkdirat(directory(), FILE_NAME, 0700), 0);
	check_errno(load_disk(), EBADMSG);
	unlinkat(directory(), FILE_NAME, AT_REMOVEDIR);
	check_int(mkfifoat(directory(), FILE_NAME, 0600), 0);
	check_errno(load_disk(), EBADMSG);
	unlinkat(directory(), FILE_NAME, 0);
}
