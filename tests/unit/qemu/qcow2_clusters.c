/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader of tables, against files that a guest's QEMU writes in all its ways (none of which may
 * be refused, for each would be a commit that fails), and against tables that somebody forged.
 */
#include "test.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qcow2_clusters.h"

static struct sentence why;
static char path[4096];

static void shell(const char *line)
{
	CLEANUP(freep)
	char *command = format_text("cd '%s' && { %s; } >out 2>&1 || { cat out >&2; false; }", TEST_DIR, line);

	check_int(system(command), 0);
}

/* f.qcow2, made anew with qemu-img's -o OPTIONS, and what qemu-io's arguments do to it. */
static void make(const char *options, const char *size, const char *requests)
{
	CLEANUP(freep)
	char *line = format_text("rm -f f.qcow2 && qemu-img create -q -f qcow2 -o %s f.qcow2 %s && "
				 "qemu-io -t unsafe -d unmap -f qcow2 %s f.qcow2",
				 options, size, requests);

	snprintf(path, sizeof(path), "%s/f.qcow2", TEST_DIR);
	shell(line);
}

static struct qcow2_header read_header(int fd)
{
	struct qcow2_header header;

	check_int(qcow2_read_header(fd, &header, &why), 0);
	return header;
}

static int check_file(bool torn)
{
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct qcow2_header header = read_header(fd);

	why.text[0] = '\0';
	return qcow2_check_clusters(fd, &header, torn, &why);
}

static struct qcow2_usage usage(void)
{
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct qcow2_header header = read_header(fd);
	struct qcow2_usage usage = { 0 };

	if (qcow2_read_usage(fd, &header, &usage, &why) != 0)
		test_fail(__FILE__, __LINE__, "%s", why.text);
	return usage;
}

static void check_honest(void)
{
	if (check_file(false) != 0)
		test_fail(__FILE__, __LINE__, "an honest file is refused: %s", why.text);
}

static void check_forged(bool torn, const char *words)
{
	check_int(check_file(torn), -EBADMSG);
	if (!strstr(why.text, words))
		test_fail(__FILE__, __LINE__, "'%s' does not say '%s'", why.text, words);
}

/* How scratches are made by default, and other ways that `template=` may choose. */
static const char *const templates[] = {
	"extended_l2=on,cluster_size=128k",  "cluster_size=64k", "cluster_size=512", "compat=0.10",
	"lazy_refcounts=on,refcount_bits=1", "cluster_size=2M"
};

#define for_each_template(options) for (size_t i_ = 0; i_ < ARRAY_SIZE(templates) && ((options) = templates[i_]); i_++)

/* --- what a guest's QEMU writes --------------------------------------------------------------- */

TEST(a_fresh_file_refers_to_nothing)
{
	const char *options;

	for_each_template(options)
	{
		make(options, "8M", "-c 'read 0 1M'");
		check_honest();
		check_int((int)usage().bytes, 0);
	}
}

TEST(what_is_written_is_counted_in_subclusters_or_clusters)
{
	make(templates[0], "64M", "-c 'write 0 4k' -c 'write 1M 128k' -c 'write 9M 5k'");
	check_honest();
	check_int((int)usage().bytes, 4096 + 131072 + 8192);
	make("cluster_size=64k", "64M", "-c 'write 0 4k' -c 'write 1M 128k' -c 'write 9M 5k'");
	check_honest();
	check_int((int)usage().bytes, 65536 + 131072 + 65536);
}

TEST(writes_discards_and_zeros_of_a_guest_are_honest)
{
	const char *options;

	for_each_template(options)
	{
		make(options, "8M",
		     "-c 'write -P 1 0 8M' -c 'discard 1M 700k' -c 'write -z 2M 300k' -c 'write -z -u 3M 300k' -c 'write -P 2 1500k 1M'"
		     " -c 'discard 0 8M' -c 'write -P 3 5k 6M' -c 'write -z -u 1000k 777k' -c flush");
		check_honest();
		shell("qemu-img bench -t unsafe -q -w -f qcow2 -c 300 -d 32 -s 4096 -S 20480 f.qcow2");
		shell("qemu-img bench -t unsafe -q -w -f qcow2 -c 60 -d 8 -s 65536 -S 69632 --flush-interval=20 f.qcow2");
		check_honest();
	}
}

