/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filesystem ids decide who owns a new file, and each thread has its own. Changing fsuid from 0
 * also drops the capabilities over files, so these are set again: the kernel has already decided
 * that the caller may create here (default_permissions), and a second check, which would not know
 * the caller's supplementary groups, would refuse what is allowed. The alternative, fchown()
 * afterwards, has a moment in which the file is root's, and a crash would leave it so.
 */
#include "creator.h"

#include <errno.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

struct capabilities {
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
};

int creator_enter(const struct creator *creator)
{
	struct capabilities own = { .header = { .version = _LINUX_CAPABILITY_VERSION_3 } };
	int error;

	if (syscall(SYS_capget, &own.header, own.data) < 0)
		return -errno;
	setfsgid(creator->gid);
	setfsuid(creator->uid);
	if (creator->uid == 0 || syscall(SYS_capset, &own.header, own.data) == 0)
		return 0;
	error = -errno;
	creator_leave();
	return error;
}

void creator_leave(void)
{
	setfsuid(0);
	setfsgid(0);
}
