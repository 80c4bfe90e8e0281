/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libvirt's arguments alone do not say: why a domain ended, and whether it has a managed save.
 *
 * From 10.5 on libvirt gives the reason as the fourth argument of `release`. Before, the same word
 * stands in the domain's log, written before the hook is called: the last "shutting down, reason="
 * line, unless a "starting up" line comes after it. It need not be the log's last line (QEMU may
 * complain after it), and it may follow text of QEMU without a newline between. virtlogd may have
 * moved it to NAME.log.0 a moment ago. The log also holds what QEMU prints, so a guest that has
 * taken over its QEMU can forge the line. All that it gains is the choice between the ends that its
 * domain could have had.
 */
#include "event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shown.h"
#include "util.h"

/*
 * How many bytes at a log's end are searched: the larger number only where the smaller did not
 * suffice. virtlogd rotates a log at 2 MiB.
 */
static const size_t tail_sizes[] = { 64 << 10, 4 << 20 };

static const char *const reasons[] = {
	"shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from snapshot", "daemon", "unknown",
};

enum finding { FOUND_NOTHING, FOUND_START, FOUND_REASON };

void event_new(const char *domain, const char *extra, struct event *ret_event)
{
	*ret_event = (struct event){ .domain = domain, .extra = extra, .reason = "unknown" };
	shown_text(domain, ret_event->shown, sizeof(ret_event->shown));
}

void event_find_save(struct event *event, const char *save_dir)
{
	CLEANUP(freep) char *path = NULL;
	struct stat st;

	if (!name_is_usable(event->domain))
		return;
	path = format_text("%s/%s.save", save_dir, event->domain);
	event->saved = path && lstat(path, &st) == 0;
}

static const char *known_reason(const char *word, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (strlen(reasons[i]) == length && memcmp(reasons[i], word, length) == 0)
			return reasons[i];
	return NULL;
}

static enum finding look_at_line(const char *line, size_t length, const char **ret_reason)
{
	static const char stop[] = "shutting down, reason=", start[] = "starting up libvirt version";
	const char *p = memmem(line, length, stop, sizeof(stop) - 1);
	const char *word, *reason;

	if (memmem(line, length, start, sizeof(start) - 1))
		return FOUND_START;
	if (!p || (p != line && p[-1] != ' '))
		return FOUND_NOTHING;
	word = p + sizeof(stop) - 1;
	reason = known_reason(word, (size_t)(line + length - word));
	if (!reason)
		return FOUND_NOTHING;
	*ret_reason = reason;
	return FOUND_REASON;
}

/* What the last of the lines says that say anything. */
static enum finding look_at_text(const char *text, size_t length, const char **ret_reason)
{
	while (length) {
		const char *newline = memrchr(text, '\n', length);
		size_t line = newline ? (size_t)(newline + 1 - text) : 0;
		enum finding finding = look_at_line(text + line, length - line, ret_reason);

		if (finding != FOUND_NOTHING)
			return finding;
		length = newline ? (size_t)(newline - text) : 0;
	}
	return FOUND_NOTHING;
}

static enum finding look_at_tail(int fd, off_t size, size_t tail, const char **ret_reason)
{
	CLEANUP(freep) char *text = NULL;
	size_t length = (off_t)tail < size ? tail : (size_t)size;

	text = malloc(length + 1);
	/* A log that is rotated at this moment gives a short read: nothing is found in it. */
	if (!text || pread_all(fd, text, length, size - (off_t)length) < 0)
		return FOUND_NOTHING;
	return look_at_text(text, length, ret_reason);
}

static enum finding look_at_log(const char *log_dir, const char *domain, const char *suffix, const char **ret_reason)
{
	CLEANUP(freep) char *path = format_text("%s/%s.log%s", log_dir, domain, suffix);
	CLEANUP(close_fdp) int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return FOUND_NOTHING;
	for (size_t i = 0; i < ARRAY_SIZE(tail_sizes); i++) {
		enum finding finding = look_at_tail(fd, st.st_size, tail_sizes[i], ret_reason);

		if (finding != FOUND_NOTHING || st.st_size <= (off_t)tail_sizes[i])
			return finding;
	}
	return FOUND_NOTHING;
}

void event_find_reason(struct event *event, const char *libvirt_log_dir)
{
	const char *said = known_reason(event->extra, strlen(event->extra));
	enum finding finding;

	if (said) {
		event->reason = said;
		return;
	}
	if (!name_is_usable(event->domain))
		return;
	finding = look_at_log(libvirt_log_dir, event->domain, "", &event->reason);
	if (finding == FOUND_NOTHING)
		finding = look_at_log(libvirt_log_dir, event->domain, ".0", &event->reason);
	/* Without a log, a managed save that exists now says enough: its disks must not change. */
	if (finding != FOUND_REASON && event->saved)
		event->reason = "saved";
}