TEST(zeros_that_qemu_detects_are_honest)
{
	make(templates[0], "40M", "-c 'write -P 1 0 20M'");
	shell("qemu-io -c 'write -P 0 1M 4M' -c 'write -P 0 30M 1M' -c 'write -P 5 2M 1M' --image-opts "
	      "driver=qcow2,file.filename=f.qcow2,discard=unmap,detect-zeroes=unmap");
	check_honest();
}

TEST(clusters_shared_with_internal_snapshots_are_honest)
{
	const char *options;

	for_each_template(options)
	{
		if (strstr(options, "refcount_bits=1"))
			continue; /* QEMU cannot share a cluster there */
		make(options, "2M", "-c 'write -P 1 0 1500k'");
		shell("qemu-img snapshot -c one f.qcow2 && qemu-io -t unsafe -f qcow2 -c 'write -P 2 300k 300k' -c 'discard 1M 200k' f.qcow2");
		check_honest();
		shell("qemu-img snapshot -c two f.qcow2 && qemu-img snapshot -a one f.qcow2 && "
		      "qemu-io -t unsafe -f qcow2 -c 'write -P 3 200k 1800k' f.qcow2");
		check_honest();
		shell("qemu-img snapshot -a two f.qcow2 && qemu-img snapshot -d one f.qcow2 && "
		      "qemu-io -t unsafe -f qcow2 -c 'write -P 4 0 1M' f.qcow2 && qemu-img snapshot -d two f.qcow2");
		check_honest();
	}
}

/* QEMU puts what savevm writes behind the end of the disk, and makes the L1 table longer for it. */
TEST(the_state_that_savevm_wrote_is_honest)
{
	make(templates[0], "16M", "-c 'write -P 1 0 10M'");
	shell("printf '%s\\n' '{\"execute\":\"qmp_capabilities\"}' "
	      "'{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"savevm one\"}}' "
	      "'{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"qemu-io d \\\"write -P 7 0 2M\\\"\"}}' "
	      "'{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"savevm two\"}}' "
	      "'{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"loadvm one\"}}' "
	      "'{\"execute\":\"quit\"}' | "
	      "if command -v qemu-system-x86_64; then timeout 60 qemu-system-x86_64 -accel tcg -S -display none -nodefaults -m 16 "
	      "-qmp stdio -drive if=none,id=d,file=f.qcow2,format=qcow2 && qemu-img snapshot -l f.qcow2 | grep two; fi");
	check_honest();
}

TEST(persistent_bitmaps_and_preallocated_tables_are_honest)
{
	make(templates[0], "64M", "-c 'write -P 1 0 10M'");
	shell("qemu-img bitmap --add f.qcow2 one && qemu-img bitmap --add --disable f.qcow2 two && "
	      "qemu-io -t unsafe -f qcow2 -c 'write -P 2 3M 30M' f.qcow2 && qemu-img bitmap --remove f.qcow2 one");
	check_honest();
	make("preallocation=metadata,extended_l2=on,cluster_size=128k", "1G", "-c 'write 0 1M'");
	check_honest();
	check_int((int)(usage().bytes >> 20), 1);
	make("preallocation=metadata", "1G", "-c 'write 0 1M'");
	check_honest();
}

/* --- what somebody forged --------------------------------------------------------------------- */

static uint64_t get(uint64_t offset)
{
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t value;

	check_int(pread_all(fd, &value, sizeof(value), (off_t)offset), 0);
	return be64toh(value);
}

static void put(uint64_t offset, uint64_t value)
{
	CLEANUP(close_fdp) int fd = open(path, O_WRONLY | O_CLOEXEC);

	value = htobe64(value);
	check_int(pwrite_all(fd, &value, sizeof(value), (off_t)offset), 0);
}

#define OFFSET 0x00fffffffffffe00ULL

static uint64_t l1(void)
{
	return get(40);
}

