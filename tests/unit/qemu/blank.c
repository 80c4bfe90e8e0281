/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Templates: a scratch is byte for byte what qemu-img would have made, and whether it was written
 * to can be seen from its file.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blank.h"

#define BACKING "/srv/vm/.revertfs/images/win10.img"

static struct sentence why;

static int directory(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open(TEST_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(fd >= 0);
	return fd;
}

static struct blank *make(const char *template_options, uint64_t size)
{
	struct options options = { .qemu_img = (char *)"qemu-img",
				   .qemu_timeout = 60,
				   .template_options = (char *)template_options };
	struct blank *blank = NULL;

	if (blank_make(&options, directory(), "t", BACKING, "raw", size, &blank, &why) != 0)
		test_fail(__FILE__, __LINE__, "%s, %llu bytes: %s", template_options, (unsigned long long)size,
			  why.text);
	return blank;
}

static int open_file(const char *name, int flags)
{
	int fd = openat(directory(), name, flags | O_CLOEXEC, 0600);

	check(fd >= 0);
	return fd;
}

static int filled(const struct blank *blank)
{
	int fd = open_file("scratch", O_RDWR | O_CREAT | O_TRUNC);

	check_int(blank_fill(blank, fd), 0);
	check_int(blank_stamp(blank, fd), 0);
	return fd;
}

static char *text_of(char c, size_t length)
{
	char *text = calloc(1, length + 1);

	check(text);
	memset(text, c, length);
	return text;
}

static struct stat stat_of(int fd)
{
	struct stat stat;

	check_int(fstat(fd, &stat), 0);
	return stat;
}

static void same_as_qemu_img(const char *options, uint64_t size)
{
	struct blank *blank = make(options, size);
	char command[20000];
	int fd = filled(blank);

	close(fd);
	snprintf(
		command, sizeof(command),
		"cd '%s' && rm -f theirs && qemu-img create -q -u -f qcow2 %s%s -b %s -F raw theirs %llu && cmp theirs scratch && cmp theirs t",
		TEST_DIR, options[0] ? "-o " : "", options, BACKING, (unsigned long long)size);
	if (system(command) != 0)
		test_fail(__FILE__, __LINE__, "with '%s' and %llu bytes it differs", options, (unsigned long long)size);
	blank_free(blank);
}

TEST(a_scratch_is_byte_for_byte_what_qemu_img_makes)
{
	static const uint64_t sizes[] = { 512, 1 << 20, (1 << 20) + 512, 4ULL << 30, 64ULL << 30, 8ULL << 40 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		same_as_qemu_img("extended_l2=on,cluster_size=128k", sizes[i]);
		same_as_qemu_img("", sizes[i]);
	}
	same_as_qemu_img("cluster_size=2M", 1ULL << 40);
	same_as_qemu_img("compat=0.10", 1 << 30);
	same_as_qemu_img("extended_l2=on,preallocation=metadata", 1 << 24);
}

TEST(a_template_loaded_again_fills_the_same)
{
	struct blank *made = make("extended_l2=on,cluster_size=128k", 64ULL << 30), *loaded = NULL;

	check_int(blank_load(directory(), "t", &loaded), 0);
	check(memcmp(blank_header(made), blank_header(loaded), sizeof(struct qcow2_header)) == 0);
	close(filled(loaded));
	check_int(system("cmp \"${WORK:-/tmp}/t\" \"${WORK:-/tmp}/scratch\""), 0);
	blank_free(made);
	blank_free(loaded);
}

TEST(the_header_of_a_template_is_known)
{
	struct blank *blank = make("extended_l2=on,cluster_size=128k", 4 << 20);

	check_str(blank_header(blank)->backing, BACKING);
	check_str(blank_header(blank)->backing_format, "raw");
	check_int(blank_header(blank)->virtual_size, 4 << 20);
	blank_free(blank);
}

TEST(a_fresh_scratch_matches_and_a_written_one_does_not)
{
	struct blank *blank = make("extended_l2=on,cluster_size=128k", 4 << 20), *loaded = NULL;
	struct stat stat;
	int fd = filled(blank);

	stat = stat_of(fd);
	check(blank_matches(blank, &stat));
	check_int(blank_load(directory(), "t", &loaded), 0);
	check(blank_matches(loaded, &stat));
	fchmod(fd, 0640);
	check_int(fchown(fd, getuid(), getgid()), 0);
	stat = stat_of(fd);
	check(blank_matches(blank, &stat));
	check_int(pwrite(fd, "x", 1, 300000), 1);
	stat = stat_of(fd);
	check(!blank_matches(blank, &stat));
	blank_free(loaded);
	blank_free(blank);
	close(fd);
}

/* What a qemu-img would have made, but that the old one is still its own. */
static void takes_name(const char *options, const char *backing)
{
	struct blank *blank = make(options, 4 << 20);
	struct qcow2_header header;
	struct stat old;
	int fd = filled(blank);
	char command[4000];

	old = stat_of(fd);
	close(fd);
	blank_set_backing(blank, backing);
	check(blank_matches(blank, &old));
	fd = filled(blank);
	check_int(qcow2_read_header(fd, &header, NULL), 0);
	check_str(header.backing, backing);
	close(fd);
	snprintf(
		command, sizeof(command),
		"cd '%s' && rm -f theirs && qemu-img create -q -u -f qcow2 %s%s -b '%s' -F raw theirs 4M && cmp theirs scratch",
		TEST_DIR, options[0] ? "-o " : "", options, backing);
	if (system(command) != 0)
		test_fail(__FILE__, __LINE__, "with '%s' it differs", options);
	blank_free(blank);
}

TEST(a_template_takes_another_name_as_if_it_had_been_made_so)
{
	char *longest = text_of('x', QCOW2_BACKING_MAX);

	for (int i = 0; i < 3; i++) {
		static const char *const options[] = { "", "extended_l2=on,cluster_size=128k", "compat=0.10" };

		takes_name(options[i], "/srv/vm/.revertfs/layers/0123456789abcdef.backing_file.img");
		takes_name(options[i], "/short");
		takes_name(options[i], longest);
	}
	free(longest);
}

TEST(a_name_that_has_no_room_is_not_taken)
{
	struct blank *blank = make("cluster_size=512", 4 << 20);
	char *longest = text_of('x', QCOW2_BACKING_MAX);

	blank_set_backing(blank, longest);
	check_str(blank_header(blank)->backing, BACKING);
	close(filled(blank));
	check_int(system("cmp \"${WORK:-/tmp}/t\" \"${WORK:-/tmp}/scratch\""), 0);
	free(longest);
	blank_free(blank);
}

TEST(a_write_of_what_was_there_already_is_a_write)
{
	struct blank *blank = make("extended_l2=on,cluster_size=128k", 4 << 20);
	int fd = filled(blank);
	struct stat stat;
	char byte;

	check_int(pread_all(fd, &byte, 1, 0), 0);
	check_int(pwrite_all(fd, &byte, 1, 0), 0);
	stat = stat_of(fd);
	check(!blank_matches(blank, &stat));
	blank_free(blank);
	close(fd);
}

TEST(a_scratch_of_another_length_does_not_match)
{
	struct blank *blank = make("extended_l2=on,cluster_size=128k", 4 << 20);
	int fd = filled(blank);
	struct stat stat = stat_of(fd);

	check_int(ftruncate(fd, stat.st_size + 1), 0);
	check_int(blank_stamp(blank, fd), 0);
	stat = stat_of(fd);
	check(!blank_matches(blank, &stat));
	blank_free(blank);
	close(fd);
}

TEST(a_template_is_made_anew_over_an_old_one)
{
	struct blank *blank = make("", 1 << 20);

	blank_free(blank);
	blank = make("", 2 << 20);
	check_int(blank_header(blank)->virtual_size, 2 << 20);
	blank_free(blank);
	check_int(blank_load(directory(), "t", &blank), 0);
	check_int(blank_header(blank)->virtual_size, 2 << 20);
	blank_free(blank);
}

TEST(what_is_no_template_is_refused)
{
	struct blank *blank = NULL;
	int fd;

	check_errno(blank_load(directory(), "none", &blank), ENOENT);
	fd = open_file("bad", O_RDWR | O_CREAT | O_TRUNC);
	check_errno(blank_load(directory(), "bad", &blank), EBADMSG);
	check_int(pwrite_all(fd, "not a qcow2", 11, 4096), 0);
	check_errno(blank_load(directory(), "bad", &blank), EBADMSG);
	check_int(ftruncate(fd, (65 << 20)), 0);
	check_errno(blank_load(directory(), "bad", &blank), EBADMSG);
	close(fd);
	check_int(mkdirat(directory(), "dir", 0700), 0);
	check_errno(blank_load(directory(), "dir", &blank), EBADMSG);
	check_int(symlinkat("t", directory(), "link"), 0);
	check(blank_load(directory(), "link", &blank) < 0);
	check(!blank);
	unlinkat(directory(), "dir", AT_REMOVEDIR);
	unlinkat(directory(), "link", 0);
}

TEST(a_template_cut_off_anywhere_is_refused_or_whole)
{
	struct blank *blank = make("extended_l2=on,cluster_size=128k", 4 << 20), *loaded = NULL;
	int fd = open_file("t", O_RDWR);
	struct stat stat = stat_of(fd);

	for (off_t length = stat.st_size - 1; length >= 0; length = length > 2048 ? length - 4099 : length - 1) {
		int r;

		if (length < 0)
			break;
		check_int(ftruncate(fd, length), 0);
		r = blank_load(directory(), "t", &loaded);
		check(r == 0 || r == -EBADMSG);
		if (r == 0) {
			stat = stat_of(fd);
			check(blank_matches(loaded, &stat));
			blank_free(loaded);
		}
	}
	close(fd);
	blank_free(blank);
}

static void fails(const char *qemu_img, int error, const char *words)
{
	struct options options = { .qemu_img = (char *)qemu_img, .qemu_timeout = 1, .template_options = (char *)"" };
	struct blank *blank = NULL;
	struct stat stat;

	unlinkat(directory(), "t", 0);
	check_errno(blank_make(&options, directory(), "t", BACKING, "raw", 1 << 20, &blank, &why), error);
	check(!blank);
	check_contains(why.text, words);
	check_int(fstatat(directory(), "t", &stat, 0), -1);
	check_int(fstatat(directory(), "t.new", &stat, 0), -1);
}

static const char *script(const char *text)
{
	static char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/qemu-img", TEST_DIR);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	check(fd >= 0);
	check_int(write_all(fd, text, strlen(text)), 0);
	close(fd);
	return path;
}

TEST(a_qemu_img_that_is_missing_fails_lies_or_hangs_leaves_nothing_behind)
{
	fails("no-such-program", ENOENT, "'no-such-program' is not there; install qemu-utils");
	fails(script("#!/bin/sh\necho 'No space left on device' >&2; exit 1\n"), ENOSPC, "No space left");
	fails(script("#!/bin/sh\nexit 3\n"), EIO, "qemu-img create");
	fails(script("#!/bin/sh\nexit 0\n"), EBADMSG, "");
	fails(script("#!/bin/sh\nexec qemu-img create -q -u -f qcow2 -b /etc/shadow -F raw /proc/self/fd/3 1M\n"),
	      EBADMSG, "another backing file");
	fails(script("#!/bin/sh\nexec sleep 100\n"), ETIMEDOUT, "no progress");
}
