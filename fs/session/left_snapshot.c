/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When an external snapshot is taken, libvirt goes on with the snapshot's file, and the scratch is
 * its backing file from then on. A session that ends so leaves the scratch undecided (release.c).
 * The domain may then be started on the snapshot's file, which lies in the mount, but is no disk:
 * the session goes on, with the scratch below as it is, so that `virsh blockcommit` can bring all
 * of it into the scratch. Once it has, the domain's source is the disk again, and its end is that
 * of any session. Until then each end leaves the disk undecided.
 *
 * The file was the guest's: its header must name the disk, and nothing else, since libvirt follows
 * it. And a snapshot of an earlier life would give the guest a mixture: the scratch must be the one
 * that it was taken of, so none that was made after the file.
 */
#include "left_snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "beneath.h"
#include "qcow2.h"
#include "table.h"

static int open_snapshot(const struct disks *disks, const char *name)
{
	return io_open_beneath(disks->images_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

struct disk *left_snapshot_below(struct disks *disks, const char *name)
{
	CLEANUP(close_fdp) int fd = open_snapshot(disks, name);
	const char *mount = disks->options->mount;
	struct qcow2_header header;
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) || qcow2_read_header(fd, &header, NULL) < 0 ||
	    qcow2_check_alone(&header, NULL) < 0 || strcmp(header.backing_format, "qcow2") != 0 ||
	    !path_is_beneath(header.backing, mount) || strcmp(header.backing, mount) == 0)
		return NULL;
	return disks_find(disks, header.backing + strlen(mount) + 1);
}

/* When a file was made; false where the filesystem does not say. */
static bool birth_of(int fd, struct statx_timestamp *ret_time)
{
	struct statx found;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BTIME, &found) < 0 ||
	    !(found.stx_mask & STATX_BTIME))
		return false;
	*ret_time = found.stx_btime;
	return true;
}

static bool is_older_than_scratch(const struct participant *participant)
{
	CLEANUP(close_fdp) int fd = open_snapshot(participant->disk->disks, participant->item->name);
	struct statx_timestamp file, scratch;

	if (fd < 0 || !birth_of(fd, &file) || !birth_of(participant->disk->scratch->fd, &scratch))
		return fd < 0;
	return file.tv_sec < scratch.tv_sec || (file.tv_sec == scratch.tv_sec && file.tv_nsec < scratch.tv_nsec);
}

int left_snapshot_check(const struct participant *participant, const char *uuid, struct sentence *error)
{
	const struct disk *disk = participant->disk;
	const struct disk_record *record = &disk->record;

	if (record->fate == FATE_UNDECIDED && (record->fate_armed || record->fate_unread) &&
	    strcmp(record->fate_uuid, uuid) == 0 && disk->scratch && !is_older_than_scratch(participant))
		return 0;
	return report(
		error, -EINVAL,
		"'%s' is an external snapshot that was left on the disk '%s', which was reset or started since, or by "
		"another domain, so that what the snapshot has is of no use: set the domain's source back to '%s/%s' with "
		"'virsh edit', and remove the file",
		participant->item->name, disk->name, disk->disks->options->mount, disk->name);
}
