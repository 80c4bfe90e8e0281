/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An L1 table leads to L2 tables of a cluster each, whose entries lead to data clusters. An entry
 * has 8 bytes; with extended L2 entries it has 16, of which the second 8 tell for 32 subclusters
 * which of them are allocated and which read as zeros. Layout: QEMU's docs/interop/qcow2.txt. The
 * masks are QEMU's own, so that it sees no reference that is not seen here.
 */
#include "qcow2_clusters.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define CLUSTER_BITS_MIN 9
#define CLUSTER_BITS_MAX 21
#define L1_BYTES_MAX ((uint64_t)32 << 20) /* as QEMU has it */
#define FILE_CLUSTERS_MAX (1ULL << 29)    /* a bitmap of 64 MiB, which is in memory only where it is written */

#define OFFSET_MASK 0x00fffffffffffe00ULL
#define ENTRY_COMPRESSED (1ULL << 62)
#define ENTRY_ZERO (1ULL << 0) /* with extended entries the bitmap says it instead */
#define SUBCLUSTERS 32

struct walk {
	int fd;
	uint64_t file_size;
	uint64_t cluster_size;
	unsigned cluster_bits;
	unsigned words;     /* 64-bit words of an L2 entry: 1, or 2 when extended */
	uint64_t l1_length; /* entries that the virtual size needs */
	uint64_t file_clusters;
	unsigned char *seen; /* a bit for each cluster of the file */
	uint64_t *l1, *l2;   /* tables as they were read: big-endian */
	struct qcow2_usage usage;
};

static void clear_walk(struct walk *walk)
{
	free(walk->seen);
	free(walk->l1);
	free(walk->l2);
}

/* Whether a cluster that lies in the file was seen before; it has been from now on. */
static bool seen_before(struct walk *walk, uint64_t offset)
{
	uint64_t index = offset >> walk->cluster_bits;
	unsigned char bit = (unsigned char)(1U << (index % 8));
	bool before = walk->seen[index / 8] & bit;

	walk->seen[index / 8] |= bit;
	return before;
}

/* Whether a table lies in the file, at the beginning of a cluster, and nothing else lies there. */
static bool take_table(struct walk *walk, uint64_t offset, uint64_t bytes)
{
	if (offset & (walk->cluster_size - 1) || offset >= walk->file_size || bytes > walk->file_size - offset)
		return false;
	for (uint64_t done = 0; done < bytes; done += walk->cluster_size)
		if (seen_before(walk, offset + done))
			return false;
	return true;
}

static uint64_t allocated_bytes(const struct walk *walk, uint64_t entry, const uint64_t *words)
{
	uint32_t subclusters;

	if (walk->words == 1)
		return entry & ENTRY_ZERO ? 0 : walk->cluster_size;
	subclusters = (uint32_t)be64toh(words[1]);
	return (uint64_t)__builtin_popcount(subclusters) * (walk->cluster_size / SUBCLUSTERS);
}

static void count_data(struct walk *walk, uint64_t bytes)
{
	walk->usage.bytes += bytes;
	walk->usage.whole_bytes += bytes ? walk->cluster_size : 0;
}

static int walk_entry(struct walk *walk, const uint64_t *words, struct sentence *error)
{
	uint64_t entry = be64toh(words[0]), offset = entry & OFFSET_MASK;

	if (entry & ENTRY_COMPRESSED) {
		walk->usage.compressed++;
		count_data(walk, walk->cluster_size);
		return 0;
	}
	if (!offset)
		return 0;
	if (offset & (walk->cluster_size - 1))
		return report(error, -EBADMSG, "its tables refer to data at %llu, where no cluster begins",
			      (unsigned long long)offset);
	if (offset >= walk->file_size)
		walk->usage.behind_end++;
	else if (seen_before(walk, offset))
		walk->usage.repeated++;
	count_data(walk, allocated_bytes(walk, entry, words));
	return 0;
}

