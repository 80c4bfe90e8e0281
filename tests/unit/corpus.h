/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs read was written by others. Each file of tests/fuzz/KIND goes through the code
 * that reads that kind: as it is, cut off at every byte, and with bytes changed by a seeded
 * generator. A folder's corpus.c says what must hold for any input:
 *
 *	CORPUS(config, "config", any_configuration_is_refused_or_can_be_disarmed)
 *
 *	static void feed_config(const void *data, size_t size)
 *	{
 *		...
 *	}
 *
 * feeds the files of tests/fuzz/config, and is one promise. The inputs are not kept: data is good
 * for the call.
 *
 * With -DFUZZ_KIND=config and clang's -fsanitize=fuzzer the same file is a program of libFuzzer:
 * `make fuzz T=config`. There a check that fails is a crash.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"
#include "util.h"

/*
 * The input as a file of its own, for what reads files. A new one each time: some filesystems write
 * to the medium what replaces a file's content.
 */
__attribute__((unused)) static void write_file(const char *suffix, const void *data, size_t size)
{
	CLEANUP(freep) char *path = format_text("%s/fuzzed.%s", TEST_DIR, suffix);
	CLEANUP(close_fdp) int fd = -1;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	check(fd >= 0 && write_all(fd, data, size) == 0);
}

__attribute__((unused)) static char *copy_of(const void *data, size_t size)
{
	char *text = malloc(size + 1);

	check(text);
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#ifdef FUZZ_KIND
#define FEED_(kind) feed_##kind
#define FEED(kind) FEED_(kind)
#define CORPUS(kind, directory, promise) __attribute__((unused)) static void feed_##kind(const void *data, size_t size);

static void FEED(FUZZ_KIND)(const void *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FEED(FUZZ_KIND)(data, size);
	return 0;
}
#else
#define CORPUS(kind, directory, promise)                        \
	static void feed_##kind(const void *data, size_t size); \
	TEST(promise)                                           \
	{                                                       \
		feed_directory(feed_##kind, directory);         \
	}

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

	/* Some inputs log a screenful. What sanitizers say goes elsewhere. */
	check(directory && freopen("/dev/null", "w", stderr));
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
#endif

#endif
