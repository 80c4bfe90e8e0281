/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the look at a header and the run the file's owner may change it; then it is the box that
 * keeps qemu-img from what the new header names. Where there is no Landlock nothing would, so what
 * others may write is refused there.
 */
#include "qemu_run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"
#include "log.h"
#include "qcow2.h"

#define MEMORY (1024ULL << 20)
#define MEMORY_PER_FILE (96ULL << 20)

bool qemu_is_boxed(const struct options *options)
{
	return !options->unboxed && box_landlock() > 0;
}

void qemu_log_box(const struct options *options)
{
	int version = box_landlock();

	if (options->unboxed)
		log_warning("unboxed=yes: qemu-img runs with all of root's rights, on files that others have written");
	else if (version < 0)
		log_error(
			"qemu-img cannot run: a filter of system calls around this daemon forbids Landlock; have it allow landlock_create_ruleset, landlock_add_rule and landlock_restrict_self (SystemCallFilter= of a unit)");
	else if (version == 0)
		log_warning(
			"this kernel has no Landlock: qcow2 images that others than root may write are not folded or exported, unless unboxed=yes");
}

/* The directory of a path, in place; "/" last, then false. */
static bool go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || !slash[1])
		return false;
	slash[slash == path] = '\0';
	return true;
}

/* A directory that root alone may search hides all that lies in it. */
static bool is_hidden(int fd)
{
	char link[64], path[PATH_MAX];
	struct stat stat;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	while (go_up(path))
		if (lstat(path, &stat) == 0 && S_ISDIR(stat.st_mode) && stat.st_uid == 0 &&
		    !(stat.st_mode & (S_IXGRP | S_IXOTH)))
			return true;
	return false;
}

/* A file's ACL gives nobody more than the group bits show. */
static int check_owner(const struct qemu_node *node, struct sentence *error)
{
	struct stat stat;

	if (strcmp(node->format, "raw") == 0)
		return 0;
	if (fstat(node->fd, &stat) < 0)
		return report(error, -errno, "a file cannot be looked at: %s", error_text(-errno));
	if ((stat.st_uid == 0 && !(stat.st_mode & (S_IWGRP | S_IWOTH))) || is_hidden(node->fd))
		return 0;
	return report(
		error, -EACCES,
		"this kernel has no Landlock, so a qcow2 file that others than root may write is not given to qemu-img: make it root's (chown root, chmod go-w), or set unboxed=yes");
}

static int check_header(const struct qemu_node *node, struct sentence *error)
{
	struct qcow2_header header;
	int r;

	if (strcmp(node->format, "raw") == 0)
		return 0;
	r = qcow2_read_header(node->fd, &header, error);
	if (r == 0)
		r = qcow2_check_alone(&header, error);
	return r == -ENOEXEC ? -EBADMSG : r;
}

/*
 * Of a commit over 64 layers of 2 TiB qemu-img 7.2 took 67 MiB for each, 32 of them the largest
 * cache of L2 tables. What `check` counts comes on top: 16 bits for each cluster of the file.
 */
static struct box_limits limits_for(size_t length, unsigned cpu_s)
{
	return (struct box_limits){ .memory = MEMORY + length * MEMORY_PER_FILE, .cpu_s = cpu_s };
}

int qemu_run(const struct options *options, struct program *run, const struct qemu_node *chain, size_t length,
	     const struct qemu_node *made, unsigned cpu_s, struct sentence *error)
{
	const struct box_limits limits = limits_for(length, cpu_s);
	bool must_be_roots = !options->unboxed && box_landlock() == 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < length; i++) {
		r = must_be_roots ? check_owner(&chain[i], error) : 0;
		if (r == 0)
			r = check_header(&chain[i], error);
	}
	if (r == 0 && made && must_be_roots)
		r = check_owner(made, error);
	if (r < 0)
		return r;
	run->box = options->unboxed ? NULL : &limits;
	r = program_run(run, error);
	run->box = NULL;
	/* QEMU's own words for it; they name the file, and so are in the log alone. */
	if (r == -EIO && strstr(run->complaint, "\" lock"))
		report(error, r, "%s failed: another process has one of its files open, and QEMU's lock on it",
		       run->title);
	return r;
}
