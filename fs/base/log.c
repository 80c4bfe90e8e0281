/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each line is put together in full and written with one write(2), so that lines of several threads
 * never mix.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static void emit(int priority, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));

static void emit(int priority, const char *format, va_list arguments)
{
	int saved = errno, start = 0, n;
	char line[2048];

	if (getenv("REVERTFS_LOG_SYSLOG")) {
		vsyslog(priority, format, arguments);
		errno = saved;
		return;
	}
	if (getenv("JOURNAL_STREAM"))
		start = snprintf(line, sizeof(line), "<%d>", priority);
	n = vsnprintf(line + start, sizeof(line) - (size_t)start - 1, format, arguments);
	if (n > 0) {
		size_t length = strlen(line);

		line[length] = '\n';
		/* A full or closed stderr loses the line; there is nowhere left to say so. */
		if (write(STDERR_FILENO, line, length + 1) < 0)
			errno = saved;
	}
	errno = saved;
}

void log_error(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	emit(LOG_ERR, format, arguments);
	va_end(arguments);
}

void log_warning(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	emit(LOG_WARNING, format, arguments);
	va_end(arguments);
}

void log_info(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	emit(LOG_INFO, format, arguments);
	va_end(arguments);
}

static bool topic_is_on(const char *topic)
{
	const char *list = getenv("REVERTFS_DEBUG");
	size_t length = strlen(topic);

	if (!list)
		return false;
	if (strcmp(list, "all") == 0)
		return true;
	for (;;) {
		size_t word = strcspn(list, ",");

		if (word == length && strncmp(list, topic, length) == 0)
			return true;
		if (!list[word])
			return false;
		list += word + 1;
	}
}

void log_debug(const char *topic, const char *format, ...)
{
	char tagged[512];
	va_list arguments;

	if (!topic_is_on(topic))
		return;
	snprintf(tagged, sizeof(tagged), "%s: %s", topic, format);
	va_start(arguments, format);
	emit(LOG_DEBUG, tagged, arguments);
	va_end(arguments);
}

void log_to_syslog(void)
{
	openlog("revertfs", LOG_PID, LOG_DAEMON);
	setenv("REVERTFS_LOG_SYSLOG", "1", 1);
}
