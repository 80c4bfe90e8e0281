/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A unit test is one program: a few TEST(name) blocks, each one promise, run in the order they
 * stand in.
 *
 *	#include "test.h"
 *	#include "command.h"
 *
 *	TEST(a_word_with_blanks_goes_in_double_quotes)
 *	{
 *		check_int(command_parse("reset \"a b\"", &c), 0);
 *		check_str(c.name, "a b");
 *	}
 *
 * Each prints `ok NAME` or `not ok NAME: why`, with blanks for the underscores. The first check
 * that fails ends its test (by longjmp: cleanup attributes of that scope do not run), the others
 * go on. A crash ends the program; tests/run counts it. TEST_DIR is a directory of the test's own,
 * made by the runner.
 */
#ifndef TEST_H
#define TEST_H

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};

static struct test *test_first, **test_last = &test_first;
static jmp_buf test_failed;
static char test_why[1024];

#define TEST(name_)                                                             \
	static void test_##name_(void);                                         \
	__attribute__((constructor)) static void test_register_##name_(void)    \
	{                                                                       \
		static struct test t = { .name = #name_, .run = test_##name_ }; \
		*test_last = &t;                                                \
		test_last = &t.next;                                            \
	}                                                                       \
	static void test_##name_(void)

__attribute__((noreturn, format(printf, 3, 4), unused)) static void test_fail(const char *file, int line,
									      const char *format, ...)
{
	va_list args;
	int n = snprintf(test_why, sizeof(test_why), "%s:%d: ", file, line);

	va_start(args, format);
	vsnprintf(test_why + n, sizeof(test_why) - (size_t)n, format, args);
	va_end(args);
#ifdef FUZZ_KIND
	fprintf(stderr, "%s\n", test_why);
	abort();
#else
	longjmp(test_failed, 1);
#endif
}

__attribute__((unused)) static void test_int(const char *file, int line, const char *expr, intmax_t got, intmax_t want)
{
	if (got != want)
		test_fail(file, line, "%s is %" PRIdMAX ", not %" PRIdMAX, expr, got, want);
}

__attribute__((unused)) static void test_str(const char *file, int line, const char *expr, const char *got,
					     const char *want)
{
	if (!got || !want ? got != want : strcmp(got, want) != 0)
		test_fail(file, line, "%s is '%s', not '%s'", expr, got ? got : "(null)", want ? want : "(null)");
}

__attribute__((unused)) static void test_contains(const char *file, int line, const char *expr, const char *got,
						  const char *part)
{
	if (!got || !strstr(got, part))
		test_fail(file, line, "%s is '%s', without '%s'", expr, got ? got : "(null)", part);
}

#define check(condition) ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, "%s is not so", #condition))
#define check_int(got, want) test_int(__FILE__, __LINE__, #got, (intmax_t)(got), (intmax_t)(want))
#define check_str(got, want) test_str(__FILE__, __LINE__, #got, got, want)
#define check_contains(got, part) test_contains(__FILE__, __LINE__, #got, got, part)
#define check_errno(result, error) check_int(result, -(error))

static inline const char *test_dir(void)
{
	const char *work = getenv("WORK");

	return work ? work : "/tmp";
}
#define TEST_DIR test_dir()

#ifndef FUZZ_KIND /* corpus.h: libFuzzer has a main() of its own */
static bool test_passes(const struct test *t)
{
	if (setjmp(test_failed) != 0)
		return false;
	t->run();
	return true;
}

int main(void)
{
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (struct test *t = test_first; t; t = t->next) {
		bool passed = test_passes(t);
		char name[256];

		snprintf(name, sizeof(name), "%s", t->name);
		for (char *p = name; *p; p++)
			if (*p == '_')
				*p = ' ';
		if (passed)
			printf("ok %s\n", name);
		else
			printf("not ok %s: %s\n", name, test_why);
		failed += !passed;
	}
	return failed ? 1 : 0;
}
#endif

#endif
