/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What qemu-img must not write into, or cannot enlarge, is told from headers that QEMU wrote.
 */
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

#include "qcow2_writable.h"

static struct sentence why;

/* A file that these commands make of "f": its name, for each %s. */
static int made_by(const char *commands, struct qcow2_header *ret_header)
{
	CLEANUP(freep) char *path = format_text("%s/f", TEST_DIR);
	CLEANUP(freep) char *command = format_text("f='%s'; rm -f \"$f\"; (%s) >'%s.out' 2>&1", path, commands, path);
	int fd;

	check_int(system(command), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	check(fd >= 0);
	check_int(qcow2_read_header(fd, ret_header, &why), 0);
	return fd;
}

static bool has_bitmap_in_use(int fd, const struct qcow2_header *header)
{
	bool found = false;

	check_int(qcow2_find_bitmap_in_use(fd, header, &found, &why), 0);
	return found;
}

/* QEMU is killed with the file open, after a write. */
#define DIES "qemu-io -f qcow2 -c 'write 0 64k' -c 'sigraise 9' $f || true"

TEST(what_is_whole_may_be_written_and_grow)
{
	static const char *const ways[] = {
		"qemu-img create -f qcow2 $f 4M",
		"qemu-img create -f qcow2 -o compat=0.10 $f 4M",
		"qemu-img create -f qcow2 $f 4M && qemu-img snapshot -c one $f",
		"qemu-img create -f qcow2 $f 4M && qemu-img bitmap --add $f b && qemu-img bitmap --add --disable $f c",
		"qemu-img create -f qcow2 $f 4M && qemu-img bitmap --add $f b && qemu-img bitmap --remove $f b",
		"qemu-img create -f qcow2 $f 4M && " DIES,
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct qcow2_header header;
		CLEANUP(close_fdp) int fd = made_by(ways[i], &header);

		check(!has_bitmap_in_use(fd, &header));
		check(!qcow2_is_corrupt(&header));
		check_int(qcow2_check_growable(fd, &header, &why), 0);
		check(!qcow2_is_dirty(&header));
	}
}

TEST(a_bitmap_in_use_is_seen_wherever_it_stands)
{
	static const char *const ways[] = {
		"qemu-img create -f qcow2 $f 4M && qemu-img bitmap --add $f b && " DIES,
		"qemu-img create -f qcow2 $f 4M && qemu-img bitmap --add --disable $f a_longer_name && qemu-img bitmap --add $f b && " DIES,
		"qemu-img create -f qcow2 $f 4M && qemu-img bitmap --add $f b && " DIES
		"; qemu-img bitmap --add --disable $f later",
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct qcow2_header header;
		CLEANUP(close_fdp) int fd = made_by(ways[i], &header);

		check(has_bitmap_in_use(fd, &header));
		check_errno(qcow2_check_growable(fd, &header, &why), EOPNOTSUPP);
		check_contains(why.text, "bitmap");
	}
}

TEST(an_old_file_with_internal_snapshots_grows_when_it_is_no_longer_old)
{
	struct qcow2_header header;
	CLEANUP(close_fdp)
	int fd = made_by("qemu-img create -f qcow2 -o compat=0.10 $f 4M && qemu-img snapshot -c one $f", &header);

	check(!has_bitmap_in_use(fd, &header));
	check_int(qcow2_check_growable(fd, &header, &why), 0);
	check(qcow2_is_too_old_to_grow(&header));
	fd = made_by("qemu-img create -f qcow2 -o compat=0.10 $f 4M", &header);
	check(!qcow2_is_too_old_to_grow(&header));
	fd = made_by("qemu-img create -f qcow2 -o compat=1.1 $f 4M && qemu-img snapshot -c one $f", &header);
	check(!qcow2_is_too_old_to_grow(&header));
}

TEST(the_marks_corrupt_and_dirty_are_seen)
{
	struct qcow2_header header;
	CLEANUP(close_fdp) int fd = made_by("qemu-img create -f qcow2 -o lazy_refcounts=on $f 4M && " DIES, &header);
	unsigned char corrupt = 2;

	check(qcow2_is_dirty(&header));
	check(!qcow2_is_corrupt(&header));
	check_int(pwrite(fd, &corrupt, 1, 79), 1);
	check_int(qcow2_read_header(fd, &header, &why), 0);
	check(!qcow2_is_dirty(&header));
	check(qcow2_is_corrupt(&header));
}

/* Such a directory QEMU does not read either. */
TEST(a_directory_of_bitmaps_that_makes_no_sense_is_refused)
{
	struct qcow2_header header, broken;
	CLEANUP(close_fdp)
	int fd = made_by("qemu-img create -f qcow2 $f 4M && qemu-img bitmap --add $f b", &header);

	bool found;

	check_int(header.bitmaps, 1);
	broken = header;
	broken.bitmaps = 1000000;
	check_errno(qcow2_find_bitmap_in_use(fd, &broken, &found, &why), EBADMSG);
	broken = header;
	broken.bitmaps = 2;
	check_errno(qcow2_find_bitmap_in_use(fd, &broken, &found, &why), EBADMSG);
	broken = header;
	broken.bitmap_directory_size = UINT64_MAX;
	check_errno(qcow2_find_bitmap_in_use(fd, &broken, &found, &why), EBADMSG);
	broken = header;
	broken.bitmap_directory = 1ULL << 40;
	check(qcow2_find_bitmap_in_use(fd, &broken, &found, &why) < 0);
}
