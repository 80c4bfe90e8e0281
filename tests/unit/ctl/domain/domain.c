/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What adopt and its kin write: the domain's file, changed in its text, and its XML with other
 * sources; steps and their undo.
 */
#include "config.h"
#include "config_text.h"
#include "domain_edit.h"
#include "transaction.h"
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

/* ---- XML */

static const char xml[] =
	"<domain type='kvm'>\n  <name>a &amp; b</name>\n  <!-- mine -->\n  <devices>\n"
	"    <disk type='file' device='disk'>\n      <driver name='qemu' type='raw' cache='none'/>\n"
	"      <source file='/i/a.img'/>\n      <target dev='vda'/>\n    </disk>\n"
	"    <disk type='volume'>\n      <source pool='p' volume='v'/>\n      <target dev='vdb'/>\n    </disk>\n"
	"  </devices>\n</domain>\n";

TEST(the_source_and_the_driver_are_changed_and_nothing_else)
{
	static const struct disk_change change = { "vda", "/m/a & 'b'.img", "qcow2" };
	CLEANUP(freep) char *before = NULL;
	CLEANUP(freep) char *after = NULL;
	struct sentence why = { "" };

	check_int(domain_edit_disks(xml, &change, 1, &before, &after, &why), 0);
	check_contains(after, "<driver name=\"qemu\" type=\"qcow2\" cache=\"none\"/>");
	check_contains(after, "<source file=\"/m/a &amp; 'b'.img\"/>");
	check_contains(after, "<!-- mine -->");
	check_contains(after, "a &amp; b");
	check_contains(before, "type=\"raw\"");
	check_contains(after, "<source pool=\"p\" volume=\"v\"/>");
}

TEST(a_volume_becomes_a_file_and_a_missing_driver_is_made)
{
	static const struct disk_change change = { "vdb", "/m/v", "qcow2" };
	CLEANUP(freep) char *before = NULL;
	CLEANUP(freep) char *after = NULL;
	struct sentence why = { "" };

	check_int(domain_edit_disks(xml, &change, 1, &before, &after, &why), 0);
	check_contains(after, "<disk type=\"file\"><driver type=\"qcow2\"/>");
	check_contains(after, "<source file=\"/m/v\"/>");
	check(!strstr(after, "pool="));
}

TEST(a_disk_that_is_not_there_and_no_XML_are_refused)
{
	static const struct disk_change change = { "vdz", "/m/v", "qcow2" };
	char *before = NULL, *after = NULL;
	struct sentence why = { "" };

	check_errno(domain_edit_disks(xml, &change, 1, &before, &after, &why), ENOENT);
	check_contains(why.text, "no disk 'vdz'");
	check_errno(domain_edit_disks("<domain", &change, 1, &before, &after, &why), EBADMSG);
}

/* ---- steps */

struct trace {
	char text[64];
	int fail_at, stuck_at;
};

static int act(struct trace *trace, int number, struct sentence *error)
{
	sprintf(trace->text + strlen(trace->text), "+%d", number);
	return trace->fail_at == number ? report(error, -EIO, "step %d failed", number) : 0;
}

static int undo(struct trace *trace, int number, struct sentence *error)
{
	sprintf(trace->text + strlen(trace->text), "-%d", number);
	return trace->stuck_at == number ? report(error, -EIO, "step %d is stuck", number) : 0;
}

#define STEP(n)                                                   \
	static int act##n(void *subject, struct sentence *error)  \
	{                                                         \
		return act(subject, n, error);                    \
	}                                                         \
	static int undo##n(void *subject, struct sentence *error) \
	{                                                         \
		return undo(subject, n, error);                   \
	}
STEP(1)
STEP(2)
STEP(3)

static const struct transaction_step steps[] = { { act1, undo1 }, { act2, undo2 }, { act3, undo3 } };

TEST(steps_that_fail_are_undone_from_the_last_to_the_first)
{
	struct trace trace = { .fail_at = 3 };
	struct sentence why = { "" };

	check_errno(transaction_run(steps, 3, &trace, "all is as it was", &why), EIO);
	check_str(trace.text, "+1+2+3-3-2-1");
	check_str(why.text, "step 3 failed; all is as it was");
	trace = (struct trace){ 0 };
	check_int(transaction_run(steps, 3, &trace, "", &why), 0);
	check_str(trace.text, "+1+2+3");
}

TEST(an_undo_that_fails_is_told_and_keeps_nothing_else_from_being_undone)
{
	struct trace trace = { .fail_at = 2, .stuck_at = 2 };
	struct sentence why = { "" };

	check_errno(transaction_run(steps, 3, &trace, "all is as it was", &why), EIO);
	check_str(trace.text, "+1+2-2-1");
	check_str(why.text, "step 2 failed; and this could not be taken back: step 2 is stuck");
}
