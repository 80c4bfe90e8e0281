/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * By statfs(2)'s number, from linux/magic.h or, where that has none, from the filesystem's source.
 *
 * A FUSE filesystem counts as shared, though ntfs-3g and many others are local: the kernel does not
 * know what is behind one. GlusterFS, MooseFS, ceph-fuse, s3fs and sshfs all are FUSE. virtiofs has
 * its number too.
 */
#include "filesystem.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/vfs.h>

#include "util.h"

static const struct filesystem {
	uint32_t type;
	const char *name;
	bool refuses_leases;
} shared[] = {
	{ 0x6969, "NFS", true },         { 0xff534d42, "SMB", true },       { 0xfe534d42, "SMB", true },
	{ 0x517b, "SMB", true },         { 0x65735546, "FUSE", false },     { 0x00c36400, "CephFS", false },
	{ 0x01161970, "GFS2", false },   { 0x7461636f, "OCFS2", false },    { 0x0bd00bd0, "Lustre", false },
	{ 0x01021997, "9p", false },     { 0x5346414f, "AFS", false },      { 0x6b414653, "AFS", false },
	{ 0x73757245, "Coda", false },   { 0x47504653, "GPFS", false },     { 0x19830326, "BeeGFS", false },
	{ 0x786f4256, "vboxsf", false }, { 0x20030528, "OrangeFS", false }, { 0xbacbacbc, "vmhgfs", false },
};

static const struct filesystem *find(int fd)
{
	struct statfs statfs;
	int r;

	while ((r = fstatfs(fd, &statfs)) < 0 && errno == EINTR)
		;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(shared); i++)
		if ((uint32_t)statfs.f_type == shared[i].type)
			return &shared[i];
	return NULL;
}

const char *filesystem_shared(int fd)
{
	const struct filesystem *filesystem = find(fd);

	return filesystem ? filesystem->name : NULL;
}

bool filesystem_refuses_leases(int fd)
{
	const struct filesystem *filesystem = find(fd);

	return filesystem && filesystem->refuses_leases;
}
