/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chance, failing, and text.
 *
 * The same seed gives the same steps, but folds run when they run.
 */
#include "model.h"

#include <signal.h>
#include <stdarg.h>
#include <time.h>

#define LOG_LINES 60

static uint64_t first_seed, random_state;
static char *log_lines[LOG_LINES];
static unsigned log_count;
static bool failing;

double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void random_seed(uint64_t seed)
{
	first_seed = random_state = seed;
}

uint64_t random64(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

unsigned below(unsigned n)
{
	return (unsigned)(random64() % n);
}

bool one_in(unsigned n)
{
	return below(n) == 0;
}

__attribute__((format(printf, 1, 2))) void note(const char *format, ...)
{
	char **line = &log_lines[log_count++ % LOG_LINES];
	va_list args;

	free(*line);
	va_start(args, format);
	if (vasprintf(line, format, args) < 0)
		*line = NULL;
	va_end(args);
}

__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "model: SEED=%llu, step %u: ", (unsigned long long)first_seed, step);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nthe last steps:\n");
	if (!failing && daemon_answers()) {
		failing = true;
		sleep(3);
		fprintf(stderr, "status, 3 s later: %s\n", json_object_to_json_string(read_status()));
	}
	for (unsigned i = log_count > LOG_LINES ? log_count - LOG_LINES : 0; i < log_count; i++)
		fprintf(stderr, "  %s\n", log_lines[i % LOG_LINES]);
	/* The daemon is left as it is for whoever looks; the test's namespace ends it. */
	exit(1);
}

void check_system(int r, const char *what)
{
	if (r < 0)
		fail("%s: %s", what, strerror(errno));
}

void run(const char *format, ...)
{
	char command[8192];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail("'%s' failed", command);
}

__attribute__((format(printf, 2, 3))) void write_file(const char *path, const char *format, ...)
{
	FILE *file = fopen(path, "w");
	va_list args;

	if (!file)
		fail("cannot write '%s'", path);
	va_start(args, format);
	vfprintf(file, format, args);
	va_end(args);
	fclose(file);
}

__attribute__((format(printf, 2, 3))) void add(struct text *text, const char *format, ...)
{
	va_list args;

	if (text->room - text->length < 512)
		text->bytes = realloc(text->bytes, text->room = text->room * 2 + 4096);
	va_start(args, format);
	text->length += (size_t)vsnprintf(text->bytes + text->length, text->room - text->length, format, args);
	va_end(args);
}

const char *member(struct json_object *object, const char *key)
{
	struct json_object *inner = NULL;

	if (!object || !json_object_object_get_ex(object, key, &inner) || !inner)
		return "";
	return json_object_get_string(inner);
}

bool present(struct json_object *object, const char *key, struct json_object **ret_inner)
{
	return json_object_object_get_ex(object, key, ret_inner) && *ret_inner;
}
