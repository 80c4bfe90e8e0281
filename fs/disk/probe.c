/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format is found once, when the image is protected, and recorded: a guest can write a qcow2
 * header into a raw disk, so a later probe would be the guest's choice.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "beneath.h"
#include "command.h"
#include "image_stamp.h"
#include "magic.h"
#include "qcow2_writable.h"
#include "renamed_image.h"

#define SECTOR 512

static int check_file(int fd, const char *name, struct sentence *error)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return report(error, -errno, "image '%s' cannot be looked at: %s", name, error_text(-errno));
	if (!S_ISREG(stat.st_mode))
		return report(error, -EINVAL, "'%s' is not a regular file", name);
	if (stat.st_nlink != 1)
		return report(error, -EINVAL,
			      "image '%s' has %lu links; protection is of the file, so remove the other names first",
			      name, (unsigned long)stat.st_nlink);
	return 0;
}

int probe_look(int fd, struct probe_look *ret_look)
{
	struct probe_look look = { .is_disk = true };
	struct stat stat;
	bool text = false;
	int r = magic_format(fd, &look.like);

	if (r == 0 && fstat(fd, &stat) < 0)
		r = -errno;
	if (r == 0 && strcmp(look.like, "raw") == 0) {
		r = magic_is_text(fd, &text);
		if (text || stat.st_size < SECTOR)
			look = (struct probe_look){ .like = text ? "a text" : "an empty file or the rest of one" };
	}
	if (r == 0)
		*ret_look = look;
	return r;
}

/* What the file begins with, unless the format is given. */
static int find_format(int fd, const char *name, const char *given, enum image_format *ret_format,
		       struct sentence *error)
{
	struct probe_look look = { .like = given, .is_disk = true };
	struct sentence quoted;
	int r;

	if (given && format_parse(given, ret_format) < 0)
		return report(error, -EINVAL, "format must be raw or qcow2, not '%s'", given);
	r = given ? 0 : probe_look(fd, &look);
	if (r < 0)
		return report(error, r, "image '%s' cannot be read: %s", name, error_text(r));
	if (!look.is_disk)
		return report(
			error, -EINVAL,
			"image '%s' looks like %s (was its download cut off?); put the right file in its place, or 'protect %s format=raw' if it is a disk",
			name, look.like, quote_name(name, &quoted));
	if (format_parse(look.like, ret_format) < 0)
		return report(
			error, -EINVAL,
			"image '%s' looks like %s, not raw or qcow2; convert it with qemu-img convert, or say format=raw if what it looks like is a guest's data",
			name, look.like);
	return 0;
}

static int check_header(const char *name, const struct qcow2_header *header, struct sentence *error)
{
	struct sentence why;

	if (header->data_file)
		return report(error, -EINVAL,
			      "image '%s' has an external data file; make a plain copy with qemu-img convert", name);
	if (header->encryption)
		return report(error, -EINVAL, "image '%s' is encrypted; only plain images can be protected", name);
	if (qcow2_check_alone(header, &why) < 0)
		return report(error, -EINVAL, "image '%s' cannot be protected as qcow2: %s", name, why.text);
	return 0;
}

static int refuse_backing(const struct disks *disks, int fd, const char *name, const struct qcow2_header *header,
			  struct sentence *error)
{
	int r = renamed_image_refuse(disks, fd, name, header, error);

	return r < 0 ? r
		     : report(error, -EINVAL, "image '%s' has a backing file; make a plain copy with qemu-img convert",
			      name);
}

int probe_trouble(int fd, const struct qcow2_header *header, enum image_trouble *ret_trouble, struct sentence *error)
{
	bool in_use = false;
	int r = qcow2_find_bitmap_in_use(fd, header, &in_use, error);

	if (r == 0)
		*ret_trouble = qcow2_is_corrupt(header) ? TROUBLE_CORRUPT : in_use ? TROUBLE_BITMAP : TROUBLE_NONE;
	return r;
}

static int read_qcow2(const struct disks *disks, int fd, const char *name, struct layer_record *record,
		      struct sentence *error)
{
	struct qcow2_header header;
	struct sentence why;
	int r = qcow2_read_header(fd, &header, &why);

	if (r == -ENOEXEC)
		return report(error, -EINVAL, "image '%s' is no qcow2", name);
	if (r < 0)
		return report(error, -EINVAL, "image '%s' cannot be protected as qcow2: %s", name, why.text);
	r = check_header(name, &header, error);
	if (r == 0 && header.backing[0])
		r = refuse_backing(disks, fd, name, &header, error);
	if (r < 0)
		return r;
	record->virtual_size = header.virtual_size / SECTOR * SECTOR;
	r = probe_trouble(fd, &header, &record->trouble, &why);
	return r < 0 ? report(error, r, "image '%s' cannot be protected as qcow2: %s", name, why.text) : 0;
}

/* QEMU counts a raw file's last sector whole. */
static int read_raw_size(int fd, const char *name, uint64_t *ret_size, struct sentence *error)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return report(error, -errno, "image '%s' cannot be looked at: %s", name, error_text(-errno));
	*ret_size = ((uint64_t)stat.st_size + SECTOR - 1) / SECTOR * SECTOR;
	return 0;
}

static int probe_file(const struct disks *disks, int fd, const char *name, const char *format,
		      struct layer_record *record, struct sentence *error)
{
	int r = find_format(fd, name, format, &record->format, error);

	if (r < 0)
		return r;
	return record->format == FORMAT_QCOW2 ? read_qcow2(disks, fd, name, record, error)
					      : read_raw_size(fd, name, &record->virtual_size, error);
}

int probe_image(struct disks *disks, const char *name, const char *format, struct layer_record *ret_record,
		struct sentence *error)
{
	CLEANUP(close_fdp) int fd = io_open_beneath(disks->images_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	struct layer_record record = *ret_record;
	int r;

	if (fd == -ELOOP || fd == -EXDEV)
		return report(error, -EINVAL, "'%s' is or lies behind a symlink; name the image itself", name);
	if (fd == -ENOENT && (r = renamed_image_refuse_missing(disks, name, error)) < 0)
		return r;
	if (fd < 0)
		return report(error, fd, "image '%s' cannot be opened: %s", name, error_text(fd));
	r = check_file(fd, name, error);
	if (r == 0)
		r = probe_file(disks, fd, name, format, &record, error);
	if (r == 0 && image_stamp_file(fd, &record.stamp) < 0)
		r = report(error, -EIO, "image '%s' cannot be looked at", name);
	if (r == 0)
		*ret_record = record;
	return r;
}
