/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * refusing ERRNO PROGRAM ARGUMENT...: run a program as if on a kernel without Landlock (38, ENOSYS)
 * or under a filter that does not allow it (1, EPERM): landlock_create_ruleset fails so.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define LANDLOCK_CREATE_RULESET 444 /* on each architecture */

int main(int argc, char **argv)
{
	unsigned error = argc > 2 ? (unsigned)atoi(argv[1]) & SECCOMP_RET_DATA : 0;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LANDLOCK_CREATE_RULESET, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (!error) {
		fprintf(stderr, "usage: refusing ERRNO PROGRAM ARGUMENT...\n");
		return 2;
	}
	/* Root needs no PR_SET_NO_NEW_PRIVS for it. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
		execvp(argv[2], argv + 2);
	perror("refusing");
	return 1;
}
