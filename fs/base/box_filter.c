/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two tables, and the classic BPF that is made of them: for each row a comparison with the call's
 * number, and in the second of one argument.
 *
 * Calls are numbered for each architecture anew, so a call by way of another one (a 32-bit int
 * 0x80) ends the process. clone3 and openat2 have their flags in memory, where a filter cannot
 * look: they are answered ENOSYS, and callers fall back to clone and openat.
 */
#include "box_filter.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#define X32_CALLS 0x40000000U /* numbers from here on are x32's, which come with the same architecture */
#elif defined(__i386__)
#define ARCHITECTURE AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__arm__)
#define ARCHITECTURE AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && __BYTE_ORDER == __LITTLE_ENDIAN
#define ARCHITECTURE AUDIT_ARCH_PPC64LE
#elif defined(__s390x__)
#define ARCHITECTURE AUDIT_ARCH_S390X
#else
#error "box_filter.c: what is this architecture's AUDIT_ARCH?"
#endif

/* Newer than the headers of some systems; the same number on each architecture. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#endif
#ifndef SYS_removexattrat
#define SYS_removexattrat 466
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif
#ifndef SYS_file_setattr
#define SYS_file_setattr 469
#endif

#define NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#ifdef __s390x__
#define CLONE_FLAGS 1 /* clone's argument that has the flags */
#else
#define CLONE_FLAGS 0
#endif

/* These fail with EPERM whatever their arguments are. */
static const unsigned refused[] = {
	/* Others to talk to. */
	SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_sendto, SYS_sendmsg, SYS_sendmmsg,
	SYS_mq_open, SYS_mq_unlink,
#ifdef SYS_socketcall
	SYS_socketcall,
#endif
#ifdef SYS_ipc
	SYS_ipc,
#endif
#ifdef SYS_shmget
	SYS_shmget, SYS_shmat, SYS_shmctl, SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl, SYS_semget, SYS_semctl,
#endif
#ifdef SYS_semop
	SYS_semop,
#endif
#ifdef SYS_semtimedop
	SYS_semtimedop,
#endif
	/* Modes, owners, times and attributes. */
	SYS_fchmod, SYS_fchmodat, SYS_fchmodat2, SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_file_setattr,
#ifdef SYS_chmod
	SYS_chmod, SYS_chown, SYS_lchown, SYS_utimes,
#endif
#ifdef SYS_utime
	SYS_utime,
#endif
#ifdef SYS_futimesat
	SYS_futimesat,
#endif
#ifdef SYS_chown32
	SYS_chown32, SYS_lchown32, SYS_fchown32,
#endif
#ifdef SYS_utimensat_time64
	SYS_utimensat_time64,
#endif
	SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_setxattrat, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
	SYS_removexattrat,
	/* By path; Landlock covers truncate from version 3 on, of kernel 6.2. */
	SYS_truncate, SYS_open_by_handle_at,
#ifdef SYS_truncate64
	SYS_truncate64,
#endif
	/* To leave its process group (box.h), and locks of files that the daemon has open, too. */
	SYS_setpgid, SYS_setsid, SYS_flock,
	/* Other processes, most of which have the same uid. */
	SYS_tkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_pidfd_send_signal, SYS_pidfd_getfd, SYS_ptrace,
	SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_kcmp, SYS_setpriority, SYS_ioprio_set,
	SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setattr, SYS_keyctl, SYS_add_key, SYS_request_key,
	/* Namespaces and mounts. */
	SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree, SYS_open_tree_attr,
	SYS_move_mount, SYS_mount_setattr, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick,
	/* Much of the kernel that no copy needs; io_uring has an open and a connect of its own. */
	SYS_bpf, SYS_io_uring_setup, SYS_perf_event_open, SYS_userfaultfd, SYS_seccomp
};

enum test {
	IS,         /* refused where the argument's bits are the value */
	IS_NOT,     /* ... are anything else */
	IS_ANOTHER, /* ... are not the own pid: abort(3) and threads signal their own process */
};

#define ALL UINT32_MAX

