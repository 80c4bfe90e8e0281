/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names, sizes, texts and whole files: what is accepted at the edge, and what is not.
 */
#include "test.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "util.h"

static uint64_t size_of(const char *text)
{
	uint64_t size = 77;

	check_int(parse_size(text, &size), 0);
	return size;
}

TEST(a_size_is_a_number_or_one_with_K_M_G_or_T)
{
	check(size_of("0") == 0);
	check(size_of("007") == 7);
	check(size_of("10K") == 10240);
	check(size_of("3M") == 3 << 20);
	check(size_of("1G") == 1 << 30);
	check(size_of("2T") == 2ULL << 40);
	check(size_of("18446744073709551615") == UINT64_MAX);
	check(size_of("16777215T") == 16777215ULL << 40);
}

TEST(a_size_for_people_has_at_most_four_characters)
{
	char text[SIZE_TEXT_SIZE];

	size_text(0, text);
	check_str(text, "0B");
	size_text(999, text);
	check_str(text, "999B");
	size_text(1024, text);
	check_str(text, "1.0K");
	size_text(1024 * 1024 * 13 / 10, text);
	check_str(text, "1.3M");
	size_text(10484 * (uint64_t)1024, text);
	check_str(text, "10M");
	size_text((uint64_t)20 << 30, text);
	check_str(text, "20G");
}

TEST(anything_else_is_no_size)
{
	static const char *const bad[] = { "",          " 1",
					   "1 ",        "-1",
					   "+1",        "0x10",
					   "1.5",       "K",
					   "1k",        "1KB",
					   "1KK",       "1E",
					   "1e3",       "18446744073709551616",
					   "16777216T", "99999999999999999999G",
					   "1\n" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t size = 77;

		if (parse_size(bad[i], &size) != -EINVAL || size != 77)
			test_fail(__FILE__, __LINE__, "'%s' was taken as a size", bad[i]);
	}
}

