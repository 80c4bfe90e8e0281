/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Landlock's rules lie on inodes: a handed file is found by its own inode, wherever its name leads
 * and even when it has none any more. The numbers of rights and calls are written out here, since
 * headers that are older than the running kernel lack some.
 */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define RULESET_VERSION 1U /* a flag: say the version instead of making a ruleset */
#define RULE_PATH_BENEATH 1

#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_VERSION_1 ((1ULL << 13) - 1) /* those, and making and removing of each kind */
#define FS_REFER (1ULL << 13)           /* version 2: to other directories, which version 1 always denies */
#define FS_TRUNCATE (1ULL << 14)        /* version 3 */
#define FS_IOCTL_DEV (1ULL << 15)       /* version 5 */
#define NET_BIND_AND_CONNECT 3ULL       /* version 4: of TCP */
#define SCOPE_SOCKETS_AND_SIGNALS 3ULL  /* version 6: none out of the box */

#define FIRST_LINE_MAX 256 /* of a script, as in the kernel's BINPRM_BUF_SIZE */

/* struct landlock_ruleset_attr: what it handles, it denies unless a rule allows it. */
struct ruleset {
	uint64_t fs, net, scoped;
};

/* struct landlock_path_beneath_attr */
struct rule {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

int box_landlock(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);

	if (version >= 0)
		return (int)version;
	return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
}

/* All that the version knows: what is not handled is allowed. */
static struct ruleset all_of(int version)
{
	return (struct ruleset){
		.fs = FS_VERSION_1 | (version >= 2 ? FS_REFER : 0) | (version >= 3 ? FS_TRUNCATE : 0) |
		      (version >= 5 ? FS_IOCTL_DEV : 0),
		.net = version >= 4 ? NET_BIND_AND_CONNECT : 0,
		.scoped = version >= 6 ? SCOPE_SOCKETS_AND_SIGNALS : 0,
	};
}

static int allow(int ruleset, int fd, uint64_t rights)
{
	struct rule rule = { .allowed = rights, .fd = fd };

	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) == 0)
		return 0;
	/* A pipe or memory without a place in a filesystem, which Landlock does not restrict. */
	return errno == EBADFD ? 0 : -errno;
}

/* What is not there needs no rule. */
static int allow_path(int ruleset, const char *path, uint64_t rights)
{
	CLEANUP(close_fdp) int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat stat;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	if (fstat(fd, &stat) < 0)
		return -errno;
	return allow(ruleset, fd, S_ISDIR(stat.st_mode) ? rights : rights & ~FS_READ_DIR);
}

static int allow_system(int ruleset)
{
	static const char *const places[] = { "/usr", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/gnu/store" };
	int r = allow_path(ruleset, "/etc/ld.so.cache", FS_READ_FILE);

	if (r == 0)
		r = allow_path(ruleset, "/dev/null", FS_READ_FILE | FS_WRITE_FILE);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(places); i++)
		r = allow_path(ruleset, places[i], FS_EXECUTE | FS_READ_FILE | FS_READ_DIR);
	return r;
}

/* The program, and the interpreter that the first line of a script names. */
static int allow_program(int ruleset, const char *path)
{
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char line[FIRST_LINE_MAX] = "", *interpreter = line + 2;
	int r = allow_path(ruleset, path, FS_EXECUTE | FS_READ_FILE);

	if (r < 0 || fd < 0 || read(fd, line, sizeof(line) - 1) < 2 || memcmp(line, "#!", 2) != 0)
		return r;
	interpreter += strspn(interpreter, " \t");
	interpreter[strcspn(interpreter, " \t\n")] = '\0';
	return allow_path(ruleset, interpreter, FS_EXECUTE | FS_READ_FILE);
}

static int allow_files(int ruleset, const int *files, size_t count, uint64_t handled)
{
	for (size_t i = 0; i < count; i++) {
		int flags = fcntl(files[i], F_GETFL);
		bool writable = (flags & O_ACCMODE) != O_RDONLY;
		int r = flags < 0 ? -errno
				  : allow(ruleset, files[i],
					  FS_READ_FILE | (writable ? FS_WRITE_FILE | (FS_TRUNCATE & handled) : 0));

		if (r < 0)
			return r;
	}
	return 0;
}

static int make_ruleset(int version, const char *path, const int *files, size_t count, int *ret_ruleset)
{
	const struct ruleset all = all_of(version);
	CLEANUP(close_fdp) int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
	int r;

	if (ruleset < 0)
		return -errno;
	r = allow_system(ruleset);
	if (r == 0)
		r = allow_program(ruleset, path);
	if (r == 0)
		r = allow_files(ruleset, files, count, all.fs);
	if (r == 0)
		*ret_ruleset = steal_fd(&ruleset);
	return r;
}

int box_make(struct box *box, const char *path, const int *files, size_t count, const struct box_limits *limits,
	     struct sentence *error)
{
	int version = box_landlock(), r = version;

	if (limits->landlock && version > limits->landlock)
		r = version = limits->landlock;
	box->ruleset = -1;
	box->limits = *limits;
	box_filter_make(&box->filter);
	if (version > 0)
		r = make_ruleset(version, path, files, count, &box->ruleset);
	if (r == -EPERM)
		return report(
			error, r,
			"its box cannot be made: Operation not permitted; a filter of system calls, such as a unit's SystemCallFilter=, "
			"must allow landlock_create_ruleset, landlock_add_rule and landlock_restrict_self");
	return r < 0 ? report(error, r, "its box cannot be made: %s", error_text(r)) : 0;
}

void box_clear(struct box *box)
{
	close_fdp(&box->ruleset);
}

/*
 * A process of root's has what is left here after execve(2), too: the kernel gives root all of the
 * bounding set, but with no_new_privs no more than the process had (cap_bprm_creds_from_file()).
 */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };
	uint32_t kept;

	if (syscall(SYS_capget, &header, sets) < 0)
		return -errno;
	kept = sets[0].permitted & (1U << CAP_DAC_OVERRIDE);
	memset(sets, 0, sizeof(sets));
	sets[0].permitted = sets[0].effective = kept;
	return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

int box_enter(struct box *box)
{
	int r;

	if (setpgid(0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (box->ruleset >= 0 && syscall(SYS_landlock_restrict_self, box->ruleset, 0) < 0)
		return -errno;
	r = drop_capabilities();
	return r < 0 ? r : box_filter_enter(&box->filter);
}

static int limit(int resource, uint64_t soft, uint64_t hard)
{
	struct rlimit limits = { .rlim_cur = soft, .rlim_max = hard }, old;

	if (getrlimit(resource, &old) < 0)
		return -errno;
	if (limits.rlim_max > old.rlim_max)
		limits.rlim_max = old.rlim_max;
	if (limits.rlim_cur > limits.rlim_max)
		limits.rlim_cur = limits.rlim_max;
	return setrlimit(resource, &limits) < 0 ? -errno : 0;
}

/* RLIMIT_DATA counts what is private and writable; libraries and reserved addresses are neither. */
int box_limit(const struct box *box)
{
	const struct box_limits *limits = &box->limits;
	int r = limits->memory ? limit(RLIMIT_DATA, limits->memory, limits->memory) : 0;

	if (r == 0 && limits->cpu_s)
		r = limit(RLIMIT_CPU, limits->cpu_s, limits->cpu_s + 1); /* SIGXCPU, then SIGKILL */
	return r;
}
