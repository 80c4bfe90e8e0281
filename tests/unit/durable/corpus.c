/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records of the state directory, torn or written by another hand.
 */
#include "corpus.h"

#include "record.h"

CORPUS(record, "record", any_record_is_refused_or_saved_again_the_same)

/* What was taken as a record is saved and read again as the same. */
static void feed_record(const void *data, size_t size)
{
	int directory = open(TEST_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	struct session_record session = { 0 };
	struct intent_record intent = { 0 };
	struct output_record output = { 0 };
	struct layer_record layer = { 0 };
	struct disk_record disk = { 0 };

	check(directory >= 0);
	write_file("record", data, size);
	r = record_load_disk(directory, "fuzzed.record", &disk);
	check(r == 0 || r == -EBADMSG);
	if (r == 0) {
		check(layer_id_is_valid(disk.head) && record_save_disk(NULL, directory, "fuzzed.again", &disk) == 0);
		free(disk.origin);
		check(record_load_disk(directory, "fuzzed.again", &disk) == 0);
		free(disk.origin);
	}
	r = record_load_layer(directory, "fuzzed.record", &layer);
	check(r == 0 || r == -EBADMSG);
	if (r == 0) {
		check(layer_id_is_valid(layer.id) && record_save_layer(NULL, directory, "fuzzed.again", &layer) == 0);
		record_clear_layer(&layer);
		check(record_load_layer(directory, "fuzzed.again", &layer) == 0);
		record_clear_layer(&layer);
	}
	r = record_load_session(directory, "fuzzed.record", &session);
	check(r == 0 || r == -EBADMSG);
	if (r == 0) {
		check(uuid_is_valid(session.uuid) &&
		      record_save_session(NULL, directory, "fuzzed.again", &session) == 0);
		record_clear_session(&session);
		check(record_load_session(directory, "fuzzed.again", &session) == 0);
		record_clear_session(&session);
	}
	r = record_load_intent(directory, "fuzzed.record", &intent);
	check(r == 0 || r == -EBADMSG);
	if (r == 0) {
		check(uuid_is_valid(intent.uuid) && record_save_intent(NULL, directory, "fuzzed.again", &intent) == 0);
		record_clear_intent(&intent);
		check(record_load_intent(directory, "fuzzed.again", &intent) == 0);
		record_clear_intent(&intent);
	}
	r = record_load_output(directory, "fuzzed.record", &output);
	check(r == 0 || r == -EBADMSG);
	if (r == 0) {
		check(layer_id_is_valid(output.id) &&
		      record_save_output(NULL, directory, "fuzzed.again", &output) == 0);
		record_clear_output(&output);
		check(record_load_output(directory, "fuzzed.again", &output) == 0);
		record_clear_output(&output);
	}
	close(directory);
}
