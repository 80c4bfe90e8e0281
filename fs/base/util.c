/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Helpers without a subject of their own. Every function is reentrant and keeps no state.
 */
#include "util.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#undef report
#undef report_context

void freep(void *pointer)
{
	free(*(void **)pointer);
}

void close_fdp(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

void *steal_pointer(void *pointer)
{
	void **place = pointer;
	void *taken = *place;

	*place = NULL;
	return taken;
}

/*
 * The length of one UTF-8 sequence at `p`, or 0 where there is none (overlong forms and surrogates
 * included).
 */
static size_t utf8_sequence(const unsigned char *p)
{
	uint32_t code;
	size_t length;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		length = 2;
		code = p[0] & 0x1fU;
	} else if ((p[0] & 0xf0) == 0xe0) {
		length = 3;
		code = p[0] & 0x0fU;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		length = 4;
		code = p[0] & 0x07U;
	} else {
		return 0;
	}
	for (size_t i = 1; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3fU);
	}
	if (length == 3 && (code < 0x800 || (code >= 0xd800 && code <= 0xdfff)))
		return 0;
	if (length == 4 && (code < 0x10000 || code > 0x10ffff))
		return 0;
	return length;
}

/*
 * Words that a sentence quotes may come from a hostile header or another program, and the sentence
 * goes into a log line and into JSON.
 */
static void clean_sentence(struct sentence *sentence)
{
	char *p = sentence->text;

	while (*p) {
		size_t length = utf8_sequence((unsigned char *)p);

		if (!length || (unsigned char)*p < 0x20 || *p == 0x7f) {
			*p = '?';
			length = 1;
		}
		p += length;
	}
}

int report(struct sentence *sentence, int error, const char *format, ...)
{
	va_list arguments;

	if (!sentence)
		return error;
	va_start(arguments, format);
	vsnprintf(sentence->text, sizeof(sentence->text), format, arguments);
	va_end(arguments);
	clean_sentence(sentence);
	return error;
}

int report_context(struct sentence *sentence, int error, const char *format, ...)
{
	struct sentence inner;
	va_list arguments;
	int n;

	if (!sentence)
		return error;
	inner = *sentence;
	va_start(arguments, format);
	n = vsnprintf(sentence->text, sizeof(sentence->text), format, arguments);
	va_end(arguments);
	if (n >= 0 && (size_t)n < sizeof(sentence->text))
		snprintf(sentence->text + n, sizeof(sentence->text) - (size_t)n, "%s", inner.text);
	clean_sentence(sentence);
	return error;
}

const char *error_text(int error)
{
	const char *text = strerrordesc_np(-error);

	return text ? text : "unknown error";
}

const char *error_name(int error)
{
	const char *name = strerrorname_np(-error);

	return name ? name : "EIO";
}

char *format_text(const char *format, ...)
{
	va_list arguments;
	char *text = NULL;
	int n;

	va_start(arguments, format);
	n = vasprintf(&text, format, arguments);
	va_end(arguments);
	return n < 0 ? NULL : text;
}

void time_text(time_t when, char text[TIME_TEXT_SIZE])
{
	struct tm broken_down;

	if (!gmtime_r(&when, &broken_down) || strftime(text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &broken_down) == 0)
		snprintf(text, TIME_TEXT_SIZE, "1970-01-01T00:00:00Z");
}

uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static unsigned size_suffix_shift(char suffix)
{
	switch (suffix) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	case 'T':
		return 40;
	default:
		return 0;
	}
}

int parse_size(const char *text, uint64_t *ret_size)
{
	uint64_t value = 0;
	const char *p = text;
	unsigned shift;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -EINVAL;
	}
	shift = size_suffix_shift(*p);
	if (*p && (!shift || p[1] || value > UINT64_MAX >> shift))
		return -EINVAL;
	*ret_size = value << shift;
	return 0;
}

void size_text(uint64_t bytes, char text[SIZE_TEXT_SIZE])
{
	static const char units[] = "BKMGTP";
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1000 && unit + 2 < sizeof(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(text, SIZE_TEXT_SIZE, value < 9.95 && unit ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

uint64_t text_hash(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL;
	return hash;
}

bool text_is_clean(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p) {
		size_t length = utf8_sequence(p);

		if (!length || *p < 0x20 || *p == 0x7f)
			return false;
		p += length;
	}
	return true;
}

int check_relative_name(const char *name)
{
	const char *component = name;

	if (strlen(name) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (!text_is_clean(name))
		return -EINVAL;
	for (;;) {
		size_t length = strcspn(component, "/");

		if (length == 0 || (length == 1 && component[0] == '.') ||
		    (length == 2 && component[0] == '.' && component[1] == '.'))
			return -EINVAL;
		if (length > NAME_MAX)
			return -ENAMETOOLONG;
		if (!component[length])
			return 0;
		component += length + 1;
	}
}

bool path_is_beneath(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	while (length && directory[length - 1] == '/')
		length--;
	return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

int read_all(int fd, size_t limit, char **ret_text, size_t *ret_length)
{
	CLEANUP(freep) char *text = NULL;
	size_t length = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (length == room) {
			char *larger;

			room = room ? room * 2 : 4096;
			larger = realloc(text, room + 1);
			if (!larger)
				return -ENOMEM;
			text = larger;
		}
		n = read(fd, text + length, room - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		length += (size_t)n;
		if (length > limit)
			return -EFBIG;
	}
	text[length] = '\0';
	*ret_text = steal_pointer(&text);
	if (ret_length)
		*ret_length = length;
	return 0;
}

int write_all(int fd, const void *data, size_t length)
{
	const char *p = data;

	while (length) {
		ssize_t n = write(fd, p, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		length -= (size_t)n;
	}
	return 0;
}

int pwrite_all(int fd, const void *data, size_t length, off_t offset)
{
	const char *p = data;

	while (length) {
		ssize_t n = pwrite(fd, p, length, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		offset += n;
		length -= (size_t)n;
	}
	return 0;
}

int pread_all(int fd, void *data, size_t length, off_t offset)
{
	char *p = data;

	while (length) {
		ssize_t n = pread(fd, p, length, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		offset += n;
		length -= (size_t)n;
	}
	return 0;
}
