/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a file begins with tells its format; who names another file is never taken for raw.
 */
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

#include "magic.h"
#include "util.h"

/* The format of a file of `size` bytes that has these at `offset`. */
static const char *format_of(const void *bytes, size_t length, off_t offset, off_t size)
{
	CLEANUP(close_fdp) int fd = open(TEST_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	const char *format = NULL;

	check(fd >= 0);
	check_int(ftruncate(fd, size), 0);
	check_int(pwrite(fd, bytes, length, offset), (int)length);
	check_int(magic_format(fd, &format), 0);
	return format;
}

static const char *format_of_text(const char *text)
{
	return format_of(text, strlen(text), 0, (off_t)strlen(text));
}

TEST(a_file_without_a_mark_is_raw)
{
	check_str(format_of("", 0, 0, 0), "raw");
	check_str(format_of("", 0, 0, 1 << 20), "raw");
	check_str(format_of("\xeb\x63\x90", 3, 0, 1 << 20), "raw");
	check_str(format_of("QFI", 3, 0, 3), "raw");
	check_str(format_of("QFI\xfb", 4, 1, 512), "raw");
	check_str(format_of_text("# a note\nwith text\n"), "raw");
}

TEST(marks_are_known)
{
	check_str(format_of("QFI\xfb\0\0\0\3", 8, 0, 4096), "qcow2");
	check_str(format_of("QFI\xfb\0\0\0\2", 8, 0, 8), "qcow2");
	check_str(format_of("QFI\xfb\0\0\0\1", 8, 0, 4096), "qcow");
	check_str(format_of("KDMV", 4, 0, 4096), "VMDK");
	check_str(format_of("\x7f\x10\xda\xbe", 4, 64, 4096), "VDI");
	check_str(format_of("vhdxfile", 8, 0, 4096), "VHDX");
	check_str(format_of("LUKS\xba\xbe\0\1", 8, 0, 4096), "LUKS");
	check_str(format_of("conectix", 8, 0, 4096), "VHD");
	check_str(format_of("conectix", 8, 4096 - 512, 4096), "VHD");
	check_str(format_of("koly", 4, 4096 - 512, 4096), "DMG");
	check_str(format_of("koly", 4, 4096 - 511, 4096), "raw");
}

TEST(the_text_of_a_VMDK_is_known_behind_comments_and_empty_lines)
{
	check_str(format_of_text("# Disk DescriptorFile\nversion=1\nCID=1\n"), "VMDK");
	check_str(format_of_text("\n \t\r\n# x\n#\nversion=3"), "VMDK");
	check_str(format_of_text("version=1\n"), "VMDK");
	check_str(format_of_text("# x\n version=1\n"), "raw");
}

static bool is_text(const void *bytes, size_t length, off_t size)
{
	CLEANUP(close_fdp) int fd = open(TEST_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	bool text = false;

	check(fd >= 0);
	check_int(ftruncate(fd, size), 0);
	check_int(pwrite(fd, bytes, length, 0), (int)length);
	check_int(magic_is_text(fd, &text), 0);
	return text;
}

TEST(a_text_is_told_from_a_disk)
{
	static char page[8192], wiped[8192];

	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = "<html>404</html>\n\xc3\xa9"[i % 19];
	memset(wiped, 'U', sizeof(wiped));
	check(is_text("<html>404</html>\n", 17, 17));
	check(is_text(page, sizeof(page), sizeof(page)));
	check(is_text(page, 4096, 1 << 20));
	check(is_text("\033[1mnot found\033[0m\t\r\n", 20, 20));
	check(!is_text(page, 4095, 1 << 20));
	check(!is_text(page, 4095, 4096));
	check(!is_text("", 0, 0));
	check(!is_text("", 0, 1 << 20));
	check(!is_text(wiped, sizeof(wiped), sizeof(wiped)));
	page[4095] = '\1';
	check(!is_text(page, sizeof(page), sizeof(page)));
	page[4095] = '\x7f';
	check(!is_text(page, sizeof(page), sizeof(page)));
	page[4095] = '\n';
	page[4096] = '\0';
	check(is_text(page, sizeof(page), sizeof(page)));
}
