/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Headers that a guest's QEMU may have rewritten.
 */
#include "corpus.h"

#include "qcow2.h"

CORPUS(qcow2, "qcow2", any_qcow2_header_is_refused_or_read)

/* The header as a file, and the same with the clusters that follow it. */
static void feed_qcow2(const void *data, size_t size)
{
	CLEANUP(freep) char *path = format_text("%s/fuzzed.qcow2", TEST_DIR);
	struct qcow2_header header;

	write_file("qcow2", data, size);
	for (int i = 0; i < 2; i++) {
		CLEANUP(close_fdp) int fd = open(path, O_RDWR | O_CLOEXEC);
		struct sentence error = { "" };
		int r = qcow2_read_header(fd, &header, &error);

		if (r == 0)
			check(strlen(header.backing) <= QCOW2_BACKING_MAX &&
			      (qcow2_check_scratch(&header, &header, &error) == 0 || *error.text));
		else
			check((r == -ENOEXEC || r == -EBADMSG) && *error.text);
		check(text_is_clean(error.text));
		check(ftruncate(fd, 1 << 18) == 0);
	}
}
