/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which disk a domain's target was, from the hook's log. */
#include "hooklog.h"
#include "test.h"
#include "util.h"

static const char log_text[] = "2026-12-01T01:00:00Z web1: adopted by root: vda 'old.qcow2': reverts from now on\n"
			       "2026-12-01T01:00:01Z web1: prepare: vda 'web1.qcow2': fresh\n"
			       "2026-12-01T01:00:01Z web1: prepare: vda: warning: of vda 'other.qcow2': little space\n"
			       "2026-12-01T01:00:01Z web1: prepare: vdb 'it's: 'odd': x.img': fresh as crash-1\n"
			       "2026-12-01T01:00:02Z web: release (shutdown): vda 'web.qcow2': reset\n"
			       "2026-12-01T01:00:03Z web1: release (shutdown): vda 'dir/web1.qcow2': reset\n"
			       "2026-12-01T01:00:04Z web1: prepare: vdc 'cut";

static void finds(const char *domain, const char *target, const char *name)
{
	CLEANUP(freep) char *found = hooklog_find_disk(log_text, domain, target);

	if (name)
		check_str(found, name);
	else
		check(!found);
}

TEST(the_newest_line_tells)
{
	finds("web1", "vda", "dir/web1.qcow2");
	finds("web", "vda", "web.qcow2");
}

TEST(a_name_may_hold_quotes_and_colons)
{
	finds("web1", "vdb", "it's: 'odd': x.img");
}

TEST(what_the_log_does_not_say_is_not_known)
{
	finds("web1", "vdc", NULL);
	finds("web1", "vd", NULL);
	finds("we", "vda", NULL);
	finds("web1: prepare", "vda", NULL);
}

TEST(a_log_that_is_not_there_is_empty)
{
	CLEANUP(freep) char *text = hooklog_read("/nowhere/hooks.log");

	check_str(text, "");
}
