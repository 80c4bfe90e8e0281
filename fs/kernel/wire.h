/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FUSE's own messages, as far as the daemon reads and writes them without libfuse: what may be
 * newer than the libfuse or the kernel headers of the build. The layouts are the kernel's and never
 * change (include/uapi/linux/fuse.h).
 */
#ifndef REVERTFS_KERNEL_WIRE_H
#define REVERTFS_KERNEL_WIRE_H

#include <stdint.h>
#include <sys/ioctl.h>

enum wire_opcode {
	WIRE_LOOKUP = 1,
	WIRE_FORGET = 2,
	WIRE_GETATTR = 3,
	WIRE_SETATTR = 4,
	WIRE_SYMLINK = 6,
	WIRE_MKNOD = 8,
	WIRE_MKDIR = 9,
	WIRE_UNLINK = 10,
	WIRE_RMDIR = 11,
	WIRE_RENAME = 12,
	WIRE_LINK = 13,
	WIRE_OPEN = 14,
	WIRE_READ = 15,
	WIRE_WRITE = 16,
	WIRE_RELEASE = 18,
	WIRE_FSYNC = 20,
	WIRE_FLUSH = 25,
	WIRE_INIT = 26,
	WIRE_OPENDIR = 27,
	WIRE_READDIR = 28,
	WIRE_RELEASEDIR = 29,
	WIRE_CREATE = 35,
	WIRE_INTERRUPT = 36,
	WIRE_DESTROY = 38,
	WIRE_BATCH_FORGET = 42,
	WIRE_FALLOCATE = 43,
	WIRE_RENAME2 = 45,
	WIRE_LSEEK = 46,
	WIRE_COPY_FILE_RANGE = 47,
};

struct wire_request {
	uint32_t length, opcode;
	uint64_t unique, nodeid;
	uint32_t uid, gid, pid;
	uint16_t extensions, unused;
};

struct wire_reply {
	uint32_t length;
	int32_t error;
	uint64_t unique;
};

#define WIRE_RESENT (1ULL << 63) /* in a request's number: it was sent before, perhaps to an earlier daemon */

/* Notifications: replies to no request, with their kind in the place of the error. */
enum wire_notify {
	WIRE_NOTIFY_INVAL_INODE = 2,
	WIRE_NOTIFY_RESEND = 7, /* Linux 6.9 */
	WIRE_NOTIFY_PRUNE = 9,  /* Linux 6.18 */
};

struct wire_inval_inode {
	uint64_t nodeid;
	int64_t offset, length;
};

struct wire_prune {
	uint32_t count, unused; /* so many nodeids follow */
	uint64_t spare;
};

/* The flags of an INIT: the low 32 in `flags`; with WIRE_INIT_EXT, the high 32 in `flags2`. */
#define WIRE_ASYNC_READ (1ULL << 0)
#define WIRE_BIG_WRITES (1ULL << 5)
#define WIRE_DONT_MASK (1ULL << 6)
#define WIRE_AUTO_INVAL_DATA (1ULL << 12)
#define WIRE_ASYNC_DIO (1ULL << 15)
#define WIRE_PARALLEL_DIROPS (1ULL << 18)
#define WIRE_POSIX_ACL (1ULL << 20)
#define WIRE_MAX_PAGES (1ULL << 22)
#define WIRE_HANDLE_KILLPRIV_V2 (1ULL << 28)
#define WIRE_INIT_EXT (1ULL << 30)
#define WIRE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#define WIRE_PASSTHROUGH (1ULL << 37)
#define WIRE_HAS_RESEND (1ULL << 39)

#define WIRE_MAJOR 7

struct wire_init {
	uint32_t major, minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint32_t flags2; /* this and the rest: from protocol 7.36 on */
	uint32_t unused[11];
};

struct wire_init_reply {
	uint32_t major, minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write;
	uint32_t time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2;
	uint32_t max_stack_depth;
	uint32_t unused[6];
};

struct wire_attributes {
	uint64_t inode, size, blocks;
	uint64_t atime, mtime, ctime;
	uint32_t atime_ns, mtime_ns, ctime_ns;
	uint32_t mode, links, uid, gid, device, block_size;
	uint32_t flags;
};

struct wire_entry_reply {
	uint64_t nodeid, generation;
	uint64_t entry_valid, attributes_valid;
	uint32_t entry_valid_ns, attributes_valid_ns;
	struct wire_attributes attributes;
};

#define WIRE_OPEN_DIRECT_IO (1u << 0)
#define WIRE_OPEN_KEEP_CACHE (1u << 1)
#define WIRE_OPEN_NOFLUSH (1u << 5)
#define WIRE_OPEN_PARALLEL_DIRECT_WRITES (1u << 6)
#define WIRE_OPEN_PASSTHROUGH (1u << 7)

struct wire_open_reply {
	uint64_t handle;
	uint32_t flags;
	int32_t backing_id;
};

struct wire_create_reply {
	struct wire_entry_reply entry;
	struct wire_open_reply open;
};

#define WIRE_WRITE_CACHE (1u << 0) /* the kernel writes back what was changed in a mapping */

/* With HANDLE_KILLPRIV_V2 these ask the daemon to clear suid and sgid bits. */
#define WIRE_WRITE_KILL_PRIVILEGES (1u << 2)
#define WIRE_SETATTR_KILL_PRIVILEGES (1u << 11)

struct wire_write {
	struct wire_request request;
	uint64_t handle, offset;
	uint32_t size, flags;
	uint64_t lock_owner;
	uint32_t open_flags, unused;
	char data[];
};

struct wire_copy {
	struct wire_request request;
	uint64_t from_handle, from_offset;
	uint64_t to_nodeid, to_handle, to_offset;
	uint64_t length, flags;
};

struct wire_interrupt {
	struct wire_request request;
	uint64_t unique; /* of the request that is to be interrupted */
};

struct wire_setattr {
	struct wire_request request;
	uint32_t valid;
};

struct wire_backing {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

#define WIRE_BACKING_OPEN _IOW(229, 1, struct wire_backing)
#define WIRE_BACKING_CLOSE _IOW(229, 2, uint32_t)

_Static_assert(sizeof(struct wire_request) == 40, "fuse_in_header");
_Static_assert(sizeof(struct wire_reply) == 16, "fuse_out_header");
_Static_assert(sizeof(struct wire_copy) == 40 + 56, "fuse_copy_file_range_in");
_Static_assert(sizeof(struct wire_inval_inode) == 24, "fuse_notify_inval_inode_out");
_Static_assert(sizeof(struct wire_prune) == 16, "fuse_notify_prune_out");
_Static_assert(sizeof(struct wire_init) == 64, "fuse_init_in");
_Static_assert(sizeof(struct wire_init_reply) == 64, "fuse_init_out");
_Static_assert(sizeof(struct wire_entry_reply) == 128, "fuse_entry_out");
_Static_assert(sizeof(struct wire_create_reply) == 144, "fuse_entry_out and fuse_open_out");
_Static_assert(sizeof(struct wire_backing) == 16, "fuse_backing_map");

#endif