static uint64_t l2(void)
{
	return get(l1()) & OFFSET;
}

static uint64_t file_size(void)
{
	struct stat stat;

	check_int(lstat(path, &stat), 0);
	return (uint64_t)stat.st_size;
}

/* Two clusters of data, of 64 KiB, in a file of 1 GiB whose second half has another L2 table. */
static void make_small(void)
{
	make("cluster_size=64k", "1G", "-c 'write 0 128k' -c 'write 512M 64k'");
	check_honest();
}

TEST(a_compressed_cluster_is_refused)
{
	shell("rm -f raw f.qcow2 && qemu-img create -q -f raw raw 4M && qemu-io -f raw -c 'write -P 3 0 4M' raw && "
	      "qemu-img convert -c -f raw -O qcow2 raw f.qcow2");
	check_forged(true, "64 of its clusters are compressed");
	check_int((int)usage().bytes, 4 << 20);
	shell("rm -f f.qcow2 && qemu-img convert -c -f raw -O qcow2 -o extended_l2=on,cluster_size=128k raw f.qcow2");
	check_forged(true, "32 of its clusters are compressed");
}

TEST(a_repeated_cluster_is_refused_and_counts_each_time)
{
	make_small();
	for (int i = 2; i < 8192; i++)
		put(l2() + (uint64_t)i * 8, get(l2()));
	check_forged(true, "refer 8190 times to a cluster that is in use already");
	check_int((int)usage().bytes, 8193 * 65536);
	make(templates[0], "1G", "-c 'write 0 128k'");
	put(l2() + 16, get(l2()));
	put(l2() + 24, 1);
	check_forged(true, "refer 1 times to a cluster");
	check_int((int)usage().bytes, 131072 + 4096);
}

TEST(a_repeated_cluster_of_zeros_is_refused_too)
{
	make_small();
	put(l2() + 8, get(l2()) | 1);
	check_forged(true, "refer 1 times to a cluster");
}

TEST(data_in_the_header_or_in_a_table_is_refused)
{
	make_small();
	put(l2(), l1());
	check_forged(true, "in use already");
	make_small();
	put(l2(), l2());
	check_forged(true, "in use already");
}

TEST(data_behind_the_end_is_refused_unless_a_crash_tore_the_file)
{
	make_small();
	put(l2(), file_size());
	check_forged(false, "refer 1 times to what lies behind the file's end");
	check_int(check_file(true), 0);
	make_small();
	put(l2(), OFFSET & ~0xffffULL);
	check_forged(false, "behind the file's end");
	make_small();
	put(l2(), get(l2()) + 512);
	check_forged(true, "where no cluster begins");
}

TEST(tables_that_lie_wrong_are_refused)
{
	static const uint64_t wrong[] = { 512, 1ULL << 40, OFFSET, OFFSET & ~0xffffULL };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		make_small();
		put(l1(), wrong[i]);
		check_forged(true, "outside the file or where something else lies");
		make_small();
		put(40, wrong[i]);
		check_forged(true, "L1 table lies outside the file");
	}
	make_small();
	put(l1() + 8, get(l1()));
	check_forged(true, "outside the file or where something else lies");
	make_small();
	put(l1(), l1());
	check_forged(true, "outside the file or where something else lies");
	make_small();
	put(40, 0);
	check_forged(true, "L1 table lies outside the file or over the header");
}

TEST(an_l1_table_that_does_not_go_with_the_size_is_refused)
{
	make_small();
	put(24, 1ULL << 60);
	check_forged(true, "L1 table has");
	make_small();
	put(32, 0xffffffff); /* no encryption, and so many entries */
	check_forged(true, "L1 table has");
}

TEST(a_file_with_too_many_clusters_is_refused_before_memory_is_taken)
{
	make("cluster_size=512", "4M", "-c 'write 0 4k'");
	check_int(truncate(path, 1LL << 42), 0);
	check_forged(true, "cannot be looked at");
}

TEST(a_file_that_is_cut_off_is_refused)
{
	make_small();
	check_int(truncate(path, (off_t)l2() + 4096), 0);
	check_forged(true, "outside the file");
}
