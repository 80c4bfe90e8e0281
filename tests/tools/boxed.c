/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a program in the box of base/box.h tries.
 *
 *	boxed denied VICTIM    all that is to be refused, on this file and on the parent process
 *	boxed works            all that qemu-img needs; descriptor 3 may be written, 4 only read
 *	boxed leaves           leaves a process behind, which has descriptor 3 and all behind it
 *	boxed aborts           abort(3)
 *	boxed spins            uses processor time, without end
 *	boxed eats             uses 256 MiB
 *
 * What was not as it should be is named on stderr, and the exit status is 1.
 *
 * Built without sanitizers, whose own needs the box does not meet.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define WRITABLE "/proc/self/fd/3"
#define READABLE "/proc/self/fd/4"

static const char *victim;
static bool unlike; /* something is not as it should be */

static void complain(const char *what)
{
	fprintf(stderr, "%s: %s;", what, strerror(errno));
	unlike = true;
}

/* `result` is what the call returned. */
static void refused(const char *what, long result)
{
	if (result < 0 && (errno == EPERM || errno == EACCES))
		return;
	if (result >= 0)
		errno = 0;
	complain(what);
}

static void needed(const char *what, long result)
{
	if (result < 0)
		complain(what);
}

static void try_files(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s.new", victim);
	refused("read", open(victim, O_RDONLY));
	refused("write", open(victim, O_WRONLY));
	refused("open to truncate", open(victim, O_WRONLY | O_TRUNC));
	refused("create", open(path, O_RDWR | O_CREAT, 0600));
	refused("mkdir", mkdir(path, 0700));
	refused("mknod", mknod(path, S_IFIFO | 0600, 0));
	refused("symlink", symlink("x", path));
	refused("link", link(victim, path));
	refused("rename", rename(victim, path));
	refused("unlink", unlink(victim));
	refused("truncate", truncate(victim, 0));
	refused("run", execl(victim, victim, NULL));
	refused("list", open("/", O_RDONLY | O_DIRECTORY));
	refused("read what is the system's", open("/etc/passwd", O_RDONLY));
	refused("read another process", open("/proc/self/maps", O_RDONLY));
	refused("open a device", open("/dev/zero", O_RDWR));
	refused("write what was handed to be read", open(READABLE, O_WRONLY));
	refused("truncate what was handed to be read", truncate(READABLE, 0));
	refused("... by opening it to read", open(READABLE, O_RDONLY | O_TRUNC));
	refused("... or for neither", open(READABLE, O_ACCMODE | O_TRUNC));
	refused("open for neither reading nor writing", open(victim, O_ACCMODE));
	refused("write a program", open("/usr/bin/env", O_WRONLY));
}

static void try_attributes(void)
{
	struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	refused("chmod", chmod(victim, 04777));
	refused("fchmod", fchmod(3, 04777));
	refused("chown", chown(victim, 1, 1));
	refused("lchown", lchown(victim, 1, 1));
	refused("fchown", fchown(3, 1, 1));
	refused("setxattr", setxattr(victim, "user.x", "x", 1, 0));
	refused("fsetxattr", fsetxattr(3, "user.x", "x", 1, 0));
	refused("removexattr", removexattr(victim, "user.x"));
	refused("utimensat", utimensat(AT_FDCWD, victim, times, 0));
}