/* And these where an argument is as told. */
static const struct refusal {
	unsigned call, argument;
	uint32_t bits; /* the argument's that are compared */
	enum test test;
	uint32_t value;
} refusals[] = {
	{ SYS_kill, 0, ALL, IS_ANOTHER, 0 },
	{ SYS_tgkill, 0, ALL, IS_ANOTHER, 0 },
	{ SYS_prlimit64, 0, ALL, IS_NOT, 0 },
	{ SYS_clone, CLONE_FLAGS, NAMESPACES, IS_NOT, 0 },
	/*
	 * Landlock allows whatever is opened for neither reading nor writing; and before version 3
	 * it does not see that a file is emptied which is opened to be read.
	 */
	{ SYS_openat, 2, O_ACCMODE, IS, O_ACCMODE },
	{ SYS_openat, 2, O_ACCMODE | O_TRUNC, IS, O_RDONLY | O_TRUNC },
#ifdef SYS_open
	{ SYS_open, 1, O_ACCMODE, IS, O_ACCMODE },
	{ SYS_open, 1, O_ACCMODE | O_TRUNC, IS, O_RDONLY | O_TRUNC },
#endif
	/* Whom the kernel is to signal for a file. */
	{ SYS_fcntl, 1, ALL, IS, F_SETOWN },
	{ SYS_fcntl, 1, ALL, IS, F_SETOWN_EX },
	{ SYS_fcntl, 1, ALL, IS, F_SETSIG },
#ifdef SYS_fcntl64
	{ SYS_fcntl64, 1, ALL, IS, F_SETOWN },
	{ SYS_fcntl64, 1, ALL, IS, F_SETOWN_EX },
	{ SYS_fcntl64, 1, ALL, IS, F_SETSIG },
#endif
};

/* With twelve instructions around the rows. */
_Static_assert(ARRAY_SIZE(refused) * 2 + ARRAY_SIZE(refusals) * 6 + 12 <= BOX_FILTER_MAX,
	       "BOX_FILTER_MAX is too small");

static void add(struct box_filter *filter, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false)
{
	filter->code[filter->length++] =
		(struct sock_filter){ .code = code, .jt = if_true, .jf = if_false, .k = value };
}

static void add_load(struct box_filter *filter, size_t offset)
{
	add(filter, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void add_refuse(struct box_filter *filter, uint32_t error)
{
	add(filter, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error, 0, 0);
}

static void add_call(struct box_filter *filter, unsigned call, uint32_t error)
{
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
	add_refuse(filter, error);
}

/* The lower half of an argument: all that the kernel looks at in those of the table. */
static size_t argument_at(unsigned argument)
{
	return offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t) +
	       (__BYTE_ORDER == __BIG_ENDIAN ? sizeof(uint32_t) : 0);
}

/* Skip the next instruction, which refuses, where the argument is allowed. */
static void add_test(struct box_filter *filter, const struct refusal *refusal)
{
	bool refuses = refusal->test == IS; /* where they are equal */

	if (refusal->test == IS_ANOTHER)
		filter->self[filter->self_count++] = filter->length;
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, refusal->value, refuses ? 0 : 1, refuses ? 1 : 0);
}

static void add_refusal(struct box_filter *filter, const struct refusal *refusal)
{
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, refusal->call, 0, 5);
	add_load(filter, argument_at(refusal->argument));
	add(filter, BPF_ALU | BPF_AND | BPF_K, refusal->bits, 0, 0);
	add_test(filter, refusal);
	add_refuse(filter, EPERM);
	add_load(filter, offsetof(struct seccomp_data, nr));
}

void box_filter_make(struct box_filter *filter)
{
	filter->length = filter->self_count = 0;
	add_load(filter, offsetof(struct seccomp_data, arch));
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	add(filter, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
	add_load(filter, offsetof(struct seccomp_data, nr));
#ifdef X32_CALLS
	add(filter, BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 0, 1);
	add_refuse(filter, ENOSYS);
#endif
	add_call(filter, SYS_clone3, ENOSYS);
	add_call(filter, SYS_openat2, ENOSYS);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		add_call(filter, refused[i], EPERM);
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		add_refusal(filter, &refusals[i]);
	add(filter, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
}

int box_filter_enter(struct box_filter *filter)
{
	struct sock_fprog program = { .len = (unsigned short)filter->length, .filter = filter->code };

	for (size_t i = 0; i < filter->self_count; i++)
		filter->code[filter->self[i]].k = (uint32_t)getpid();
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}
