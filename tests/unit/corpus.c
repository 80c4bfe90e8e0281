/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hook reads was written by others. Each file of tests/fuzz/KIND goes through the code that reads that kind, as it is, cut
 * off at every byte, and with bytes changed by a seeded generator; what must hold for any input is checked.
 *
 * With clang: `-fsanitize=fuzzer,address -DFUZZ_KIND=config`, and the same directory as the corpus.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer.h"
#include "config.h"
#include "domain.h"
#include "event.h"
#include "mounts.h"
#include "naming.h"
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

#ifdef FUZZ_KIND
#define FEED_(kind) feed_##kind
#define FEED(kind) FEED_(kind)
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	(void)feed_config, (void)feed_domain, (void)feed_pool, (void)feed_answer, (void)feed_mountinfo, (void)feed_log;
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
#endif
