/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "span.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "io.h"
#include "json.h"

#define SPAN_SIZE_MAX 4096
#define SPAN_VERSION 1

int span_load(int directory, const char *file, struct span *ret_span)
{
	CLEANUP(close_fdp) int fd = io_open_file(directory, file, O_RDONLY);
	CLEANUP(json_putp) struct json_object *object = NULL;
	CLEANUP(freep) char *text = NULL;
	struct span span = { 0 };
	uint64_t version = 0;
	size_t length;
	int r;

	if (fd < 0)
		return fd;
	r = read_all(fd, SPAN_SIZE_MAX, &text, &length);
	if (r == 0)
		r = json_parse(text, length, &object, NULL);
	if (r < 0)
		return r == -EFBIG ? -EBADMSG : r;
	if (json_get_u64(object, "version", &version) <= 0 || version != SPAN_VERSION ||
	    json_get_u64(object, "from", &span.from) <= 0 || json_get_u64(object, "until", &span.until) <= 0)
		return -EBADMSG;
	*ret_span = span;
	return 0;
}

int span_save(struct guard *guard, int directory, const char *file, const struct span *span)
{
	char text[128];
	int length = snprintf(text, sizeof(text), "{\"version\":%d,\"from\":%llu,\"until\":%llu}\n", SPAN_VERSION,
			      (unsigned long long)span->from, (unsigned long long)span->until);
	int r = guard_check(guard);

	return r < 0 ? r : io_replace(directory, file, text, (size_t)length, true);
}
