/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SHA-256 of a file, by coreutils' sha256sum.
 */
#ifndef REVERTFS_QEMU_DIGEST_H
#define REVERTFS_QEMU_DIGEST_H

#include "options.h"
#include "program.h"

#define DIGEST_SIZE 65 /* 64 hexadecimal digits */

/*
 * Blocks for as long as reading the file takes, and moves the descriptor's offset. Holes take as
 * long as data, since each zero counts; watch->progress is told how far it is. -ECANCELED when
 * watch->stop_fd asked it to stop. A negative errno with a sentence. For background threads.
 */
int digest_file(const struct options *options, int fd, const struct program_watch *watch, char digest[DIGEST_SIZE],
		struct sentence *error);

#endif
