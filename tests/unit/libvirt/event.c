/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a domain ended: from libvirt's argument, or from the domain's log as libvirt 9 writes it.
 */
#include "test.h"

#include <stdlib.h>
#include <unistd.h>

#include "event.h"
#include "shown.h"
#include "util.h"

#define STAMP "2026-11-20 18:00:01.123+0000: "
#define START STAMP "starting up libvirt version: 9.0.0, package: 9.0.0-4+deb12u2 (Debian), qemu version: 7.2.22\n"
#define STOP(reason) STAMP "shutting down, reason=" reason "\n"

static void put(const char *name, const char *text)
{
	CLEANUP(freep) char *path = format_text("%s/%s", TEST_DIR, name);
	FILE *file = fopen(path, "w");

	check(file);
	fputs(text, file);
	fclose(file);
}

/* `log` and `older` are NAME.log and NAME.log.0; NULL: not there. */
static const char *reason_of(const char *extra, const char *log, const char *older, bool saved)
{
	struct event event;

	event_new("d", extra, &event);
	event.saved = saved;
	if (log)
		put("d.log", log);
	if (older)
		put("d.log.0", older);
	event_find_reason(&event, TEST_DIR);
	if (log) {
		CLEANUP(freep) char *path = format_text("%s/d.log", TEST_DIR);

		unlink(path);
	}
	if (older) {
		CLEANUP(freep) char *path = format_text("%s/d.log.0", TEST_DIR);

		unlink(path);
	}
	return event.reason;
}

TEST(libvirt_10_5_says_the_reason_itself)
{
	static const char *const reasons[] = { "shutdown", "destroyed", "crashed", "migrated",     "saved",
					       "failed",   "daemon",    "unknown", "from snapshot" };

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		check_str(reason_of(reasons[i], START STOP("crashed"), NULL, true), reasons[i]);
}

TEST(before_that_the_log_says_it)
{
	check_str(reason_of("-", START STOP("shutdown"), NULL, false), "shutdown");
	check_str(reason_of("-", START STOP("from snapshot"), NULL, false), "from snapshot");
	check_str(reason_of("", START STOP("destroyed"), NULL, false), "destroyed");
}

TEST(the_last_end_counts)
{
	check_str(reason_of("-", START STOP("saved") START STOP("crashed"), NULL, false), "crashed");
}

TEST(an_end_before_the_last_start_does_not_count)
{
	check_str(reason_of("-", START STOP("shutdown") START "qemu says hello\n", NULL, false), "unknown");
}

TEST(qemu_may_have_the_last_word)
{
	check_str(reason_of("-",
			    START STOP("saved") STAMP "qemu-system-x86_64: terminating on signal 15 from pid 7 "
						      "(/usr/sbin/libvirtd)\n",
			    NULL, false),
		  "saved");
}

TEST(the_line_may_follow_text_without_a_newline_and_lack_its_own)
{
	check_str(reason_of("-", START "qemu: half a line" STOP("crashed"), NULL, false), "crashed");
	check_str(reason_of("-", START STAMP "shutting down, reason=daemon", NULL, false), "daemon");
}

TEST(a_refused_start_has_an_end_but_no_start)
{
	check_str(reason_of("-", STOP("failed"), NULL, false), "failed");
}

TEST(words_that_libvirt_does_not_use_are_no_reason)
{
	check_str(reason_of("-", START STOP("shutdown?"), NULL, false), "unknown");
	check_str(reason_of("nonsense", START STOP(""), NULL, false), "unknown");
	check_str(reason_of("-", START "-name guest=x: shutting down, reason=shutdown,debug-threads=on \\\n", NULL,
			    false),
		  "unknown");
	check_str(reason_of("-", START "xshutting down, reason=shutdown\n", NULL, false), "unknown");
}

TEST(a_log_that_was_rotated_a_moment_ago_is_read_from_its_older_half)
{
	check_str(reason_of("-", "noise of qemu\n", START STOP("destroyed"), false), "destroyed");
	check_str(reason_of("-", "", START STOP("destroyed"), false), "destroyed");
	check_str(reason_of("-", START, STOP("destroyed"), false), "unknown");
}

TEST(a_long_log_is_read_from_its_end)
{
	size_t size = 3 << 20;
	char *text = malloc(size + 1000);

	for (size_t i = 0; i < size; i++)
		text[i] = i % 100 == 99 ? '\n' : 'x';
	strcpy(text + size, STOP("crashed"));
	check_str(reason_of("-", text, NULL, false), "crashed");
	/* ... and from farther up where much was said afterwards. */
	memcpy(text, START STOP("shutdown"), sizeof(START STOP("shutdown")) - 1);
	text[size] = '\0';
	check_str(reason_of("-", text, NULL, false), "shutdown");
	free(text);
}

TEST(without_a_log_a_managed_save_says_enough)
{
	check_str(reason_of("-", NULL, NULL, true), "saved");
	check_str(reason_of("-", START, NULL, true), "saved");
	check_str(reason_of("-", NULL, NULL, false), "unknown");
}

TEST(a_failed_restore_is_not_taken_for_a_save)
{
	check_str(reason_of("-", START STOP("failed"), NULL, true), "failed");
}

TEST(a_managed_save_is_found_by_its_file)
{
	struct event event;

	event_new("a b", "-", &event);
	event_find_save(&event, TEST_DIR);
	check(!event.saved);
	put("a b.save", "");
	event_find_save(&event, TEST_DIR);
	check(event.saved);
}

TEST(a_name_is_shown_without_control_characters_and_broken_utf8)
{
	static const char *const pairs[][2] = {
		{ "plain name", "plain name" },
		{ "a\nb\tc\x7f", "a?b?c?" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7" },
		{ "\xff\xc3", "??" },
		{ "\xc3+\xe2\x82+", "?+??+" },
		{ "\xed\xa0\x80", "???" },
		{ "\x80\xc3\xa9", "?\xc3\xa9" },
		{ "", "" },
	};
	char shown[64];

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		shown_text(pairs[i][0], shown, sizeof(shown));
		check_str(shown, pairs[i][1]);
		check(text_is_clean(shown));
	}
}

TEST(a_long_name_is_cut_between_characters)
{
	char shown[6];

	shown_text("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", shown, sizeof(shown));
	check_str(shown, "\xc3\xa9\xc3\xa9");
	shown_text("abcdefgh", shown, sizeof(shown));
	check_str(shown, "abcde");
}
