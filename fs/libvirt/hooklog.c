/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hooks of several domains run at the same time, and logrotate may move the file: for each line the
 * file is opened anew, and the line is appended with one write(2). Whatever names and sentences
 * hold, a line stays one line.
 */
#include "hooklog.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shown.h"
#include "util.h"

void hooklog(const char *file, const char *domain, const char *format, ...)
{
	CLEANUP(close_fdp) int fd = -1;
	char message[2048], line[4096], shown[4096], when[TIME_TEXT_SIZE];
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	time_text(time(NULL), when);
	snprintf(line, sizeof(line), "%s %s: %s", when, domain, message);
	shown_text(line, shown, sizeof(shown) - 1);
	length = strlen(shown);
	shown[length] = '\n';
	/*
	 * O_NONBLOCK: where the log is a FIFO without a reader, open(2) would block, and libvirt
	 * with it.
	 */
	fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
	if (fd >= 0)
		write_all(fd, shown, length + 1);
}
