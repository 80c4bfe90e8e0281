/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control lines: what is a word, a setting or a mistake, and that the writer and the reader of
 * lines cannot disagree.
 */
#include "test.h"

#include <stdlib.h>

#include "command.h"

/* For CLEANUP() alone a failed check would leak: what a test parses is freed by the next one. */
static struct command *parsed;
static struct sentence why;

static int parse_bytes(const char *line, size_t length)
{
	command_free(parsed);
	parsed = NULL;
	why.text[0] = '\0';
	return command_parse(line, length, &parsed, &why);
}

static int parse(const char *line)
{
	return parse_bytes(line, strlen(line));
}

static void refused(const char *line, const char *words)
{
	check_errno(parse(line), EINVAL);
	check(!parsed);
	check_contains(why.text, words);
}

static void check_word(size_t i, const char *key, const char *value)
{
	check(i < parsed->count);
	check_str(parsed->words[i].key, key);
	check_str(parsed->words[i].value, value);
}

TEST(a_blank_line_is_no_command)
{
	static const char *const lines[] = { "", " ", "\t", " \t  \t" };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		check_int(parse(lines[i]), 0);
		check(!parsed);
	}
}

TEST(a_line_is_a_verb_words_and_settings_in_the_order_they_stand)
{
	check_int(parse("  prepare\tdisk one=1  two  three=x=y "), 0);
	check_str(parsed->verb, "prepare");
	check_int(parsed->count, 4);
	check_word(0, NULL, "disk");
	check_word(1, "one", "1");
	check_word(2, NULL, "two");
	check_word(3, "three", "x=y");
}

TEST(a_word_with_blanks_goes_in_double_quotes)
{
	check_int(parse("reset \"a b\"  \"\" a\"b c\"d \"x\"\"y\""), 0);
	check_int(parsed->count, 4);
	check_word(0, NULL, "a b");
	check_word(1, NULL, "");
	check_word(2, NULL, "ab cd");
	check_word(3, NULL, "xy");
}

TEST(quotes_hold_escaped_quotes_and_backslashes_and_outside_a_backslash_is_itself)
{
	check_int(parse("reset \"a\\\"b\\\\c\" d\\e"), 0);
	check_word(0, NULL, "a\"b\\c");
	check_word(1, NULL, "d\\e");
}

TEST(a_tab_inside_quotes_is_a_blank)
{
	check_int(parse("reset \"a\tb\""), 0);
	check_word(0, NULL, "a b");
}

TEST(a_setting_has_a_key_of_small_letters_digits_and_hyphens_outside_quotes)
{
	check_int(parse("set a=b keep-revisions=\"x y\" k2= \"c=d\" E=f =g h_i=j -=k"), 0);
	check_int(parsed->count, 8);
	check_word(0, "a", "b");
	check_word(1, "keep-revisions", "x y");
	check_word(2, "k2", "");
	check_word(3, NULL, "c=d");
	check_word(4, NULL, "E=f");
	check_word(5, NULL, "=g");
	check_word(6, NULL, "h_i=j");
	check_word(7, "-", "k");
}

TEST(the_verb_is_never_a_setting)
{
	check_int(parse("a=b c"), 0);
	check_str(parsed->verb, "a=b");
}

TEST(an_open_quote_is_refused)
{
	refused("reset \"a", "quote");
	refused("reset \"", "quote");
	refused("reset a\" b", "quote");
	refused("\"", "quote");
	refused("set a=\"b", "quote");
	refused("reset \"a\\\"", "quote");
}

TEST(a_foreign_escape_inside_quotes_is_refused)
{
	refused("reset \"a\\n\"", "backslash");
	refused("reset \"a\\ \"", "backslash");
	refused("reset \"a\\", "backslash");
}

TEST(control_characters_and_NUL_are_refused)
{
	for (char c = 1; c < 0x20; c++) {
		char line[] = "reset a?b";

		if (c == '\t')
			continue;
		line[7] = c;
		refused(line, "control character");
	}
	refused("reset a\x7f", "control character");
	refused("reset \"a\nb\"", "control character");
	check_errno(parse_bytes("reset a\0b", 9), EINVAL);
	check_errno(parse_bytes("\0", 1), EINVAL);
	check_errno(parse_bytes("reset a\0", 8), EINVAL);
}

