/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Headers and tables that a guest's QEMU may have rewritten.
 */
#include "corpus.h"

#include <sys/stat.h>

#include "qcow2_clusters.h"
#include "qcow2_writable.h"

CORPUS(qcow2, "qcow2", any_qcow2_header_is_refused_or_read)
CORPUS(clusters, "clusters", any_tables_are_refused_or_read_as_the_file_takes)

/* The header as a file, and the same with the clusters that follow it. */
static void feed_qcow2(const void *data, size_t size)
{
	CLEANUP(freep) char *path = format_text("%s/fuzzed.qcow2", TEST_DIR);
	struct qcow2_header header;

	write_file("qcow2", data, size);
	for (int i = 0; i < 2; i++) {
		CLEANUP(close_fdp) int fd = open(path, O_RDWR | O_CLOEXEC);
		struct sentence error = { "" };
		bool found;
		int r = qcow2_read_header(fd, &header, &error);

		if (r == 0)
			check(strlen(header.backing) <= QCOW2_BACKING_MAX &&
			      (qcow2_check_scratch(&header, &header, &error) == 0 || *error.text) &&
			      (qcow2_find_bitmap_in_use(fd, &header, &found, &error) == 0 || *error.text) &&
			      (qcow2_check_growable(fd, &header, &error) == 0 || *error.text));
		else
			check((r == -ENOEXEC || r == -EBADMSG) && *error.text);
		check(text_is_clean(error.text));
		check(ftruncate(fd, 1 << 18) == 0);
	}
}

static uint64_t taken(int fd)
{
	struct stat stat;

	check(fstat(fd, &stat) == 0);
	return (uint64_t)stat.st_size;
}

/* Tables that are not refused refer to each cluster once, and all but the last lie in it whole. */
static void feed_clusters(const void *data, size_t size)
{
	CLEANUP(freep) char *path = format_text("%s/fuzzed.clusters", TEST_DIR);
	CLEANUP(close_fdp) int fd = -1;
	struct sentence error = { "" };
	struct qcow2_header header;
	struct qcow2_usage usage;
	int r;

	write_file("clusters", data, size);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (qcow2_read_header(fd, &header, NULL) < 0)
		return;
	r = qcow2_check_clusters(fd, &header, false, &error);
	check(r == 0 || (r == -EBADMSG && *error.text));
	if (r == 0)
		check(qcow2_read_usage(fd, &header, &usage, NULL) == 0 &&
		      usage.bytes < taken(fd) + (1ULL << header.cluster_bits));
	error.text[0] = '\0';
	r = qcow2_check_clusters(fd, &header, true, &error);
	check(r == 0 || (r == -EBADMSG && *error.text));
}
