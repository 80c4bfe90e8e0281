/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON is taken strictly, and a member of another type than asked for is an error, never converted.
 */
#include "test.h"

#include <unistd.h>

#include "json.h"

static struct json_object *value;
static struct sentence why;

static int parse_bytes(const char *text, size_t length)
{
	json_object_put(value);
	value = NULL;
	why.text[0] = '\0';
	return json_parse(text, length, &value, &why);
}

static int parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static void refused(const char *text)
{
	if (parse(text) != -EBADMSG || value)
		test_fail(__FILE__, __LINE__, "'%s' was taken", text);
	check_contains(why.text, "not valid JSON");
}

TEST(white_space_around_the_value_is_fine)
{
	check_int(parse(" \r\n\t{\"a\": 1} \n\n\t\r "), 0);
	check_int(json_object_object_length(value), 1);
	check_int(parse("[]\n"), 0);
	check_int(parse("17"), 0);
	check_int(parse("17 "), 0);
	check_int(parse("\"a\"\n"), 0);
}

TEST(anything_else_after_the_value_is_refused)
{
	static const char *const texts[] = {
		"{} {}", "{}x", "{},", "[]]", "1 2", "{}\n}", "null null", "{}\v", "{}\f"
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		refused(texts[i]);
	check_errno(parse_bytes("{}\0", 3), EBADMSG);
	check_errno(parse_bytes("{}\0{}", 5), EBADMSG);
	check_errno(parse_bytes("1\0", 2), EBADMSG);
}

TEST(what_is_cut_short_is_refused)
{
	static const char text[] = "{\"a\": [1, true, null, \"x\\u00e4\", {\"b\": -1.5e3}]}";

	for (size_t length = 0; length < sizeof(text) - 1; length++) {
		char cut[sizeof(text)] = "";

		memcpy(cut, text, length);
		check_errno(parse(cut), EBADMSG);
		check(!value && why.text[0]);
	}
	check_int(parse(text), 0);
}

TEST(what_looks_like_JSON_but_is_none_is_refused)
{
	static const char *const texts[] = {
		"{'a': 1}",
		"{a: 1}",
		"{\"a\": 1,}",
		"[1,]",
		"{\"a\" 1}",
		"{\"a\": NaN}",
		"{\"a\": Infinity}",
		"{\"a\": 01}",
		"{\"a\": +1}",
		"{\"a\": .5}",
		"{\"a\": True}",
		"// x\n{}",
		"/* */ {}",
		"{\"a\": \"x\ny\"}",
		"\"\\x41\"",
		"\"\xff\"",
		"[1 2]",
		"{\"a\": nul}",
		"{\"a\": 0x10}",
		"{\"a\": tru}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		refused(texts[i]);
}

TEST(the_sentence_names_the_line)
{
	check_errno(parse("{\n\"a\": 1,\n'b': 2}"), EBADMSG);
	check_contains(why.text, "line 3");
}

TEST(nesting_ends_at_its_limit)
{
	char text[2 * JSON_DEPTH_MAX + 8];

	memset(text, 0, sizeof(text));
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	check_int(parse(text), 0);
	memset(text, 0, sizeof(text));
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	refused(text);
}

TEST(a_member_is_found_absent_or_of_the_wrong_type)
{
	const char *text = "untouched";
	uint64_t number = 7;
	bool flag = true;
	struct json_object *inner = NULL;

	check_int(parse("{\"s\": \"x\", \"n\": 5, \"b\": false, \"a\": [1], \"o\": {\"k\": 1}, \"z\": null}"), 0);
	check_int(json_get_string(value, "s", &text), 1);
	check_str(text, "x");
	check_int(json_get_u64(value, "n", &number), 1);
	check_int(number, 5);
	check_int(json_get_bool(value, "b", &flag), 1);
	check(!flag);
	check_int(json_get_array(value, "a", &inner), 1);
	check_int(json_object_array_length(inner), 1);
	check_int(json_get_object(value, "o", &inner), 1);

	text = "untouched";
	check_int(json_get_string(value, "none", &text), 0);
	check_int(json_get_string(value, "z", &text), 0);
	for (const char *key = "nbao"; *key; key++)
		check_errno(json_get_string(value, (char[]){ *key, 0 }, &text), EBADMSG);
	check_str(text, "untouched");
	check_errno(json_get_u64(value, "s", &number), EBADMSG);
	check_errno(json_get_bool(value, "n", &flag), EBADMSG);
	check_errno(json_get_bool(value, "s", &flag), EBADMSG);
	check_errno(json_get_array(value, "o", &inner), EBADMSG);
	check_errno(json_get_object(value, "a", &inner), EBADMSG);
	check_int(number, 5);
}

TEST(numbers_are_whole_not_negative_and_exact)
{
	uint64_t number = 7;

	check_int(
		parse("{\"a\": -1, \"b\": 1.5, \"c\": 1e3, \"d\": 18446744073709551615, \"e\": 9223372036854775808, \"f\": 0}"),
		0);
	check_errno(json_get_u64(value, "a", &number), EBADMSG);
	check_errno(json_get_u64(value, "b", &number), EBADMSG);
	check_errno(json_get_u64(value, "c", &number), EBADMSG);
	check_int(number, 7);
	check_int(json_get_u64(value, "d", &number), 1);
	check(number == UINT64_MAX);
	check_int(json_get_u64(value, "e", &number), 1);
	check(number == 9223372036854775808ULL);
	check_int(json_get_u64(value, "f", &number), 1);
	check(number == 0);
}

TEST(a_text_with_a_NUL_inside_is_refused)
{
	const char *text = NULL;

	check_int(parse("{\"a\": \"x\\u0000y\"}"), 0);
	check_errno(json_get_string(value, "a", &text), EBADMSG);
}

TEST(members_of_what_is_no_object_are_an_error)
{
	const char *text = NULL;

	check_int(parse("[1]"), 0);
	check_errno(json_get_string(value, "a", &text), EBADMSG);
	check_errno(json_get_string(NULL, "a", &text), EBADMSG);
}

TEST(what_is_set_is_read_back)
{
	const char *text = NULL;
	uint64_t number = 0;
	bool flag = false;

	json_object_put(value);
	value = json_object_new_object();
	json_set_string(value, "s", "a \"b\"\n\xc3\xa4");
	json_set_string(value, "z", NULL);
	json_set_u64(value, "n", UINT64_MAX);
	json_set_bool(value, "b", true);
	text = json_object_to_json_string(value);
	check_int(parse(strdupa(text)), 0);
	check_int(json_get_string(value, "s", &text), 1);
	check_str(text, "a \"b\"\n\xc3\xa4");
	check_int(json_get_string(value, "z", &text), 0);
	check_int(json_get_u64(value, "n", &number), 1);
	check(number == UINT64_MAX);
	check_int(json_get_bool(value, "b", &flag), 1);
	check(flag);
	json_object_put(value);
	value = NULL;
}