TEST(invalid_UTF8_is_refused_and_valid_is_kept)
{
	static const char *const invalid[] = { "\x80",
					       "\xc3",
					       "\xc0\xaf",
					       "\xe0\x80\xaf",
					       "\xed\xa0\x80",
					       "\xf4\x90\x80\x80",
					       "\xf8\x88\x80\x80\x80",
					       "\xff",
					       "a\xe2\x82" };

	for (size_t i = 0; i < ARRAY_SIZE(invalid); i++) {
		char line[64];

		snprintf(line, sizeof(line), "reset x%s", invalid[i]);
		refused(line, "UTF-8");
	}
	check_int(parse("reset \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), 0);
	check_word(0, NULL, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
}

TEST(a_line_of_the_longest_length_is_taken_and_a_longer_one_is_not)
{
	char *line = malloc(COMMAND_LINE_MAX + 2);

	check(line);
	memset(line, 'x', COMMAND_LINE_MAX + 1);
	memcpy(line, "reset ", 6);
	check_int(parse_bytes(line, COMMAND_LINE_MAX), 0);
	check_int(strlen(parsed->words[0].value), COMMAND_LINE_MAX - 6);
	check_errno(parse_bytes(line, COMMAND_LINE_MAX + 1), E2BIG);
	check(!parsed && why.text[0]);
	free(line);
}

TEST(a_line_may_hold_so_many_words_and_no_more)
{
	char line[2 * COMMAND_WORDS_MAX + 4] = "v";

	for (int i = 0; i < COMMAND_WORDS_MAX; i++)
		strcpy(line + 1 + 2 * i, " w");
	check_int(parse(line), 0);
	check_int(parsed->count, COMMAND_WORDS_MAX);
	strcat(line, " w");
	check_errno(parse(line), E2BIG);
}

TEST(a_failure_leaves_the_output_alone_and_needs_no_sentence)
{
	struct command *untouched = (struct command *)&why;

	check_errno(command_parse("\"", 1, &untouched, NULL), EINVAL);
	check(untouched == (struct command *)&why);
}

static void round_trip(const char *key, const char *value)
{
	char *line = NULL;

	check_int(command_append(&line, NULL, "verb"), 0);
	check_int(command_append(&line, NULL, "first"), 0);
	check_int(command_append(&line, key, value), 0);
	check_int(command_append(&line, "last", value), 0);
	check_int(parse(line), 0);
	free(line);
	check_int(parsed->count, 3);
	check_word(1, key, value);
	check_word(2, "last", value);
}

TEST(what_is_appended_is_parsed_back_exactly)
{
	static const char *const values[] = {
		"",     " ",   "a b",     "\"", "\\",         "\\\"\\\\\"", "a=b",
		"key=", "=",   "\"a\"=b", "..", "/a/b c.img", "#x",         "\xc3\xa4 \xe2\x82\xac",
		"-",    "$(x)"
	};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		round_trip(NULL, values[i]);
		round_trip("some-key2", values[i]);
	}
}

TEST(random_texts_are_parsed_back_exactly)
{
	static const char *const pieces[] = {
		" ", "\"", "\\", "=", "a", "-", "\xc3\xa4", "\xf0\x9f\x98\x80", "'", "0"
	};
	unsigned state = 1;

	for (int i = 0; i < 5000; i++) {
		char value[64] = "";

		for (unsigned n = rand_r((unsigned *)&state) % 12; n; n--)
			strcat(value, pieces[(unsigned)rand_r(&state) % ARRAY_SIZE(pieces)]);
		round_trip(i % 2 ? "k" : NULL, value);
	}
}

TEST(what_cannot_stand_in_a_line_is_not_appended)
{
	char *line = NULL;

	check_int(command_append(&line, NULL, "verb"), 0);
	check_errno(command_append(&line, NULL, "a\nb"), EINVAL);
	check_errno(command_append(&line, "key", "\x01"), EINVAL);
	check_errno(command_append(&line, NULL, "\xff"), EINVAL);
	check_str(line, "\"verb\"");
	free(line);
	line = NULL;
	check_errno(command_append(&line, NULL, "\t"), EINVAL);
	check(!line);
	parse("");
}

TEST(a_name_is_quoted_where_it_has_to_be)
{
	static const char *const plain[] = { "h.qcow2", "dir/vm-1_a.img", "\xc3\xa4" };
	static const char *const quoted[] = { "a b", "a=b", "\"", "\\", "it's", "", "a;b", "$(reboot)", "`id`" };
	struct sentence buffer;
	char longest[sizeof(buffer.text)] = " ";

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		check(quote_name(plain[i], &buffer) == plain[i]);
	check_str(quote_name("a \"b\\", &buffer), "\"a \\\"b\\\\\"");
	for (size_t i = 0; i < ARRAY_SIZE(quoted); i++) {
		char line[64];

		snprintf(line, sizeof(line), "reset %s force=yes", quote_name(quoted[i], &buffer));
		check_int(parse(line), 0);
		check_word(0, NULL, quoted[i]);
	}
	memset(longest + 1, '"', sizeof(longest) - 2);
	check_str(quote_name(longest, &buffer), "");
	parse("");
}

TEST(a_quoted_name_is_one_word_to_a_shell)
{
	static const char *const names[] = {
		"$(echo no).img", "`echo no`", "$HOME", "a\\$b", "it's \"a\" b;c", "~ * ?"
	};
	struct sentence buffer;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char command[128], said[128] = "";
		FILE *shell;

		snprintf(command, sizeof(command), "printf %%s %s", quote_name(names[i], &buffer));
		shell = popen(command, "r");
		check(shell != NULL);
		check(fgets(said, sizeof(said), shell) != NULL);
		pclose(shell);
		check_str(said, names[i]);
	}
}

TEST(a_shell_takes_no_character_of_a_path_for_its_own)
{
	struct sentence buffer;
	char longest[sizeof(buffer.text) + 1];

	check_str(quote_shell("/srv/vm-1_a,b+c=d:e@f%g.img", &buffer), "/srv/vm-1_a,b+c=d:e@f%g.img");
	check_str(quote_shell("a b$(c)'`", &buffer), "a\\ b\\$\\(c\\)\\'\\`");
	memset(longest, '$', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	check_str(quote_shell(longest, &buffer), "");
}
