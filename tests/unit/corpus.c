/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two programs read was written by others. Each file of tests/fuzz/KIND goes through the
 * code that reads that kind, as it is, cut off at every byte, and with bytes changed by a seeded
 * generator; what must hold for any input is checked.
 *
 * With clang: `-fsanitize=fuzzer,address -DFUZZ_KIND=config`, and the same directory as the corpus.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer.h"
#include "command.h"
#include "config.h"
#include "domain.h"
#include "event.h"
#include "mounts.h"
#include "shown.h"
#include "qcow2.h"
#include "record.h"
#include "util.h"

#ifdef FUZZ_KIND
#include <stdlib.h>
#include <string.h>
#define TEST_DIR (getenv("FUZZ_DIR"))
#define check(condition) ((condition) ? (void)0 : abort())
#else
#include "test.h"
#endif

/* The input as a file of its own, for what reads files. */
static void write_file(const char *suffix, const void *data, size_t size)
{
	CLEANUP(freep) char *path = format_text("%s/fuzzed.%s", TEST_DIR, suffix);
	CLEANUP(close_fdp) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	check(fd >= 0 && write_all(fd, data, size) == 0);
}

static char *copy_of(const void *data, size_t size)
{
	char *text = malloc(size + 1);

	check(text);
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* What was accepted can be disarmed, and then is the same configuration, without a flag. */
static void check_disarming(struct config *config, const char *name)
{
	bool *which = calloc(config->count + 1, sizeof(*which));
	struct config *again = NULL;

	check(which);
	memset(which, true, config->count);
	check(config_disarm(config, which, NULL) == 0);
	check(config_load(TEST_DIR, name, &again, NULL) == 1);
	check(again->count == config->count);
	for (size_t i = 0; i < again->count; i++) {
		check(!again->disks[i].one_shot_commit);
		check(strcmp(again->disks[i].target, config->disks[i].target) == 0);
	}
	config_free(again);
	free(which);
}

static void feed_config(const void *data, size_t size)
{
	struct config *config = NULL;
	struct sentence error = { "" };
	bool armed = false;

	write_file("json", data, size);
	if (config_load(TEST_DIR, "fuzzed", &config, &error) == 1) {
		for (size_t i = 0; i < config->count; i++) {
			check(*config->disks[i].target && text_is_clean(config->disks[i].target));
			armed |= config->disks[i].one_shot_commit;
		}
		if (armed)
			check_disarming(config, "fuzzed");
	} else {
		check(!config && *error.text);
	}
	config_free(config);
}

static bool any_target(const void *context, const char *target)
{
	return target;
}

/* Without chains it is the same domain. */
static void check_without_chains(const struct domain *domain, const char *text, size_t size)
{
	struct domain *again = NULL;
	char *xml = NULL;

	check(domain_without_chains(text, size, any_target, NULL, &xml, NULL) == 0);
	if (xml) {
		check(domain_parse(xml, strlen(xml), &again, NULL) == 0);
		check(strcmp(again->uuid, domain->uuid) == 0 && again->count == domain->count);
		for (size_t i = 0; i < again->count; i++)
			check(!again->disks[i].backing_store);
	}
	domain_free(again);
	free(xml);
}

static void feed_domain(const void *data, size_t size)
{
	char *text = copy_of(data, size);
	struct sentence error = { "" };
	struct domain *domain = NULL;

	if (domain_parse(text, size, &domain, &error) == 0) {
		for (size_t i = 0; i < domain->count; i++)
			check(domain->disks[i].target);
		check_without_chains(domain, text, size);
	} else {
		check(!domain && *error.text);
	}
	domain_free(domain);
	free(text);
}

static void feed_pool(const void *data, size_t size)
{
	static const char xml[] = "<domain><uuid>00000000-0000-4000-8000-000000000001</uuid><devices>"
				  "<disk type='volume'><source pool='fuzzed' volume='v'/><target dev='vda'/></disk>"
				  "</devices></domain>";
	const char *const dirs[] = { TEST_DIR };
	struct domain *domain = NULL;

	write_file("xml", data, size);
	check(domain_parse(xml, sizeof(xml) - 1, &domain, NULL) == 0);
	domain_resolve_volume(&domain->disks[0], dirs, 1);
	check(domain->disks[0].path ? domain->disks[0].path[0] == '/' : *domain->disks[0].problem);
	domain_free(domain);
}

static void feed_answer(const void *data, size_t size)
{
	char *text = copy_of(data, size);
	struct sentence error = { "" };
	struct answer *answer = NULL;

	if (answer_parse(text, &answer, &error) == 0)
		for (size_t i = 0; i < answer->count; i++)
			check(answer->disks[i].name && answer->disks[i].target && answer->disks[i].action);
	else
		check(!answer && *error.text);
	answer_free(answer);
	free(text);
}

static void feed_mountinfo(const void *data, size_t size)
{
	char *text = copy_of(data, size);
	struct mounts *mounts = NULL;

	check(mounts_parse(text, &mounts) == 0);
	mounts_of_path(mounts, "/srv/a b\\/x");
	mounts_of_image(mounts, "/im\n/x");
	for (const struct mount *m = mounts_next(mounts, NULL); m; m = mounts_next(mounts, m))
		check(m->revertfs && m->point && m->images);
	mounts_free(mounts);
	free(text);
}

static void feed_log(const void *data, size_t size)
{
	char *text = copy_of(data, size), shown[100];
	struct event event;

	write_file("log", data, size);
	event_new("fuzzed", "-", &event);
	event_find_reason(&event, TEST_DIR);
	check(*event.reason);
	shown_text(text, shown, sizeof(shown));
	check(text_is_clean(shown));
	free(text);
}

/* --- the daemon's ----------------------------------------------------------------------------- */

/* What was taken as a command is written and read again as the same. */
static void check_written_again(const struct command *command)
{
	struct command *again = NULL;
	char *line = NULL;

	check(command_append(&line, NULL, command->verb) == 0);
	for (size_t i = 0; i < command->count; i++)
		check(command_append(&line, command->words[i].key, command->words[i].value) == 0);
	if (strlen(line) <= COMMAND_LINE_MAX) {
		check(command_parse(line, strlen(line), &again, NULL) == 0 && again);
		check(strcmp(again->verb, command->verb) == 0 && again->count == command->count);
		for (size_t i = 0; i < again->count; i++) {
			const struct command_word *a = &again->words[i], *b = &command->words[i];

			check(strcmp(a->value, b->value) == 0 && !a->key == !b->key);
			check(!a->key || strcmp(a->key, b->key) == 0);
		}
	}
	command_free(again);
	free(line);
}

static void feed_control(const void *data, size_t size)
{
	const char *line = data, *end = line + size, *stop;

	for (; line < end; line = stop + 1) {
		struct command *command = NULL;
		struct sentence error = { "" };
		int r;

		stop = memchr(line, '\n', (size_t)(end - line));
		stop = stop ? stop : end;
		r = command_parse(line, (size_t)(stop - line), &command, &error);
		if (r == 0 && command)
			check_written_again(command);
		else
			check(!command && (r == 0 || ((r == -EINVAL || r == -E2BIG) && *error.text)));
		command_free(command);
	}
}

/* What was taken as a record is saved and read again as the same. */
static void feed_record(const void *data, size_t size)
{
	int directory = open(TEST_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	struct session_record session = { 0 };
	struct intent_record intent = { 0 };
	struct layer_record layer = { 0 };
	struct disk_record disk = { 0 };

	check(directory >= 0);
	write_file("record", data, size);
	r = record_load_disk(directory, "fuzzed.record", &disk);
	check(r == 0 || r == -EBADMSG);
	if (r == 0) {
		check(layer_id_is_valid(disk.head) && record_save_disk(directory, "fuzzed.again", &disk) == 0);
		free(disk.origin);
		check(record_load_disk(directory, "fuzzed.again", &disk) == 0);
		free(disk.origin);
	}
	r = record_load_layer(directory, "fuzzed.record", &layer);
	check(r == 0 || r == -EBADMSG);
	if (r == 0) {
		check(layer_id_is_valid(layer.id) && record_save_layer(directory, "fuzzed.again", &layer) == 0);
		record_clear_layer(&layer);
		check(record_load_layer(directory, "fuzzed.again", &layer) == 0);
		record_clear_layer(&layer);
	}
	r = record_load_session(directory, "fuzzed.record", &session);
	check(r == 0 || r == -EBADMSG);
	if (r == 0) {
		check(uuid_is_valid(session.uuid) && record_save_session(directory, "fuzzed.again", &session) == 0);
		record_clear_session(&session);
		check(record_load_session(directory, "fuzzed.again", &session) == 0);
		record_clear_session(&session);
	}
	r = record_load_intent(directory, "fuzzed.record", &intent);
	check(r == 0 || r == -EBADMSG);
	if (r == 0) {
		check(uuid_is_valid(intent.uuid) && record_save_intent(directory, "fuzzed.again", &intent) == 0);
		record_clear_intent(&intent);
		check(record_load_intent(directory, "fuzzed.again", &intent) == 0);
		record_clear_intent(&intent);
	}
	close(directory);
}

/* The header as a file, and the same with the clusters that follow it. */
static void feed_qcow2(const void *data, size_t size)
{
	CLEANUP(freep) char *path = format_text("%s/fuzzed.qcow2", TEST_DIR);
	struct qcow2_header header;

	write_file("qcow2", data, size);
	for (int i = 0; i < 2; i++) {
		CLEANUP(close_fdp) int fd = open(path, O_RDWR | O_CLOEXEC);
		struct sentence error = { "" };
		int r = qcow2_read_header(fd, &header, &error);

		if (r == 0)
			check(strlen(header.backing) <= QCOW2_BACKING_MAX &&
			      (qcow2_check_scratch(&header, &header, &error) == 0 || *error.text));
		else
			check((r == -ENOEXEC || r == -EBADMSG) && *error.text);
		check(text_is_clean(error.text));
		check(ftruncate(fd, 1 << 18) == 0);
	}
}

#ifdef FUZZ_KIND
#define FEED_(kind) feed_##kind
#define FEED(kind) FEED_(kind)
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	(void)feed_config, (void)feed_domain, (void)feed_pool, (void)feed_answer, (void)feed_mountinfo, (void)feed_log;
	(void)feed_control, (void)feed_record, (void)feed_qcow2;
	FEED(FUZZ_KIND)(data, size);
	return 0;
}
#else

/* A linear congruential generator: the same changes in every run. */
static unsigned next_random(unsigned *state)
{
	*state = *state * 1103515245U + 12345U;
	return *state >> 16;
}

static void feed_changed(void (*feed)(const void *, size_t), const char *data, size_t size)
{
	unsigned state = (unsigned)size;

	for (int i = 0; i < 300 && size; i++) {
		char *changed = copy_of(data, size);

		for (unsigned n = next_random(&state) % 4 + 1; n; n--)
			changed[next_random(&state) % size] = (char)next_random(&state);
		feed(changed, size);
		free(changed);
	}
}

static void feed_file(void (*feed)(const void *, size_t), const char *path)
{
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size, step;
	char *data;

	check(fd >= 0);
	check_int(read_all(fd, 1 << 20, &data, &size), 0);
	feed(data, size);
	step = size / 300 + 1;
	for (size_t cut = 0; cut < size; cut += step)
		feed(data, cut);
	feed_changed(feed, data, size);
	free(data);
}

static void feed_directory(void (*feed)(const void *, size_t), const char *kind)
{
	char *path = format_text("%s/fuzz/%s", getenv("TESTS") ? getenv("TESTS") : "tests", kind);
	DIR *directory = opendir(path);
	struct dirent *entry;
	int count = 0;

	check(directory);
	while ((entry = readdir(directory))) {
		char *file;

		if (entry->d_name[0] == '.')
			continue;
		file = format_text("%s/%s", path, entry->d_name);
		feed_file(feed, file);
		free(file);
		count++;
	}
	check(count > 0);
	closedir(directory);
	free(path);
}

TEST(any_configuration_is_refused_or_can_be_disarmed)
{
	feed_directory(feed_config, "config");
}

TEST(any_domain_xml_is_refused_or_loses_nothing_but_its_chains)
{
	feed_directory(feed_domain, "domain");
}

TEST(any_pool_xml_gives_a_path_or_a_problem)
{
	feed_directory(feed_pool, "domain");
}

TEST(any_answer_is_refused_or_complete)
{
	feed_directory(feed_answer, "answer");
}

TEST(any_list_of_mounts_is_read)
{
	feed_directory(feed_mountinfo, "mountinfo");
}

TEST(any_log_gives_a_reason)
{
	feed_directory(feed_log, "log");
}

TEST(any_control_line_is_refused_or_written_again_the_same)
{
	feed_directory(feed_control, "control");
}

TEST(any_record_is_refused_or_saved_again_the_same)
{
	feed_directory(feed_record, "record");
}

TEST(any_qcow2_header_is_refused_or_read)
{
	feed_directory(feed_qcow2, "qcow2");
}
#endif
