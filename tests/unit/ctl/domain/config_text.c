/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's file is changed in its text: what was not meant stays. */
#include "config_text.h"
#include "json.h"
#include "test.h"

static const char *const both[] = { "vda", "vd\"b" };

static bool is_json(const char *text)
{
	CLEANUP(json_putp) struct json_object *value = NULL;

	return text && json_parse(text, strlen(text), &value, NULL) == 0;
}

TEST(a_new_file_looks_as_the_sample_does)
{
	CLEANUP(freep) char *text = config_text_new(both, 2);

	check_str(text, "{\n\t\"disks\": [\n"
			"\t\t{ \"target\": \"vda\", \"one-shot-commit\": false },\n"
			"\t\t{ \"target\": \"vd\\\"b\", \"one-shot-commit\": false }\n"
			"\t]\n}\n");
	check(is_json(text));
}

TEST(an_entry_is_added_at_the_end_and_nothing_else_is_changed)
{
	CLEANUP(freep)
	char *one = config_text_add("{\"x\": 1.50, \"disks\": [ {\"target\":\"vdz\"} ], \"y\":[]}", both, 1);
	CLEANUP(freep) char *none = config_text_add("{\"disks\":[ ]}", both, 1);

	check_str(one, "{\"x\": 1.50, \"disks\": [ {\"target\":\"vdz\"},\n"
		       "\t\t{ \"target\": \"vda\", \"one-shot-commit\": false } ], \"y\":[]}");
	check_contains(none, "{\"disks\":[\n\t\t{ \"target\": \"vda\", \"one-shot-commit\": false }\n\t ]}");
	check(is_json(one) && is_json(none));
}

TEST(entries_are_removed_wherever_they_stand)
{
	static const char text[] =
		"{\"disks\": [\n\t{\"target\":\"a\"},\n\t{\"target\":\"b\", \"k\":[1,2]},\n\t{\"target\":\"c\"}\n], \"z\":0}";

	for (unsigned mask = 0; mask < 8; mask++) {
		bool which[] = { mask & 1, mask & 2, mask & 4 };
		CLEANUP(freep) char *less = config_text_remove(text, which, 3);

		check(is_json(less));
		check_int(strstr(less, "\"a\"") != NULL, !which[0]);
		check_int(strstr(less, "{\"target\":\"b\", \"k\":[1,2]}") != NULL, !which[1]);
		check_int(strstr(less, "\"c\"") != NULL, !which[2]);
		check_contains(less, "\"z\":0");
		if (mask == 0)
			check_str(less, text);
	}
}

TEST(the_flag_is_set_where_it_stands_or_else_written)
{
	static const char text[] =
		"{\"disks\":[{\"target\":\"a\", \"one-shot-commit\" : false ,\"n\":1e3},{\"target\":\"b\"}]}";
	CLEANUP(freep) char *first = config_text_set_flag(text, (bool[]){ true, false }, 2, true);
	CLEANUP(freep) char *second = config_text_set_flag(text, (bool[]){ false, true }, 2, true);
	CLEANUP(freep) char *back = config_text_set_flag(first, (bool[]){ true, false }, 2, false);

	check_str(first, "{\"disks\":[{\"target\":\"a\", \"one-shot-commit\" : true ,\"n\":1e3},{\"target\":\"b\"}]}");
	check_str(second, "{\"disks\":[{\"target\":\"a\", \"one-shot-commit\" : false ,\"n\":1e3},"
			  "{ \"one-shot-commit\": true,\"target\":\"b\"}]}");
	check_str(back, text);
	check(is_json(second));
}
