/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The qcow2 header reader, against headers that qemu-img writes, and against those that a QEMU in
 * hostile hands may write.
 */
#include "test.h"

#include <endian.h>
#include <fcntl.h>
#include <unistd.h>

#include "qcow2.h"

#define BACKING "/srv/vm/.revertfs/images/win10.img"

static struct sentence why;

static char *path_of(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", TEST_DIR, name);
	return path;
}

/* qemu-img create -u -f qcow2 OPTIONS FILE 4M: an open descriptor on what it wrote. */
static int create(const char *options)
{
	char command[8192];
	int fd;

	unlink(path_of("f.qcow2"));
	snprintf(command, sizeof(command), "qemu-img create -q -u -f qcow2 %s '%s' 4M", options, path_of("f.qcow2"));
	check_int(system(command), 0);
	fd = open(path_of("f.qcow2"), O_RDWR | O_CLOEXEC);
	check(fd >= 0);
	return fd;
}

static struct qcow2_header header_of(const char *options)
{
	struct qcow2_header header;
	int fd = create(options);

	check_int(qcow2_read_header(fd, &header, &why), 0);
	close(fd);
	return header;
}

/* The first 64 KiB of a scratch, as revertfs has them made by default. */
static unsigned char made_bytes[65536];

static void make_scratch(void)
{
	int fd = create("-o extended_l2=on,cluster_size=128k -b " BACKING " -F raw");

	check_int(pread_all(fd, made_bytes, sizeof(made_bytes), 0), 0);
	close(fd);
}

