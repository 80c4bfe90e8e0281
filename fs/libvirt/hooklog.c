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
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shown.h"
#include "util.h"

#define READ_MAX (1 << 20) /* bytes of each file, from its end */

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

/* ---- reading */

static char *read_end(const char *file)
{
	CLEANUP(close_fdp) int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = NULL;
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode))
		return strdup("");
	if (stat.st_size > READ_MAX)
		lseek(fd, -READ_MAX, SEEK_END);
	/* It may grow meanwhile. */
	return read_all(fd, 2 * READ_MAX, &text, NULL) < 0 ? strdup("") : text;
}

char *hooklog_read(const char *file)
{
	CLEANUP(freep) char *rotated = format_text("%s.1", file);
	CLEANUP(freep) char *older = rotated ? read_end(rotated) : NULL;
	CLEANUP(freep) char *newer = read_end(file);

	return older && newer ? format_text("%s%s", older, newer) : NULL;
}

/*
 * What stands in front of the target, up to a colon, is what was done. A name may hold quotes: it
 * ends with the last one that a colon follows.
 */
static char *name_in_line(const char *line, size_t length, const char *domain, const char *target)
{
	CLEANUP(freep) char *copy = strndup(line, length);
	CLEANUP(freep) char *front = format_text("%s: ", domain);
	CLEANUP(freep) char *middle = format_text(": %s '", target);
	char *text = copy ? strchr(copy, ' ') : NULL, *name, *end = NULL;

	if (!text || !front || !middle || strncmp(text + 1, front, strlen(front)) != 0)
		return NULL;
	text += 1 + strlen(front);
	name = strstr(text, middle);
	if (!name || memchr(text, ':', (size_t)(name - text)))
		return NULL;
	name += strlen(middle);
	for (char *p = strstr(name, "': "); p; p = strstr(p + 1, "': "))
		end = p;
	return end ? strndup(name, (size_t)(end - name)) : NULL;
}

char *hooklog_find_disk(const char *log, const char *domain, const char *target)
{
	char *found = NULL;

	for (size_t length; *log; log += length + (log[length] == '\n')) {
		char *name;

		length = strcspn(log, "\n");
		name = name_in_line(log, length, domain, target);
		if (name) {
			free(found);
			found = name;
		}
	}
	return found;
}