static int walk_table(struct walk *walk, uint64_t offset, struct sentence *error)
{
	size_t words = walk->cluster_size / sizeof(*walk->l2);
	int r = 0;

	if (!take_table(walk, offset, walk->cluster_size))
		return report(error, -EBADMSG,
			      "it has an L2 table at %llu, outside the file or where something else lies",
			      (unsigned long long)offset);
	r = pread_all(walk->fd, walk->l2, walk->cluster_size, (off_t)offset);
	if (r < 0)
		return report(error, r, "an L2 table cannot be read: %s", error_text(r));
	for (size_t i = 0; i < words && r == 0; i += walk->words)
		r = walk_entry(walk, walk->l2 + i, error);
	return r;
}

/* What the header says of the tables, within the bounds that QEMU has too. */
static int measure(struct walk *walk, const struct qcow2_header *header, struct sentence *error)
{
	struct stat stat;

	if (fstat(walk->fd, &stat) < 0)
		return report(error, -errno, "it cannot be looked at: %s", error_text(-errno));
	if (header->cluster_bits < CLUSTER_BITS_MIN || header->cluster_bits > CLUSTER_BITS_MAX)
		return report(error, -EBADMSG, "its header gives clusters an impossible size");
	walk->cluster_bits = header->cluster_bits;
	walk->cluster_size = 1ULL << header->cluster_bits;
	walk->words = qcow2_has_subclusters(header) ? 2 : 1;
	walk->file_size = (uint64_t)stat.st_size;
	walk->file_clusters = (walk->file_size + walk->cluster_size - 1) >> walk->cluster_bits;
	if (walk->file_clusters == 0 || walk->file_clusters > FILE_CLUSTERS_MAX)
		return report(error, -EBADMSG, "it has %llu clusters, and more than %llu cannot be looked at",
			      (unsigned long long)walk->file_clusters, (unsigned long long)FILE_CLUSTERS_MAX);
	walk->l1_length = qcow2_l1_entries(header);
	if (header->l1_length < walk->l1_length || header->l1_length > L1_BYTES_MAX / sizeof(*walk->l1))
		return report(error, -EBADMSG, "its L1 table has %u entries, which its virtual size does not go with",
			      header->l1_length);
	return 0;
}

static int read_l1(struct walk *walk, const struct qcow2_header *header, struct sentence *error)
{
	int r;

	walk->seen = calloc(1, walk->file_clusters / 8 + 1);
	walk->l1 = calloc(walk->l1_length + 1, sizeof(*walk->l1));
	walk->l2 = malloc(walk->cluster_size);
	if (!walk->seen || !walk->l1 || !walk->l2)
		return report(error, -ENOMEM, "out of memory");
	seen_before(walk, 0); /* the header */
	if (!take_table(walk, header->l1_offset, (uint64_t)header->l1_length * sizeof(*walk->l1)))
		return report(error, -EBADMSG, "its L1 table lies outside the file or over the header");
	r = pread_all(walk->fd, walk->l1, walk->l1_length * sizeof(*walk->l1), (off_t)header->l1_offset);
	return r < 0 ? report(error, r, "its L1 table cannot be read: %s", error_text(r)) : 0;
}

int qcow2_read_usage(int fd, const struct qcow2_header *header, struct qcow2_usage *ret_usage, struct sentence *error)
{
	CLEANUP(clear_walk) struct walk walk = { .fd = fd };
	int r = measure(&walk, header, error);

	if (r == 0)
		r = read_l1(&walk, header, error);
	for (uint64_t i = 0; i < walk.l1_length && r == 0; i++) {
		uint64_t offset = be64toh(walk.l1[i]) & OFFSET_MASK;

		if (offset)
			r = walk_table(&walk, offset, error);
	}
	if (r == 0)
		*ret_usage = walk.usage;
	return r;
}

int qcow2_check_clusters(int fd, const struct qcow2_header *header, bool torn, struct sentence *error)
{
	struct qcow2_usage usage = { 0 };
	int r = qcow2_read_usage(fd, header, &usage, error);

	if (r < 0)
		return r;
	if (usage.compressed)
		return report(error, -EBADMSG, "%llu of its clusters are compressed, as no guest's QEMU writes them",
			      (unsigned long long)usage.compressed);
	if (usage.repeated)
		return report(error, -EBADMSG, "its tables refer %llu times to a cluster that is in use already",
			      (unsigned long long)usage.repeated);
	if (usage.behind_end && !torn)
		return report(error, -EBADMSG, "its tables refer %llu times to what lies behind the file's end",
			      (unsigned long long)usage.behind_end);
	return 0;
}
