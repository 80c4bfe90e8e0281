/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The UUID of ext2 to ext4 and of btrfs is asked as statfs(2)'s f_fsid, which both have always made
 * of it (fs/ext4/super.c, fs/btrfs/super.c; btrfs mixes the subvolume's number in), so that the
 * answer is the same under every kernel. XFS puts a device number there, which changes, and is
 * asked by an ioctl that it has had since its beginning. An NFS client's handle has the server's in
 * it, which names the filesystem.
 */
#include "file_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "file.h"
#include "util.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

#define UUID_BYTES 16
#define HANDLE "handle:" /* then the filesystem, the type of the handle, and its bytes */

/* struct xfs_fsop_geom_v1 of xfs_fs.h, which never changes: only what is needed has its name. */
struct xfs_geometry {
	uint32_t sizes[8];
	uint64_t blocks[4];
	unsigned char uuid[UUID_BYTES];
	uint32_t rest[8];
};
#define XFS_GEOMETRY _IOR('X', 100, struct xfs_geometry)

static int append_hex(char *text, size_t size, const unsigned char *bytes, size_t count)
{
	size_t length = strlen(text);

	if (length + 2 * count >= size)
		return -ENAMETOOLONG;
	for (size_t i = 0; i < count; i++)
		snprintf(text + length + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

/* An ioctl needs an open file. */
static int xfs_uuid(int fd, char *text, size_t size)
{
	CLEANUP(close_fdp) int opened = file_open(fd, O_RDONLY | O_NONBLOCK);
	struct xfs_geometry geometry = { 0 };

	if (opened < 0)
		return opened;
	if (ioctl(opened, XFS_GEOMETRY, &geometry) < 0)
		return -errno;
	snprintf(text, size, "xfs-");
	return append_hex(text, size, geometry.uuid, sizeof(geometry.uuid));
}

/* A name that lasts as long as the filesystem, and whether a handle identifies a file of it. */
static int name_filesystem(int fd, char *text, size_t size, bool *ret_has_handles)
{
	struct statfs statfs;
	uint32_t id[2];

	*ret_has_handles = true;
	if (fstatfs(fd, &statfs) < 0)
		return -errno;
	memcpy(id, &statfs.f_fsid, sizeof(id));
	switch ((unsigned long)statfs.f_type) {
	case EXT4_SUPER_MAGIC: /* that of ext2 and ext3, too */
		snprintf(text, size, "ext-%08" PRIx32 "%08" PRIx32, id[0], id[1]);
		return 0;
	case BTRFS_SUPER_MAGIC:
		snprintf(text, size, "btrfs-%08" PRIx32 "%08" PRIx32, id[0], id[1]);
		return 0;
	case XFS_SUPER_MAGIC:
		return xfs_uuid(fd, text, size);
	case NFS_SUPER_MAGIC:
		snprintf(text, size, "nfs");
		return 0;
	default:
		*ret_has_handles = false;
		return 0;
	}
}

static int by_handle(int fd, const char *filesystem, char *identity, size_t size)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} found = { .handle.handle_bytes = MAX_HANDLE_SZ };
	int mount;

	if (name_to_handle_at(fd, "", &found.handle, &mount, AT_EMPTY_PATH) < 0)
		return -errno;
	if (snprintf(identity, size, HANDLE "%s:%d:", filesystem, found.handle.handle_type) >= (int)size)
		return -ENAMETOOLONG;
	return append_hex(identity, size, found.handle.f_handle, found.handle.handle_bytes);
}

static int by_birth(int fd, char *identity, size_t size)
{
	struct statx found;
	int length = 0;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO | STATX_BTIME, &found) < 0)
		return -errno;
	if (found.stx_mask & STATX_BTIME)
		length = snprintf(identity, size, "birth:%llu:%lld.%09u", (unsigned long long)found.stx_ino,
				  (long long)found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
	return length < (int)size ? 0 : -ENAMETOOLONG;
}

int file_identity(int fd, char *identity, size_t size)
{
	char filesystem[64] = "";
	bool has_handles;
	int r = name_filesystem(fd, filesystem, sizeof(filesystem), &has_handles);

	identity[0] = '\0';
	if (r < 0)
		return r;
	return has_handles ? by_handle(fd, filesystem, identity, size) : by_birth(fd, identity, size);
}

int file_identity_same_filesystem(const char *a, const char *b)
{
	size_t start = strlen(HANDLE);

	if (strncmp(a, HANDLE, start) != 0 || strncmp(b, HANDLE, start) != 0)
		return -EOPNOTSUPP;
	return strncmp(a, b, start + strcspn(a + start, ":") + 1) == 0;
}
