/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon's answer is checked before it is believed.
 */
#include "test.h"

#include "answer.h"

static void refused(const char *text, const char *words)
{
	struct sentence error = { "" };
	struct answer *answer = NULL;

	check(answer_parse(text, &answer, &error) < 0);
	check(!answer);
	check_contains(error.text, words);
}

TEST(an_answer_says_what_was_done_to_each_disk)
{
	struct answer *answer = NULL;

	check_int(
		answer_parse("{\"ok\":true,\"disks\":[{\"name\":\"a\",\"target\":\"vda\",\"action\":\"committed\"},"
			     "{\"name\":\"b\",\"target\":\"vdb\",\"action\":\"fresh\",\"consumed\":true,\"new\":1}]}\n",
			     &answer, NULL),
		0);
	check_int(answer->count, 2);
	check_str(answer->disks[0].action, "committed");
	check(!answer->disks[0].consumed);
	check_str(answer->disks[1].target, "vdb");
	check(answer->disks[1].consumed);
	answer_free(answer);
}

TEST(an_answer_may_have_no_disks)
{
	struct answer *answer = NULL;

	check_int(answer_parse("{\"ok\":true}", &answer, NULL), 0);
	check_int(answer->count, 0);
	answer_free(answer);
}

TEST(a_refusal_is_given_in_the_daemons_words)
{
	refused("{\"ok\":false,\"errno\":\"EBUSY\",\"error\":\"disk 'a' is open\"}", "disk 'a' is open");
	refused("{\"ok\":false,\"errno\":\"EBUSY\"}", "refused with EBUSY");
	refused("{\"ok\":false,\"error\":7}", "make no sense");
}

TEST(what_is_no_answer_is_an_error)
{
	refused("", "makes no sense");
	refused("{}", "makes no sense");
	refused("[]", "makes no sense");
	refused("{\"ok\":1}", "makes no sense");
	refused("{\"ok\":true,\"disks\":{}}", "makes no sense");
	refused("{\"ok\":true,\"disks\":[7]}", "makes no sense");
	refused("{\"ok\":true,\"disks\":[{\"action\":false}]}", "makes no sense");
	refused("{\"ok\":true} {\"ok\":true}", "makes no sense");
}
