/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sha256sum is on every system, and is one library less than a crypto library for one function.
 */
#include "digest.h"

#include <errno.h>
#include <string.h>

int digest_file(const struct options *options, int fd, const struct program_watch *watch, char digest[DIGEST_SIZE],
		struct sentence *error)
{
	static const struct box_limits limits = { .memory = 64 << 20 };
	CLEANUP(program_clear)
	struct program run = {
		.name = "sha256sum",
		.title = "sha256sum",
		.hint = "install coreutils",
		.timeout_s = options->qemu_timeout,
		.background = true,
		.watch = watch,
		.box = options->unboxed ? NULL : &limits,
	};
	int r;

	program_add(&run, "sha256sum");
	program_add(&run, "/proc/self/fd/3");
	program_hand_over(&run, fd);
	r = program_run(&run, error);
	if (r < 0)
		return r;
	if (run.output_length < DIGEST_SIZE || strspn(run.output, "0123456789abcdef") != DIGEST_SIZE - 1)
		return report(error, -EBADMSG, "sha256sum gave no checksum");
	memcpy(digest, run.output, DIGEST_SIZE - 1);
	digest[DIGEST_SIZE - 1] = '\0';
	return 0;
}