static int read_bytes(const void *bytes, size_t length, struct qcow2_header *ret_header)
{
	int fd = open(path_of("bytes"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r;

	check(fd >= 0);
	check_int(write_all(fd, bytes, length), 0);
	r = qcow2_read_header(fd, ret_header, &why);
	close(fd);
	return r;
}

TEST(the_default_scratch_is_read_as_qemu_img_wrote_it)
{
	struct qcow2_header header = header_of("-o extended_l2=on,cluster_size=128k -b " BACKING " -F raw");

	check_int(header.version, 3);
	check_int(header.cluster_bits, 17);
	check_int(header.virtual_size, 4 << 20);
	check_str(header.backing, BACKING);
	check_str(header.backing_format, "raw");
	check_int(header.incompatible, 1 << 4);
	check_int(header.encryption, 0);
	check_int(header.snapshots, 0);
	check_int(header.refcount_order, 4);
	check(!header.data_file && !header.unknown_extension);
}

TEST(other_options_of_qemu_img_are_read)
{
	struct qcow2_header header = header_of("-o compat=0.10");

	check_int(header.version, 2);
	check_int(header.header_length, 72);
	check_str(header.backing, "");
	header = header_of("-o compat=0.10 -b " BACKING " -F qcow2");
	check_str(header.backing, BACKING);
	check_str(header.backing_format, "qcow2");
	header = header_of("-o cluster_size=512,refcount_bits=1,lazy_refcounts=on");
	check_int(header.cluster_bits, 9);
	check_int(header.refcount_order, 0);
	check_int(header.compatible, 1);
	header = header_of("-o compression_type=zstd");
	check_int(header.compression, 1);
	check_int(header.incompatible, 1 << 3);
	header = header_of("-o preallocation=metadata,cluster_size=2M");
	check_int(header.cluster_bits, 21);
}

TEST(an_external_data_file_is_seen)
{
	char options[4200];

	snprintf(options, sizeof(options), "-o data_file='%s'", path_of("data"));
	check(header_of(options).data_file);
	snprintf(options, sizeof(options), "-o data_file='%s',data_file_raw=on", path_of("data"));
	check(header_of(options).data_file);
}

TEST(internal_snapshots_are_counted)
{
	struct qcow2_header header;
	char command[5000];
	int fd = create("");

	check(!qcow2_has_snapshots(fd));
	snprintf(command, sizeof(command), "qemu-img snapshot -c one '%s'", path_of("f.qcow2"));
	check_int(system(command), 0);
	check_int(qcow2_read_header(fd, &header, &why), 0);
	check_int(header.snapshots, 1);
	check(qcow2_has_snapshots(fd));
	close(fd);
}

TEST(the_longest_name_of_a_backing_file_is_read)
{
	char options[2000], name[QCOW2_BACKING_MAX + 1];
	struct qcow2_header header;

	memset(name, 'x', QCOW2_BACKING_MAX);
	name[0] = '/';
	for (size_t i = 200; i < QCOW2_BACKING_MAX; i += 200)
		name[i] = '/';
	name[QCOW2_BACKING_MAX] = '\0';
	snprintf(options, sizeof(options), "-b %s -F qcow2", name);
	header = header_of(options);
	check_str(header.backing, name);
}

TEST(what_is_no_qcow2_is_told_apart_from_what_is_a_bad_one)
{
	struct qcow2_header header = { .version = 77 };
	unsigned char raw[4096] = { 0 };

	check_errno(read_bytes(raw, sizeof(raw), &header), ENOEXEC);
	check_errno(read_bytes(raw, 0, &header), ENOEXEC);
	check_errno(read_bytes("QFI\xfb", 4, &header), ENOEXEC);
	make_scratch();
	memcpy(raw, made_bytes, 4);
	check_errno(read_bytes(raw, sizeof(raw), &header), EBADMSG);
	check(why.text[0]);
	check_int(header.version, 77);
}

TEST(a_header_cut_off_at_any_length_is_refused_or_reads_the_same)
{
	struct qcow2_header whole, header;

	make_scratch();
	check_int(read_bytes(made_bytes, sizeof(made_bytes), &whole), 0);
	for (size_t length = 0; length < 1024; length++) {
		int r;

		memset(&header, 0, sizeof(header));
		r = read_bytes(made_bytes, length, &header);
		if (r == 0)
			check(memcmp(&header, &whole, sizeof(header)) == 0);
		else
			check(r == (length < 72 ? -ENOEXEC : -EBADMSG));
	}
}

static void put32(unsigned char *bytes, size_t offset, uint32_t value)
{
	value = htobe32(value);
	memcpy(bytes + offset, &value, sizeof(value));
}

static uint32_t get32(const unsigned char *bytes, size_t offset)
{
	uint32_t value;

	memcpy(&value, bytes + offset, sizeof(value));
	return be32toh(value);
}

/* Whether a scratch with these bytes would be sealed; `r` is what reading said. */
static bool would_be_sealed(const unsigned char *bytes)
{
	struct qcow2_header made, found;

	check_int(read_bytes(made_bytes, sizeof(made_bytes), &made), 0);
	return read_bytes(bytes, sizeof(made_bytes), &found) == 0 && qcow2_check_scratch(&found, &made, &why) == 0;
}

/*
 * The bytes that decide how QEMU reads the file. The others (offsets and sizes of L1, refcount and
 * snapshot tables, padding) say where data lies within this very file; qemu-img check is for those.
 */
static bool decides(size_t offset)
{
	return offset < 36 || (offset >= 72 && offset < 88) || (offset >= 96 && offset < 105);
}

/* qemu-img measures the machine's speed for half a minute before it writes such a header. */
TEST(encryption_is_seen_and_refused)
{
	unsigned char bytes[sizeof(made_bytes)];
	struct qcow2_header header;

	make_scratch();
	memcpy(bytes, made_bytes, sizeof(bytes));
	put32(bytes, 32, 2);
	check_int(read_bytes(bytes, sizeof(bytes), &header), 0);
	check_int(header.encryption, 2);
	check(!would_be_sealed(bytes));
	check_contains(why.text, "encrypted");
}

TEST(any_field_with_any_odd_value_is_read_without_harm_and_sealed_only_if_it_leads_nowhere)
{
	static const uint32_t values[] = { 0,     1,     2,          3,          4,          8,         72,
					   104,   112,   0x7f,       0xff,       511,        1023,      1024,
					   65535, 65536, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff };
	unsigned char bytes[sizeof(made_bytes)];

	make_scratch();
	check(would_be_sealed(made_bytes));
	for (size_t offset = 0; offset < 700; offset += 4) {
		for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
			memcpy(bytes, made_bytes, sizeof(bytes));
			put32(bytes, offset, values[i]);
			if (would_be_sealed(bytes) && memcmp(bytes, made_bytes, sizeof(bytes)) != 0 &&
			    decides(offset) && offset != 104)
				test_fail(__FILE__, __LINE__, "a header with %#x at %zu would be sealed", values[i],
					  offset);
		}
	}
}

/* Its virtual size is larger by whole sectors, within the GiB that its L1 table reaches. */
static bool has_grown(const unsigned char *bytes)
{
	struct qcow2_header header;

	return read_bytes(bytes, sizeof(made_bytes), &header) == 0 && header.virtual_size > 4 << 20 &&
	       header.virtual_size <= 1 << 30 && header.virtual_size % 512 == 0;
}

TEST(any_single_bit_of_the_deciding_fields_is_noticed)
{
	unsigned char bytes[sizeof(made_bytes)];

	make_scratch();
	for (size_t offset = 0; offset < 112; offset++) {
		for (int bit = 0; bit < 8 && decides(offset); bit++) {
			memcpy(bytes, made_bytes, sizeof(bytes));
			bytes[offset] ^= (unsigned char)(1 << bit);
			if (would_be_sealed(bytes) && !(offset / 8 == 3 && has_grown(bytes)))
				test_fail(__FILE__, __LINE__, "bit %d at %zu was not noticed", bit, offset);
		}
	}
}

/* The header of a scratch made with other options, looked at as if it were one of ours. */
static void refuses(const char *options, const char *words)
{
	struct qcow2_header made, found;

	make_scratch();
	check_int(read_bytes(made_bytes, sizeof(made_bytes), &made), 0);
	found = header_of(options);
	why.text[0] = '\0';
	if (qcow2_check_scratch(&found, &made, &why) != -EBADMSG || !strstr(why.text, words))
		test_fail(__FILE__, __LINE__, "%s: '%s' does not say '%s'", options, why.text, words);
}

#define SAME "extended_l2=on,cluster_size=128k"

TEST(a_scratch_that_names_another_file_is_refused)
{
	refuses("-o " SAME " -b /etc/shadow -F raw", "/etc/shadow");
	refuses("-o " SAME " -b " BACKING "x -F raw", "backing file");
	refuses("-o " SAME " -b " BACKING " -F qcow2", "backing file");
	refuses("-o " SAME, "backing file");
	refuses("-o " SAME " -b 'json:{\"driver\":\"raw\",\"file.filename\":\"/etc/shadow\"}' -F raw", "backing file");
	refuses("-o " SAME " -b nbd://evil/x -F raw", "backing file");
}

TEST(a_scratch_with_a_data_file_is_refused)
{
	struct qcow2_header made, found;

	make_scratch();
	check_int(read_bytes(made_bytes, sizeof(made_bytes), &made), 0);
	found = made;
	found.data_file = true;
	check_errno(qcow2_check_scratch(&found, &made, &why), EBADMSG);
	check_contains(why.text, "data file");
}

TEST(a_scratch_may_have_grown_and_not_shrunk)
{
	struct qcow2_header made, found;

	make_scratch();
	check_int(read_bytes(made_bytes, sizeof(made_bytes), &made), 0);
	found = made;
	found.virtual_size = 1 << 20;
	check_errno(qcow2_check_scratch(&found, &made, &why), EBADMSG);
	check_contains(why.text, "not shrink");
	found.virtual_size = (4 << 20) + 1;
	check_errno(qcow2_check_scratch(&found, &made, &why), EBADMSG);
	found.virtual_size = 1 << 30;
	check_int(qcow2_check_scratch(&found, &made, &why), 0);
	found.virtual_size += 512;
	check_errno(qcow2_check_scratch(&found, &made, &why), EBADMSG);
	check_contains(why.text, "L1 table");
	found.l1_length++;
	check_int(qcow2_check_scratch(&found, &made, &why), 0);
}

TEST(only_a_scratch_with_lazy_refcounts_may_be_dirty)
{
	struct qcow2_header made = header_of("-o " SAME ",lazy_refcounts=on -b " BACKING " -F raw"), found = made;

	found.incompatible |= 1;
	check_int(qcow2_check_scratch(&found, &made, &why), 0);
	found.incompatible |= 2;
	check_errno(qcow2_check_scratch(&found, &made, &why), EBADMSG);
	check_contains(why.text, "marked it corrupt");
	made = header_of("-o " SAME " -b " BACKING " -F raw");
	found = made;
	found.incompatible |= 1;
	check_errno(qcow2_check_scratch(&found, &made, &why), EBADMSG);
}

TEST(a_scratch_with_other_features_is_refused)
{
	refuses("-b " BACKING " -F raw", "features");
	refuses("-o cluster_size=128k -b " BACKING " -F raw", "features");
	refuses("-o compat=0.10 -b " BACKING " -F raw", "features");
	refuses("-o " SAME ",lazy_refcounts=on -b " BACKING " -F raw", "features");
	refuses("-o " SAME ",compression_type=zstd -b " BACKING " -F raw", "features");
	refuses("-o " SAME ",refcount_bits=64 -b " BACKING " -F raw", "features");
}

TEST(internal_snapshots_and_bitmaps_do_not_keep_a_scratch_from_being_sealed)
{
	struct qcow2_header made = header_of("-o " SAME " -b " BACKING " -F raw"), found;
	char command[9000];
	int fd;

	snprintf(command, sizeof(command), "qemu-img create -q '%s' 4M", path_of("base.img"));
	check_int(system(command), 0);
	fd = open(path_of("f.qcow2"), O_RDWR | O_CLOEXEC);
	snprintf(
		command, sizeof(command),
		"qemu-img rebase -u -F raw -b '%s' '%s' && qemu-img snapshot -c s '%s' && qemu-img bitmap --add '%s' b",
		path_of("base.img"), "%s", "%s", "%s");
	{
		char whole[30000], *f = strdupa(path_of("f.qcow2"));

		snprintf(whole, sizeof(whole), command, f, f, f);
		check_int(system(whole), 0);
		snprintf(whole, sizeof(whole), "qemu-img rebase -u -F raw -b '%s' '%s'", BACKING, f);
		check_int(system(whole), 0);
	}
	check(fd >= 0);
	check_int(qcow2_read_header(fd, &found, &why), 0);
	close(fd);
	check_int(found.snapshots, 1);
	if (qcow2_check_scratch(&found, &made, &why) != 0)
		test_fail(__FILE__, __LINE__, "%s", why.text);
}

/* Where the extensions begin: behind the header. */
static size_t extensions(void)
{
	return get32(made_bytes, 100);
}

TEST(an_extension_that_is_not_known_is_refused)
{
	unsigned char bytes[sizeof(made_bytes)];

	make_scratch();
	memcpy(bytes, made_bytes, sizeof(bytes));
	put32(bytes, extensions(), 0x12345678);
	check(!would_be_sealed(bytes));
}

TEST(a_data_file_s_name_alone_is_refused)
{
	unsigned char bytes[sizeof(made_bytes)];

	make_scratch();
	memcpy(bytes, made_bytes, sizeof(bytes));
	for (size_t offset = extensions(); get32(bytes, offset); offset += 8 + ((get32(bytes, offset + 4) + 7) & ~7U))
		if (get32(bytes, offset) == 0x6803f857) /* the feature names give their place to it */
			put32(bytes, offset, 0x44415441);
	check(!would_be_sealed(bytes));
	check_contains(why.text, "data file");
}

TEST(extensions_without_an_end_are_refused)
{
	unsigned char bytes[sizeof(made_bytes)];
	struct qcow2_header header;

	make_scratch();
	memcpy(bytes, made_bytes, sizeof(bytes));
	for (size_t offset = extensions(); offset + 8 <= sizeof(bytes); offset += 8) {
		put32(bytes, offset, 0x6803f857);
		put32(bytes, offset + 4, 0);
	}
	check_errno(read_bytes(bytes, sizeof(bytes), &header), EBADMSG);
	for (uint32_t length = 0xffffff00; length >= 0xffffff00; length++) {
		put32(bytes, extensions() + 4, length);
		check_errno(read_bytes(bytes, sizeof(bytes), &header), EBADMSG);
	}
}

TEST(a_name_outside_the_header_or_with_a_NUL_is_refused)
{
	static const uint64_t offsets[] = { 65536, 65536 - 3, 1ULL << 32, UINT64_MAX, UINT64_MAX - 33, 1ULL << 63 };
	unsigned char bytes[sizeof(made_bytes)];
	struct qcow2_header header;

	make_scratch();
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		memcpy(bytes, made_bytes, sizeof(bytes));
		put32(bytes, 8, (uint32_t)(offsets[i] >> 32));
		put32(bytes, 12, (uint32_t)offsets[i]);
		check_errno(read_bytes(bytes, sizeof(bytes), &header), EBADMSG);
	}
	memcpy(bytes, made_bytes, sizeof(bytes));
	bytes[get32(bytes, 12) + 5] = '\0';
	check_errno(read_bytes(bytes, sizeof(bytes), &header), EBADMSG);
}

TEST(what_leads_to_another_file_or_is_not_known_is_not_for_qemu_img)
{
	struct qcow2_header plain = header_of("-o extended_l2=on -b " BACKING " -F raw"), header;

	check_int(qcow2_check_alone(&plain, &why), 0);
	header = header_of("-o compat=0.10");
	check_int(qcow2_check_alone(&header, &why), 0);
	header = plain;
	header.data_file = true;
	check_int(qcow2_check_alone(&header, &why), -EBADMSG);
	check_contains(why.text, "names an external data file");
	header = plain;
	header.encryption = 2;
	check_int(qcow2_check_alone(&header, &why), -EBADMSG);
	header = plain;
	header.incompatible |= 1 << 5;
	check_int(qcow2_check_alone(&header, &why), -EBADMSG);
	header = plain;
	header.unknown_extension = true;
	check_int(qcow2_check_alone(&header, &why), -EBADMSG);
}
