/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header is QEMU's, and so may be a guest's: the name in it is compared, and never opened.
 * Whether NAME.backing_file is there is looked up beneath the images directory.
 */
#include "renamed_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "command.h"
#include "io.h"
#include "magic.h"
#include "model.h"
#include "renamed.h"

/* The regular file NAME with this suffix, to read; -1: there is none. */
static int open_beside(const struct disks *disks, const char *name, const char *suffix)
{
	CLEANUP(freep) char *path = format_text("%s%s", name, suffix);
	int fd = path ? io_open_beneath(disks->images_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) : -1;
	struct stat stat;

	if (fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool is_beside(const struct disks *disks, const char *name, const char *suffix)
{
	CLEANUP(close_fdp) int fd = open_beside(disks, name, suffix);

	return fd >= 0;
}

/* NAME with this suffix, as a word of a shell. */
static const char *shell_path(const struct disks *disks, const char *name, const char *suffix, struct sentence *buffer)
{
	CLEANUP(freep) char *path = format_text("%s/%s%s", disks->options->images, name, suffix);

	return quote_shell(path ? path : "", buffer);
}

/* Whether qemu-img, without being told more, finds NAME.backing_file by this header alone. */
static bool leads_beside(const struct disks *disks, const char *name, const struct qcow2_header *header)
{
	CLEANUP(freep) char *path = format_text("%s/%s%s", disks->options->images, name, RENAMED_IMAGE);

	return header->backing_format[0] &&
	       (!strchr(header->backing, '/') || (path && strcmp(path, header->backing) == 0));
}

/* What has to come before `qemu-img commit`, where the header does not lead it to the image. */
static void say_rebase(const char *format, const char *image, const char *overlay, struct sentence *ret_words)
{
	report(ret_words, 0, "qemu-img rebase -u -f qcow2 -F %s -b %s %s && ", format, image, overlay);
}

/* Of a sentence; a command that is cut off must not be typed. */
#define ROOM_FOR_COMMANDS 340
#define ROOM_FOR_A_COMMAND 480

static int say_both_ways(const struct disks *disks, const char *name, int image, const struct qcow2_header *header,
			 struct sentence *error)
{
	struct sentence quoted_image, quoted_overlay, rebase = { "" };
	const char *aside = shell_path(disks, name, RENAMED_IMAGE, &quoted_image);
	const char *overlay = shell_path(disks, name, "", &quoted_overlay);

	if (!leads_beside(disks, name, header))
		say_rebase(magic_backing_format(image, header->backing_format), aside, overlay, &rebase);
	if (!*aside || !*overlay ||
	    2 * strlen(name) + 2 * strlen(aside) + 3 * strlen(overlay) + strlen(rebase.text) > ROOM_FOR_COMMANDS)
		return report(
			error, -EINVAL,
			"'%.150s' is an overlay of a hook that renames images: remove that hook if it is still there ('revertctl doctor'), then 'revertctl adopt' its domain with --from-renaming-hook, or with --from-renaming-hook=keep where what the overlay has is to stay",
			name);
	return report(
		error, -EINVAL,
		"'%s' is an overlay of a hook that renames images, and the image is '%s%s': remove that hook if it is still there ('revertctl doctor'), then 'mv %s %s' throws away what the overlay has, '%sqemu-img commit -f qcow2 %s && mv %s %s' keeps it",
		name, name, RENAMED_IMAGE, aside, overlay, rebase.text, overlay, aside, overlay);
}

int renamed_image_refuse(const struct disks *disks, int fd, const char *name, const struct qcow2_header *header,
			 struct sentence *error)
{
	CLEANUP(close_fdp) int image = -1;

	if (renamed_is_overlay(name, header->backing))
		image = open_beside(disks, name, RENAMED_IMAGE);
	if (image < 0)
		return 0;
	if (io_check_no_writer(fd) == -EBUSY)
		return report(
			error, -EBUSY,
			"'%s' is an overlay of a hook that renames images, and is open for writing: shut the domain down that runs on it, and leave that hook where it is until then",
			name);
	return say_both_ways(disks, name, image, header, error);
}

int renamed_image_refuse_missing(const struct disks *disks, const char *name, struct sentence *error)
{
	struct sentence quoted_image, quoted_name;
	const char *aside = shell_path(disks, name, RENAMED_IMAGE, &quoted_image);
	const char *path = shell_path(disks, name, "", &quoted_name);

	if (!is_beside(disks, name, RENAMED_IMAGE))
		return 0;
	if (is_beside(disks, name, RENAMED_KEPT))
		return report(
			error, -ENOENT,
			"image '%s' is not there, but '%s%s', which was being committed into '%s%s': 'revertctl adopt' its domain with --from-renaming-hook=keep, which goes on with that",
			name, name, RENAMED_KEPT, name, RENAMED_IMAGE);
	if (!*aside || !*path || 2 * strlen(name) + strlen(aside) + strlen(path) > ROOM_FOR_A_COMMAND)
		return report(
			error, -ENOENT,
			"image '%.150s' is not there, as a hook that renames images leaves it: 'revertctl adopt' its domain with --from-renaming-hook has it back",
			name);
	return report(
		error, -ENOENT,
		"image '%s' is not there, but '%s%s', as a hook that renames images leaves it: 'mv %s %s' has it back",
		name, name, RENAMED_IMAGE, aside, path);
}