TEST(clean_text_is_valid_UTF8_without_control_characters)
{
	check(text_is_clean(""));
	check(text_is_clean("a b\xc2\xa0\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
	check(!text_is_clean("a\tb"));
	check(!text_is_clean("a\nb"));
	check(!text_is_clean("\x7f"));
	check(!text_is_clean("\xc1\xbf")); /* overlong */
	check(!text_is_clean("\xe0\x9f\xbf"));
	check(!text_is_clean("\xf0\x8f\xbf\xbf"));
	check(!text_is_clean("\xed\xa0\x80")); /* a surrogate */
	check(!text_is_clean("\xf4\x90\x80\x80"));
	check(!text_is_clean("\xe2\x82")); /* cut off */
	check(!text_is_clean("\xbf"));
}

/*
 * Every sequence of up to four bytes is judged as iconv would; here against a second, table-free
 * definition.
 */
static bool valid_utf8(const unsigned char *p)
{
	while (*p) {
		uint32_t code = *p;
		int more = 0;

		if (*p >= 0x80) {
			more = (*p & 0xe0) == 0xc0 ? 1 : (*p & 0xf0) == 0xe0 ? 2 : (*p & 0xf8) == 0xf0 ? 3 : -1;
			if (more < 0)
				return false;
			code = *p & (0x3fU >> more);
			for (int i = 1; i <= more; i++) {
				if ((p[i] & 0xc0) != 0x80)
					return false;
				code = code << 6 | (p[i] & 0x3fU);
			}
			if (code < (more == 1   ? 0x80U
				    : more == 2 ? 0x800U
						: 0x10000U) ||
			    code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
				return false;
		} else if (*p < 0x20 || *p == 0x7f) {
			return false;
		}
		p += more + 1;
	}
	return true;
}

TEST(every_short_sequence_of_bytes_is_judged_rightly)
{
	for (unsigned i = 0; i < 1U << 24; i += 1 + (i & 0xff) / 0x90 * 7) {
		unsigned char text[5] = { (unsigned char)(i >> 16), (unsigned char)(i >> 8), (unsigned char)i, 0x80,
					  0 };

		if (text_is_clean((char *)text) != valid_utf8(text))
			test_fail(__FILE__, __LINE__, "%02x %02x %02x 80 was misjudged", text[0], text[1], text[2]);
	}
}

/* The vectors of FNV's authors: the kernel may hold positions made of an older daemon's hash. */
TEST(the_hash_of_a_text_is_FNV_1a_for_ever)
{
	check(text_hash("") == 0xcbf29ce484222325ULL);
	check(text_hash("a") == 0xaf63dc4c8601ec8cULL);
	check(text_hash("foobar") == 0x85944171f73967e8ULL);
	check(text_hash("\xff") == (0xcbf29ce4842223daULL * 0x100000001b3ULL));
}

TEST(a_name_stays_beneath_its_directory)
{
	static const char *const good[] = { "a", "a/b", "a b", ".a", "..a", "a..", "...", "a/.b/c..d", "\xc3\xa4" };
	static const char *const bad[] = { "",    "/",     "/a",   "a/",   "a//b",   ".",    "..",    "./a",
					   "a/.", "a/./b", "a/..", "../a", "a/../b", "a\nb", "a\x7f", "\xff" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (check_relative_name(good[i]) != 0)
			test_fail(__FILE__, __LINE__, "'%s' was refused", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (check_relative_name(bad[i]) != -EINVAL)
			test_fail(__FILE__, __LINE__, "'%s' was taken", bad[i]);
}

TEST(a_name_is_as_long_as_the_system_allows)
{
	char name[PATH_MAX + 2];

	memset(name, 'x', sizeof(name));
	name[NAME_MAX] = '\0';
	check_int(check_relative_name(name), 0);
	name[NAME_MAX] = 'x';
	name[NAME_MAX + 1] = '\0';
	check_errno(check_relative_name(name), ENAMETOOLONG);
	memset(name, 'x', sizeof(name));
	for (size_t i = 99; i < sizeof(name); i += 100)
		name[i] = '/';
	name[PATH_MAX - 1] = '\0';
	name[PATH_MAX - 2] = 'x';
	check_int(check_relative_name(name), 0);
	name[PATH_MAX - 1] = 'x';
	name[PATH_MAX] = '\0';
	check_errno(check_relative_name(name), ENAMETOOLONG);
}

TEST(paths_are_compared_component_by_component)
{
	check(path_is_beneath("/a/b", "/a"));
	check(path_is_beneath("/a", "/a"));
	check(path_is_beneath("/a/b", "/a/"));
	check(path_is_beneath("/a", "/"));
	check(path_is_beneath("a/b", "a"));
	check(!path_is_beneath("/ab", "/a"));
	check(!path_is_beneath("/a", "/a/b"));
	check(!path_is_beneath("ab/c", "a"));
}

TEST(a_report_is_one_sentence_with_its_context_in_front)
{
	struct sentence sentence = { "old" };

	check_errno(report(&sentence, -EIO, "no %s", "way"), EIO);
	check_str(sentence.text, "no way");
	check_errno(report_context(&sentence, -EBUSY, "disk '%s': ", "x"), EBUSY);
	check_str(sentence.text, "disk 'x': no way");
	check_errno(report(NULL, -EIO, "%s", "nobody asked"), EIO);
	check_errno(report_context(NULL, -EIO, "%s", "nobody asked"), EIO);
}

/*
 * The answer to a command is JSON, and JSON is UTF-8: what is cut off must not be half a character.
 */
TEST(a_sentence_that_is_too_long_is_still_valid_UTF8)
{
	struct sentence sentence;
	char name[3000];

	for (size_t shift = 0; shift < 4; shift++) {
		memset(name, 'x', shift);
		for (size_t i = shift; i + 4 < sizeof(name); i += 4)
			memcpy(name + i, "\xf0\x9f\x98\x80", 5);
		report(&sentence, -EIO, "image '%s' is gone", name);
		check(strlen(sentence.text) > sizeof(sentence.text) - 8);
		check(text_is_clean(sentence.text));
		report_context(&sentence, -EIO, "disk %s: ", "\xc3\xa4");
		check(text_is_clean(sentence.text));
		report_context(&sentence, -EIO, "disk %s: ", name);
		check(text_is_clean(sentence.text));
	}
}

/* The name of a backing file in a hostile header, for one. */
TEST(whatever_is_quoted_a_sentence_is_one_clean_line)
{
	struct sentence sentence;

	report(&sentence, -EIO, "names '%s'", "a\n\x1b[2J\xff\xc3\xa4\xc3");
	check_str(sentence.text, "names 'a??[2J?\xc3\xa4?'");
	strcpy(sentence.text, "\x7f");
	report_context(&sentence, -EIO, "%s: ", "\t");
	check_str(sentence.text, "?: ?");
}

TEST(times_are_written_as_RFC_3339_in_UTC)
{
	char text[TIME_TEXT_SIZE];

	time_text(0, text);
	check_str(text, "1970-01-01T00:00:00Z");
	time_text(1795197469, text);
	check_str(text, "2026-11-20T17:57:49Z");
	time_text((time_t)INT64_MAX, text);
	check_str(text, "1970-01-01T00:00:00Z");
}

static int open_file(const char *name, int flags)
{
	char *path = format_text("%s/%s", TEST_DIR, name);
	int fd = open(path, flags | O_CLOEXEC, 0600);

	free(path);
	check(fd >= 0);
	return fd;
}

TEST(a_file_is_read_whole_or_not_at_all)
{
	int fd = open_file("whole", O_RDWR | O_CREAT | O_TRUNC);
	char *text = NULL;
	size_t length;

	for (int i = 0; i < 3000; i++)
		check_int(write_all(fd, "0123456789", 10), 0);
	lseek(fd, 0, SEEK_SET);
	check_int(read_all(fd, 30000, &text, &length), 0);
	check_int(length, 30000);
	check_int(text[30000], 0);
	free(text);
	text = NULL;
	lseek(fd, 0, SEEK_SET);
	check_errno(read_all(fd, 29999, &text, &length), EFBIG);
	check(!text);
	close(fd);
}

TEST(reading_at_a_place_gives_all_of_it_or_fails)
{
	int fd = open_file("place", O_RDWR | O_CREAT | O_TRUNC);
	char buffer[8];

	check_int(pwrite_all(fd, "abcdef", 6, 10), 0);
	check_int(pread_all(fd, buffer, 6, 10), 0);
	check(memcmp(buffer, "abcdef", 6) == 0);
	check_errno(pread_all(fd, buffer, 7, 10), EIO);
	close(fd);
	fd = open_file("place", O_RDONLY);
	check_errno(pwrite_all(fd, "x", 1, 0), EBADF);
	close(fd);
}

TEST(what_is_stolen_is_not_cleaned_up)
{
	char *taken;
	int number;

	{
		CLEANUP(freep) char *text = strdup("kept");
		CLEANUP(close_fdp) int fd = open("/dev/null", O_RDONLY);

		taken = steal_pointer(&text);
		number = steal_fd(&fd);
		check(!text && fd == -1);
	}
	check_str(taken, "kept");
	check(fcntl(number, F_GETFD) >= 0);
	free(taken);
	errno = 5;
	close_fdp(&number);
	check_int(errno, 5);
}