static void try_others(void)
{
	pid_t parent = getppid();
	int pair[2], pidfd = (int)syscall(SYS_pidfd_open, parent, 0);
	char byte;
	struct iovec here = { &byte, 1 }, there = { &byte, 1 };

	refused("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	refused("inet", socket(AF_INET, SOCK_STREAM, 0));
	refused("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	refused("kill", kill(parent, 0));
	refused("kill all", kill(-1, 0));
	refused("tgkill", syscall(SYS_tgkill, parent, parent, 0));
	refused("tkill", syscall(SYS_tkill, parent, 0));
	refused("pidfd", syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
	refused("own", fcntl(3, F_SETOWN, parent));
	refused("trace", ptrace(PTRACE_SEIZE, parent, 0, 0));
	refused("read memory", syscall(SYS_process_vm_readv, parent, &here, 1, &there, 1, 0));
	refused("limits", syscall(SYS_prlimit64, parent, 0, NULL, NULL));
	refused("process group", setpgid(0, 0));
	refused("session", setsid());
	refused("lock", flock(3, LOCK_UN));
	refused("keys", syscall(SYS_keyctl, 0, -3, 0, 0, 0));
}

static void try_kernel(void)
{
	struct open_how how = { .flags = O_RDONLY };
	unsigned char zeroes[128] = { 0 };
	long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (child == 0)
		_exit(0);
	refused("clone", child);
	refused("unshare", unshare(CLONE_NEWUSER));
	refused("mount", mount("none", victim, "tmpfs", 0, NULL));
	refused("umount", umount2(victim, 0));
	refused("chroot", chroot("/"));
	refused("open by handle", syscall(SYS_open_by_handle_at, 3, zeroes, O_RDONLY));
	refused("io_uring", syscall(SYS_io_uring_setup, 1, zeroes));
	refused("bpf", syscall(SYS_bpf, 0, zeroes, sizeof(zeroes)));
	refused("userfaultfd", syscall(SYS_userfaultfd, 0));
#ifdef __x86_64__
	if (syscall(0x40000000 | SYS_getpid) >= 0 || errno != ENOSYS)
		complain("x32");
#endif
	if (syscall(SYS_clone3, zeroes, sizeof(zeroes)) >= 0 || errno != ENOSYS)
		complain("clone3");
	if (syscall(SYS_openat2, AT_FDCWD, READABLE, &how, sizeof(how)) >= 0 || errno != ENOSYS)
		complain("openat2");
}

/* Also after execve(2), as this is. */
static void look_at_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	unsigned wanted = geteuid() == 0 ? 1U << CAP_DAC_OVERRIDE : 0;

	errno = 0;
	if (syscall(SYS_capget, &header, sets) < 0 || sets[0].effective != wanted || sets[0].permitted != wanted ||
	    sets[1].permitted)
		complain("capabilities");
}

static void *do_nothing(void *argument)
{
	return argument;
}

static void run_another(void)
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		execl("/usr/bin/env", "env", "true", NULL);
		_exit(1);
	}
	waitpid(child, &status, 0);
	errno = ECHILD;
	needed("run a program of the system", status == 0 ? 0 : -1);
}

static void work(void)
{
	int fd = open(WRITABLE, O_RDWR);
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };
	pthread_t thread;

	needed("open again to write", fd);
	needed("write", pwrite(fd, "x", 1, 4096));
	needed("truncate", ftruncate(fd, 1 << 20));
	needed("allocate", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536));
	needed("sync", fdatasync(fd));
	needed("lock", fcntl(fd, F_OFD_SETLK, &lock));
	needed("open again to truncate", open(WRITABLE, O_RDWR | O_TRUNC));
	needed("open again to read", open(READABLE, O_RDONLY));
	needed("/dev/null", open("/dev/null", O_RDWR));
	errno = pthread_create(&thread, NULL, do_nothing, NULL);
	needed("a thread", errno ? -1 : pthread_join(thread, NULL));
	run_another();
}

static void leave(void)
{
	if (fork() != 0)
		return;
	close(0);
	close(1);
	close(2);
	for (;;)
		pause();
}

static void eat(size_t size)
{
	char *memory = malloc(size);

	errno = ENOMEM;
	if (!memory)
		complain("memory");
	else
		memset(memory, 1, size);
	free(memory);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	victim = argc > 2 ? argv[2] : "";
	if (strcmp(what, "denied") == 0) {
		look_at_capabilities();
		try_attributes();
		try_others();
		try_kernel();
		try_files();
	} else if (strcmp(what, "works") == 0) {
		work();
	} else if (strcmp(what, "leaves") == 0) {
		leave();
	} else if (strcmp(what, "aborts") == 0) {
		abort();
	} else if (strcmp(what, "eats") == 0) {
		eat((size_t)256 << 20);
	}
	while (strcmp(what, "spins") == 0)
		;
	return unlike;
}
