/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "span.h"

#include "record_json.h"

int span_load(int directory, const char *file, struct span *ret_span)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	struct record_reader reader = { 0 };
	struct span span;
	int r = record_file_load(directory, file, &object);

	if (r < 0)
		return r;
	reader.object = object;
	span.from = record_read_u64(&reader, "from", true);
	span.until = record_read_u64(&reader, "until", true);
	if (reader.error == 0)
		*ret_span = span;
	return reader.error;
}

int span_save(struct guard *guard, int directory, const char *file, const struct span *span)
{
	CLEANUP(json_putp) struct json_object *object = record_object();

	if (object) {
		json_set_u64(object, "from", span->from);
		json_set_u64(object, "until", span->until);
	}
	return record_file_save(guard, directory, file, object, true);
}
