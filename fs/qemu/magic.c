/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QEMU's drivers look for in bdrv_probe() (block/vmdk.c, block/vdi.c, ...), in a table; a
 * VMDK's descriptor is text. Of a fixed VHD and a DMG the mark is at the end.
 */
#include "magic.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "util.h"

#define LOOKED_AT 2048 /* as many bytes as QEMU shows its drivers (BLOCK_PROBE_BUF_SIZE is 512) */
#define TRAILER 512    /* the last sector */
#define TEXT 4096      /* as many bytes tell a text from a disk: one of these has a NUL among them */

static const struct mark {
	const char *format;
	size_t offset;
	const char *bytes;
	size_t length;
} marks[] = {
	{ "qcow", 0, "QFI\xfb\0\0\0\1", 8 },
	{ "qcow2", 0, "QFI\xfb", 4 },
	{ "QED", 0, "QED\0", 4 },
	{ "VMDK", 0, "KDMV", 4 },
	{ "VMDK", 0, "COWD", 4 },
	{ "VDI", 64, "\x7f\x10\xda\xbe", 4 },
	{ "VHD", 0, "conectix", 8 },
	{ "VHDX", 0, "vhdxfile", 8 },
	{ "LUKS", 0, "LUKS\xba\xbe", 6 },
	{ "Parallels", 0, "WithoutFreeSpace", 16 },
	{ "Parallels", 0, "WithouFreSpacExt", 16 },
	{ "Bochs", 0, "Bochs Virtual HD Image", 22 },
	{ "cloop", 0, "#!/bin/sh\n#V2.0 Format\n", 23 },
}, trailers[] = {
	{ "VHD", 0, "conectix", 8 },
	{ "DMG", 0, "koly", 4 },
};

/* Reads what there is: how much. The rest of `bytes` is zero. */
static ssize_t read_up_to(int fd, char *bytes, size_t size, off_t offset)
{
	size_t done = 0;

	memset(bytes, 0, size);
	while (done < size) {
		ssize_t n = pread(fd, bytes + done, size - done, offset + (off_t)done);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)done;
}

static const char *find_mark(const struct mark *list, size_t count, const char *bytes)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(bytes + list[i].offset, list[i].bytes, list[i].length) == 0)
			return list[i].format;
	return NULL;
}

/* Comments and empty lines, then "version=N". `text` ends with a NUL. */
static bool is_vmdk_descriptor(const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "\n");

		if (*text != '#' && strspn(text, " \t\r") < length)
			return strncmp(text, "version=", 8) == 0;
		text += length + (text[length] == '\n');
	}
	return false;
}

/* NULL where there is none. */
static int read_trailer(int fd, const char **ret_format)
{
	char bytes[TRAILER];
	struct stat stat;
	int r = fstat(fd, &stat) < 0 ? -errno : 0;

	*ret_format = NULL;
	if (r < 0 || stat.st_size < TRAILER)
		return r;
	r = (int)read_up_to(fd, bytes, sizeof(bytes), stat.st_size - TRAILER);
	if (r < 0)
		return r;
	*ret_format = find_mark(trailers, ARRAY_SIZE(trailers), bytes);
	return 0;
}

int magic_format(int fd, const char **ret_format)
{
	char bytes[LOOKED_AT + 1];
	const char *format;
	int r = (int)read_up_to(fd, bytes, LOOKED_AT, 0);

	if (r < 0)
		return r;
	r = 0;
	bytes[LOOKED_AT] = '\0';
	format = find_mark(marks, ARRAY_SIZE(marks), bytes);
	if (!format && is_vmdk_descriptor(bytes))
		format = "VMDK";
	if (!format)
		r = read_trailer(fd, &format);
	if (r == 0)
		*ret_format = format ? format : "raw";
	return r;
}

const char *magic_backing_format(int fd, const char *named)
{
	if (!*named && magic_format(fd, &named) < 0)
		named = "raw";
	return strcmp(named, "qcow2") == 0 ? "qcow2" : "raw";
}

/* Letters of all alphabets, tabs, ends of lines and pages, backspaces, escapes of terminals. */
static bool is_of_text(char byte)
{
	unsigned char c = (unsigned char)byte;

	return (c >= ' ' && c != 0x7f) || (c >= '\b' && c <= '\r') || c == '\033';
}

int magic_is_text(int fd, bool *ret_text)
{
	char bytes[TEXT];
	ssize_t length = read_up_to(fd, bytes, sizeof(bytes), 0);
	bool differ = false;

	if (length < 0)
		return (int)length;
	*ret_text = false;
	for (ssize_t i = 0; i < length; i++) {
		if (!is_of_text(bytes[i]))
			return 0;
		differ = differ || bytes[i] != bytes[0];
	}
	*ret_text = differ;
	return 0;
}
