/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filesystem ids decide who owns a new file, and are a thread's own. Changing fsuid from 0
 * takes the rights over files out of the effective capabilities, so they are put back: whether the
 * caller may create here has been decided by the kernel (default_permissions), and a second check
 * without the caller's supplementary groups would refuse what is allowed. The alternative, fchown()
 * afterwards, leaves a moment, or a crash's leftover, in which the file is root's.
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
