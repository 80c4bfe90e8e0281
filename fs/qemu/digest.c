/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sha256sum is on every system, and is one library less than a crypto library for one function.
 *
 * The file is its stdin, so both have one offset, which says how far it has read.
 */
#include "digest.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct reading {
	int fd;
	off_t size;
	const struct program_watch *watch;
};

static int note_progress(void *context)
{
	const struct reading *reading = context;
	off_t offset = lseek(reading->fd, 0, SEEK_CUR);

	if (offset >= 0 && offset <= reading->size && reading->size)
		reading->watch->progress(reading->watch->context, 100.0 * (double)offset / (double)reading->size);
	return 0;
}

static int take_digest(const struct program *run, char digest[DIGEST_SIZE], struct sentence *error)
{
	if (run->output_length < DIGEST_SIZE || strspn(run->output, "0123456789abcdef") != DIGEST_SIZE - 1)
		return report(error, -EBADMSG, "sha256sum gave no checksum");
	memcpy(digest, run->output, DIGEST_SIZE - 1);
	digest[DIGEST_SIZE - 1] = '\0';
	return 0;
}

int digest_file(const struct options *options, int fd, const struct program_watch *watch, char digest[DIGEST_SIZE],
		struct sentence *error)
{
	static const struct box_limits limits = { .memory = 64 << 20 };
	struct reading reading = { .fd = fd, .watch = watch };
	const struct program_watch own = { .stop_fd = watch->stop_fd, .check = note_progress, .context = &reading };
	CLEANUP(program_clear)
	struct program run = {
		.name = "sha256sum",
		.title = "sha256sum",
		.hint = "install coreutils",
		.timeout_s = options->qemu_timeout,
		.background = true,
		.watch = &own,
		.box = options->unboxed ? NULL : &limits,
		.input_fd = fd,
	};
	struct stat stat;
	int r;

	if (fstat(fd, &stat) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return report(error, -errno, "the file cannot be read: %s", error_text(-errno));
	reading.size = stat.st_size;
	program_add(&run, "sha256sum");
	r = program_run(&run, error);
	return r < 0 ? r : take_digest(&run, digest, error);
}
