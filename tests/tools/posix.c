/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does things to files in the working directory and prints what came of it: `posix SECTION`, `posix
 * random SEED COUNT`, `posix list`. Run once in the mount and once in a plain directory, the two
 * transcripts must be equal; so nothing is printed that differs between two directories of one
 * filesystem (inode numbers, times, addresses).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* "what: 3" or "what: ENOENT" */
static long say(long result, const char *format, ...) __attribute__((format(printf, 2, 3)));

static long say(long result, const char *format, ...)
{
	int error = errno;
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	if (result < 0)
		printf(": %s\n", strerrorname_np(error));
	else
		printf(": %ld\n", result);
	return result;
}

/* As say(), for what returns a number that means nothing. */
static int made(int fd, const char *what)
{
	say(fd < 0 ? -1 : 0, "%s", what);
	return fd;
}

static void show(const char *path)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st) < 0) {
		say(-1, "%s", path);
		return;
	}
	printf("%s: mode %o links %lu owner %u:%u rdev %lx", path, st.st_mode, (unsigned long)st.st_nlink, st.st_uid,
	       st.st_gid, (unsigned long)st.st_rdev);
	if (!S_ISDIR(st.st_mode))
		printf(" size %lld", (long long)st.st_size);
	n = S_ISLNK(st.st_mode) ? readlink(path, target, sizeof(target)) : -1;
	if (n >= 0)
		printf(" -> %.*s", (int)n, target);
	putchar('\n');
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		say(-1, "put %s", path);
	if (fd >= 0)
		close(fd);
}

static void print_file(const char *path)
{
	char text[256];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (n < 0)
		say(-1, "cat %s", path);
	else
		printf("cat %s: '%.*s'\n", path, (int)n, text);
	if (fd >= 0)
		close(fd);
}

/* Of everything that can be read, holes included. */
static void print_sum(const char *path)
{
	static char block[65536];
	uint64_t hash = 0xcbf29ce484222325ULL, length = 0;
	int fd = open(path, O_RDONLY);
	ssize_t n;

	while (fd >= 0 && (n = read(fd, block, sizeof(block))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ (unsigned char)block[i]) * 0x100000001b3ULL;
		length += (uint64_t)n;
	}
	printf("sum %s: %016llx of %llu\n", path, (unsigned long long)hash, (unsigned long long)length);
	if (fd >= 0)
		close(fd);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_directory(const char *path)
{
	char *names[4096];
	size_t count = 0;
	DIR *dir = opendir(path);

	if (!dir) {
		say(-1, "ls %s", path);
		return;
	}
	for (struct dirent *e; count < COUNT(names) && (e = readdir(dir));) {
		if (asprintf(&names[count], "%s(%d)", e->d_name, e->d_type) >= 0)
			count++;
	}
	closedir(dir);
	qsort(names, count, sizeof(*names), compare_names);
	printf("ls %s:", path);
	for (size_t i = 0; i < count; i++) {
		printf(" %s", names[i]);
		free(names[i]);
	}
	putchar('\n');
}

static void touch(const char *path)
{
	put(path, "");
}

/* ---- sections */

static void section_create(void)
{
	static const mode_t modes[] = { 0, 0644, 0777, 04755, 02755, 06711, 01644, 07777 };
	char name[300];
	int fd;

	for (size_t i = 0; i < COUNT(modes); i++) {
		snprintf(name, sizeof(name), "m%o", modes[i]);
		umask(i & 1 ? 027 : 0);
		fd = made(open(name, O_RDWR | O_CREAT | O_EXCL, modes[i]), name);
		say(write(fd, "x", 1), "write");
		say(pread(fd, name + 200, 1, 0), "read");
		close(fd);
		show(name);
	}
	umask(022);
	made(open("m644", O_RDWR | O_CREAT | O_EXCL, 0600), "again, exclusive");
	fd = made(open("m644", O_RDWR | O_CREAT, 0600), "again");
	close(fd);
	show("m644");
	fd = made(open("m644", O_RDWR | O_TRUNC), "truncating");
	close(fd);
	show("m644");
	made(open("none/x", O_CREAT | O_RDWR, 0600), "in no directory");
	made(open("m644/x", O_CREAT | O_RDWR, 0600), "in a file");
	made(open("new/", O_CREAT | O_RDWR, 0600), "with a slash behind");
	made(open(".", O_RDWR), "directory for writing");
	made(open("m644", O_RDONLY | O_DIRECTORY), "file as a directory");
	memset(name, 'n', 256);
	name[255] = '\0';
	fd = made(open(name, O_CREAT | O_RDWR, 0600), "a name of 255");
	close(fd);
	name[255] = 'n';
	name[256] = '\0';
	made(open(name, O_CREAT | O_RDWR, 0600), "a name of 256");
	fd = made(open("\xff\n\t \"'\\x", O_CREAT | O_RDWR, 0600), "odd bytes");
	close(fd);
	print_directory(".");
}

static void section_directories(void)
{
	static const mode_t modes[] = { 0, 0700, 0777, 01777, 02755, 04755, 07777 };
	char name[32];

	for (size_t i = 0; i < COUNT(modes); i++) {
		snprintf(name, sizeof(name), "d%o", modes[i]);
		umask(i & 1 ? 077 : 0);
		say(mkdir(name, modes[i]), "mkdir %s", name);
		show(name);
	}
	umask(022);
	say(mkdir("d700", 0700), "mkdir again");
	say(mkdir("a", 0755), "mkdir a");
	say(mkdir("a/b", 0755), "mkdir a/b");
	say(mkdir("a/b/c", 0755), "mkdir a/b/c");
	touch("a/b/c/f");
	show("a");
	show("a/b");
	say(rmdir("a/b"), "rmdir a/b, not empty");
	say(unlink("a/b"), "unlink a/b");
	say(rmdir("a/b/c/f"), "rmdir of a file");
	say(rmdir("a/b/c/."), "rmdir .");
	say(rmdir("none"), "rmdir of nothing");
	say(unlink("a/b/c/f"), "unlink");
	say(rmdir("a/b/c"), "rmdir");
	show("a/b");
	say(chdir("a/b"), "chdir");
	say(rmdir("../b"), "rmdir of the working directory");
	made(open("x", O_CREAT | O_RDWR, 0600), "create in a removed directory");
	say(mkdir("x", 0700), "mkdir in a removed directory");
	print_directory(".");
	say(chdir("../.."), "chdir back");
	print_directory(".");
}

static void section_setgid(void)
{
	int fd;

	umask(0);
	say(mkdir("s", 0777), "mkdir");
	say(chown("s", (uid_t)-1, getuid() ? getgid() : 1234), "chgrp");
	say(chmod("s", 02777), "chmod");
	show("s");
	fd = made(open("s/f", O_CREAT | O_RDWR, 0664), "create");
	close(fd);
	fd = made(open("s/g", O_CREAT | O_RDWR, 02775), "create setgid");
	close(fd);
	say(mkdir("s/d", 0775), "mkdir");
	say(mkdir("s/d/e", 02755), "mkdir deeper");
	say(symlink("f", "s/l"), "symlink");
	say(mkfifo("s/p", 0664), "mkfifo");
	show("s/f");
	show("s/g");
	show("s/d");
	show("s/d/e");
	show("s/l");
	show("s/p");
}

static void section_links(void)
{
	char text[16];

	put("f", "content");
	say(link("f", "g"), "link");
	show("f");
	show("g");
	put("g", "other");
	print_file("f");
	say(link("f", "g"), "link onto a name");
	say(link("none", "h"), "link of nothing");
	say(mkdir("d", 0755), "mkdir");
	say(link("d", "h"), "link of a directory");
	say(unlink("f"), "unlink");
	show("g");
	say(symlink("g", "s"), "symlink");
	say(symlink("nowhere", "dangling"), "symlink to nothing");
	say(symlink("loop", "loop"), "symlink to itself");
	say(symlink("", "empty"), "empty symlink");
	show("s");
	print_file("s");
	print_file("dangling");
	print_file("loop");
	say(readlink("s", text, 1), "readlink into one byte");
	say(readlink("g", text, sizeof(text)), "readlink of a file");
	say(linkat(AT_FDCWD, "s", AT_FDCWD, "t", 0), "link of a symlink");
	say(linkat(AT_FDCWD, "s", AT_FDCWD, "u", AT_SYMLINK_FOLLOW), "link of what a symlink points to");
	show("t");
	show("u");
	show("s");
	made(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0600), "exclusively create what a symlink points to");
	made(open("s", O_RDWR | O_NOFOLLOW), "open a symlink");
	close(made(open("dangling", O_RDWR | O_CREAT, 0600), "create what a symlink points to"));
	show("nowhere");
	say(lchown("s", 1, 1), "lchown");
	say(unlink("s"), "unlink the symlink");
	show("g");
	print_directory(".");
}

static void try_rename(const char *from, const char *to, unsigned flags)
{
	say(renameat2(AT_FDCWD, from, AT_FDCWD, to, flags), "rename %s %s %u", from, to, flags);
}

static void section_rename(void)
{
	mkdir("a", 0755);
	mkdir("b", 0755);
	mkdir("full", 0755);
	touch("full/x");
	put("f", "f");
	put("g", "g");
	try_rename("f", "h", 0);
	try_rename("f", "h", 0);
	try_rename("h", "g", RENAME_NOREPLACE);
	try_rename("h", "g", 0);
	print_file("g");
	try_rename("g", "a/g", RENAME_NOREPLACE);
	try_rename("a", "full", 0);
	try_rename("a", "b", 0);
	show("b/g");
	try_rename("b", "b/g/x", 0);
	try_rename("b", "b/x", 0);
	try_rename("full", "b/full", 0);
	try_rename("b/full", "b/g", 0);
	try_rename("b/g", "b/full", 0);
	put("p", "p");
	put("q", "q");
	try_rename("p", "q", RENAME_EXCHANGE);
	print_file("p");
	print_file("q");
	try_rename("p", "b", RENAME_EXCHANGE);
	show("p");
	show("b");
	show("p/full/x");
	try_rename("p", "nothing", RENAME_EXCHANGE);
	try_rename("p", "p", 0);
	try_rename("q", "q", 0);
	say(link("q", "r"), "link");
	try_rename("q", "r", 0);
	show("q");
	try_rename("p", ".", 0);
	try_rename(".", "p", 0);
	try_rename("q", "none/q", 0);
	try_rename("q", "z", RENAME_EXCHANGE | RENAME_NOREPLACE);
	try_rename("q", "z", 128);
	print_directory(".");
	print_directory("p");
}

static void section_unlinked(void)
{
	char text[16] = "";
	struct stat st;
	int fd = made(open("f", O_CREAT | O_RDWR, 0600), "create"), fd2;

	say(write(fd, "before", 6), "write");
	fd2 = made(open("f", O_RDONLY), "open again");
	say(unlink("f"), "unlink");
	show("f");
	say(pwrite(fd, "after!", 6, 0), "write");
	say(pread(fd2, text, sizeof(text), 0), "read");
	printf("%s\n", text);
	say(ftruncate(fd, 3), "truncate");
	say(fchmod(fd, 0640), "chmod");
	say(fsync(fd), "fsync");
	say(fstat(fd, &st), "fstat");
	printf("links %lu size %lld mode %o\n", (unsigned long)st.st_nlink, (long long)st.st_size, st.st_mode);
	touch("f");
	show("f");
	say(fstat(fd2, &st), "fstat");
	printf("links %lu size %lld\n", (unsigned long)st.st_nlink, (long long)st.st_size);
	close(fd);
	close(fd2);
}

static void section_chown_nothing(void)
{
	umask(0);
	put("f", "");
	say(chmod("f", 06755), "chmod");
	say(chown("f", (uid_t)-1, (gid_t)-1), "chown to nobody new");
	show("f");
}

static void section_attributes(void)
{
	const struct timespec times[] = { { 1, 2 }, { 1000000000, 999999999 } };
	const struct timespec omit[] = { { 0, UTIME_OMIT }, { 5, 6 } };
	struct stat st, later;
	int fd;

	umask(0);
	put("f", "0123456789");
	for (mode_t mode = 0; mode <= 07777; mode += 0771) {
		say(chmod("f", mode), "chmod %o", mode);
		show("f");
	}
	say(chmod("f", 06755), "chmod");
	say(chown("f", 17, 18), "chown");
	show("f");
	say(chown("f", 0, 0), "chown back");
	say(chmod("f", 0644), "chmod");
	say(utimensat(AT_FDCWD, "f", times, 0), "utimens");
	stat("f", &st);
	printf("%ld.%09ld %ld.%09ld\n", st.st_atim.tv_sec, st.st_atim.tv_nsec, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	say(utimensat(AT_FDCWD, "f", omit, 0), "utimens, one omitted");
	stat("f", &st);
	printf("%ld.%09ld %ld.%09ld\n", st.st_atim.tv_sec, st.st_atim.tv_nsec, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	say(utimensat(AT_FDCWD, "f", NULL, 0), "utimens, now");
	stat("f", &later);
	printf("%d\n", later.st_mtim.tv_sec > st.st_mtim.tv_sec);
	say(symlink("f", "l"), "symlink");
	say(utimensat(AT_FDCWD, "l", times, AT_SYMLINK_NOFOLLOW), "utimens of a symlink");
	lstat("l", &st);
	printf("%ld.%09ld\n", st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	say(fchmodat(AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW), "chmod of a symlink");
	mkdir("d", 0755);
	say(utimensat(AT_FDCWD, "d", times, 0), "utimens of a directory");
	stat("d", &st);
	printf("%ld\n", st.st_mtim.tv_sec);
	touch("d/x");
	stat("d", &st);
	printf("a new entry is seen in the directory's mtime: %d\n", st.st_mtim.tv_sec > 1000000000);
	say(truncate("f", 4), "truncate");
	print_file("f");
	say(truncate("f", 8), "truncate to more");
	show("f");
	print_sum("f");
	say(truncate("f", -1), "truncate to less than nothing");
	say(truncate("d", 0), "truncate a directory");
	say(truncate("none", 0), "truncate nothing");
	chmod("f", 06777);
	fd = open("f", O_WRONLY);
	say(write(fd, "x", 1), "write to a suid file");
	close(fd);
	show("f");
	chmod("f", 06777);
	say(truncate("f", 1), "truncate a suid file");
	show("f");
	chmod("f", 06777);
	close(open("f", O_WRONLY | O_TRUNC));
	show("f");
}

static void print_xattrs(const char *path)
{
	char list[4096], value[256];
	char *names[64];
	size_t count = 0;
	ssize_t n = llistxattr(path, list, sizeof(list));

	say(n < 0 ? n : 0, "listxattr %s", path);
	for (char *p = list; n > 0 && p < list + n && count < COUNT(names); p += strlen(p) + 1)
		names[count++] = p;
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 0; i < count; i++) {
		ssize_t size = lgetxattr(path, names[i], value, sizeof(value));

		printf("  %s = '%.*s'\n", names[i], (int)(size < 0 ? 0 : size), value);
	}
}

static void section_xattrs(void)
{
	static const char *const paths[] = { "f", "d", "l" };
	char value[256], large[5000];

	touch("f");
	mkdir("d", 0755);
	say(symlink("f", "l"), "symlink");
	memset(large, 'v', sizeof(large));
	for (size_t i = 0; i < COUNT(paths); i++) {
		const char *path = paths[i];

		say(lsetxattr(path, "user.a", "one", 3, 0), "set user.a of %s", path);
		say(lsetxattr(path, "trusted.a", "two", 3, 0), "set trusted.a of %s", path);
		say(lsetxattr(path, "trusted.empty", "", 0, 0), "set an empty one");
		say(lsetxattr(path, "security.x", "three", 5, 0), "set security.x");
		say(lsetxattr(path, "user.a", "four", 4, XATTR_CREATE), "create, there");
		say(lsetxattr(path, "trusted.b", "four", 4, XATTR_REPLACE), "replace, not there");
		say(lsetxattr(path, "trusted.a", "five", 4, XATTR_REPLACE), "replace");
		say(lsetxattr(path, "strange.a", "x", 1, 0), "set strange.a");
		say(lsetxattr(path, "user.", "x", 1, 0), "set user.");
		say(lgetxattr(path, "trusted.a", value, 2), "get into too little");
		say(lgetxattr(path, "trusted.a", value, 0), "ask for the size");
		say(lgetxattr(path, "trusted.none", value, sizeof(value)), "get what is not there");
		say(lgetxattr(path, "system.posix_acl_access", value, sizeof(value)), "get the ACL");
		say(llistxattr(path, value, 3), "list into too little");
		print_xattrs(path);
		say(lremovexattr(path, "trusted.a"), "remove");
		say(lremovexattr(path, "trusted.a"), "remove again");
		say(lsetxattr(path, "trusted.large", large, 2000, 0), "set a large one");
		say(lgetxattr(path, "trusted.large", large, sizeof(large)), "get it");
		print_xattrs(path);
	}
}

static void print_map(int fd)
{
	off_t end = lseek(fd, 0, SEEK_END), at = 0;

	printf("map:");
	while (at < end) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		printf(" %lld-%lld", (long long)data, (long long)hole);
		at = hole;
	}
	printf(" of %lld\n", (long long)end);
	say(lseek(fd, end, SEEK_DATA), "data behind the end");
	say(lseek(fd, end, SEEK_HOLE), "hole behind the end");
}

static void section_holes(void)
{
	static const struct {
		const char *name;
		int mode;
	} modes[] = {
		{ "allocate", 0 },
		{ "allocate, keeping the size", FALLOC_FL_KEEP_SIZE },
		{ "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
		{ "punch without keeping the size", FALLOC_FL_PUNCH_HOLE },
		{ "zero", FALLOC_FL_ZERO_RANGE },
		{ "zero, keeping the size", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE },
	};
	static char data[1 << 20];
	int fd = open("f", O_CREAT | O_RDWR, 0600);

	memset(data, 'd', sizeof(data));
	say(pwrite(fd, data, sizeof(data), 0), "write");
	say(pwrite(fd, data, 4096, 8 << 20), "write further on");
	say(fsync(fd), "fsync");
	print_map(fd);
	for (size_t i = 0; i < COUNT(modes); i++) {
		say(fallocate(fd, modes[i].mode, (off_t)(128 + i * 64) << 10, 32 << 10), "%s", modes[i].name);
		say(fallocate(fd, modes[i].mode, (off_t)(9 << 20) + (off_t)(i << 16), 32 << 10), "%s, behind the end",
		    modes[i].name);
		say(fsync(fd), "fsync");
		show("f");
	}
	print_map(fd);
	print_sum("f");
	say(fallocate(fd, 0, 0, 0), "allocate nothing");
	say(fallocate(fd, 0, -1, 10), "allocate before the start");
	close(fd);
	fd = open("f", O_RDONLY);
	say(fallocate(fd, 0, 0, 4096), "allocate without the right to write");
	close(fd);
}

static void section_append(void)
{
	int a = open("f", O_CREAT | O_WRONLY | O_APPEND, 0600), b = open("f", O_WRONLY | O_APPEND),
	    c = open("f", O_RDWR);

	for (int i = 0; i < 10; i++) {
		say(write(a, "a", 1), "a");
		say(write(b, "bb", 2), "b");
	}
	say(pwrite(a, "pp", 2, 0), "pwrite goes to the end");
	print_file("f");
	say(pwrite(c, "c", 1, 0), "c");
	say(ftruncate(c, 5), "truncate");
	say(write(a, "x", 1), "a");
	print_file("f");
	show("f");
	say(fcntl(c, F_SETFL, O_APPEND), "O_APPEND from here on");
	say(write(c, "y", 1), "c");
	print_file("f");
	say(fcntl(c, F_SETFL, 0), "and no longer");
	say(pwrite(c, "z", 1, 1), "c");
	print_file("f");
	say(write(open("f", O_RDONLY), "x", 1), "write to what was opened for reading");
	say(read(a, &(char){ 0 }, 1), "read what was opened for writing");
}

static void section_large(void)
{
	static char data[3 << 20], back[3 << 20];
	const off_t far = (off_t)5 << 40;
	int fd = open("f", O_CREAT | O_RDWR, 0600);

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 31 + (i >> 12));
	say(pwrite(fd, data, sizeof(data), 12345), "write 3M at once, unaligned");
	say(pread(fd, back, sizeof(back), 12345), "read 3M at once");
	printf("%d\n", memcmp(data, back, sizeof(data)));
	say(pwrite(fd, data, 70000, far), "write at 5T");
	memset(back, 0, sizeof(back));
	say(pread(fd, back, 80000, far), "read there");
	printf("%d\n", memcmp(data, back, 70000));
	show("f");
	say(ftruncate(fd, 1 << 20), "truncate");
	show("f");
	print_sum("f");
	for (size_t i = 0; i < 300; i++)
		say(pwrite(fd, data + i * 777, 1 + i * 13, (off_t)i * 2111), "write %zu", i);
	print_sum("f");
	close(fd);
}

static void section_copy(void)
{
	static char data[1 << 18];
	int from = open("from", O_CREAT | O_RDWR, 0600), to = open("to", O_CREAT | O_RDWR, 0600), reader;
	off_t at = 100, to_at = 5;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + (i >> 10));
	say(write(from, data, sizeof(data)), "write");
	say(copy_file_range(from, &at, to, &to_at, 1000, 0), "copy");
	printf("%lld %lld\n", (long long)at, (long long)to_at);
	at = 0, to_at = 1 << 20;
	say(copy_file_range(from, &at, to, &to_at, sizeof(data), 0), "copy all");
	at = sizeof(data) - 10, to_at = 0;
	say(copy_file_range(from, &at, to, &to_at, 4096, 0), "copy up to the end");
	say(copy_file_range(from, &at, to, &to_at, 4096, 0), "copy from the end");
	at = 0, to_at = 1000;
	say(copy_file_range(from, &at, from, &to_at, 2000, 0), "copy onto itself, overlapping");
	to_at = 200000;
	say(copy_file_range(from, &at, from, &to_at, 2000, 0), "copy within");
	reader = open("to", O_RDONLY);
	say(copy_file_range(from, &at, reader, &to_at, 10, 0), "copy into what was opened for reading");
	print_sum("from");
	print_sum("to");
	show("to");
}

static void section_mmap(void)
{
	long page = sysconf(_SC_PAGESIZE);
	int fd = open("f", O_CREAT | O_RDWR, 0600);
	char *shared, *private, text[8] = "";

	say(ftruncate(fd, page * 3), "truncate");
	shared = mmap(NULL, (size_t)page * 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, (size_t)page * 3, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (shared == MAP_FAILED || private == MAP_FAILED) {
		say(-1, "mmap");
		return;
	}
	strcpy(shared, "mapped");
	say(pread(fd, text, 6, 0), "read what was mapped");
	printf("'%s' '%s'\n", text, private);
	say(pwrite(fd, "write", 5, page), "write");
	printf("'%.5s'\n", shared + page);
	strcpy(private + page, "own");
	printf("'%s' '%.5s'\n", private + page, shared + page);
	strcpy(shared + page * 2, "synced");
	say(msync(shared, (size_t)page * 3, MS_SYNC), "msync");
	munmap(shared, (size_t)page * 3);
	munmap(private, (size_t)page * 3);
	close(fd);
	print_sum("f");
	fd = open("f", O_RDONLY);
	shared = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	say(shared == MAP_FAILED ? -1 : 0, "a writable map of what was opened for reading");
	close(fd);
}

static void section_locks(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5 };
	int a = open("f", O_CREAT | O_RDWR, 0600), b = open("f", O_RDWR);

	say(flock(a, LOCK_EX | LOCK_NB), "flock");
	say(flock(b, LOCK_EX | LOCK_NB), "flock by another");
	say(flock(a, LOCK_UN), "unlock");
	say(flock(b, LOCK_SH | LOCK_NB), "flock by another");
	say(fcntl(a, F_OFD_SETLK, &lock), "lock a range");
	say(fcntl(b, F_OFD_SETLK, &lock), "the same range by another");
	lock.l_start = 15;
	say(fcntl(b, F_OFD_SETLK, &lock), "another range by another");
	lock.l_start = 0;
	say(fcntl(b, F_OFD_GETLK, &lock), "who has it");
	printf("type %d start %lld length %lld\n", lock.l_type, (long long)lock.l_start, (long long)lock.l_len);
	close(a);
	lock = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5 };
	say(fcntl(b, F_OFD_SETLK, &lock), "the range when the other has closed");
	fflush(stdout);
	if (fork() == 0) {
		say(fcntl(b, F_SETLK, &lock), "a POSIX lock over it in another process");
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
}

static void section_special(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "socket" };
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0), fd, writer;
	char text[8] = "";

	umask(0);
	say(mkfifo("fifo", 0640), "mkfifo");
	fd = made(open("fifo", O_RDONLY | O_NONBLOCK), "open for reading");
	writer = made(open("fifo", O_WRONLY), "open for writing");
	say(write(writer, "pipe", 4), "write");
	say(read(fd, text, 4), "read");
	printf("%s\n", text);
	show("fifo");
	say(bind(server, (struct sockaddr *)&address, sizeof(address)), "bind");
	say(listen(server, 1), "listen");
	say(connect(client, (struct sockaddr *)&address, sizeof(address)), "connect");
	show("socket");
	say(mknod("null", S_IFCHR | 0666, 0x103), "mknod of a device");
	show("null");
	say(mknod("plain", S_IFREG | 0644, 0), "mknod of a file");
	show("plain");
	say(mknod("plain", S_IFREG | 0644, 0), "again");
	print_directory(".");
}

static void section_listing(void)
{
	char name[64];
	size_t count = 0;
	long middle = -1;
	DIR *dir;

	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "a-name-of-some-length-%d", i);
		touch(name);
	}
	mkdir("directory", 0755);
	say(symlink("x", "symlink"), "symlink");
	print_directory(".");
	dir = opendir(".");
	for (; readdir(dir); count++) {
		if (count == 1000)
			middle = telldir(dir);
	}
	printf("%zu entries\n", count);
	seekdir(dir, middle);
	for (count = 0; readdir(dir); count++)
		;
	printf("%zu behind the middle\n", count);
	touch("late");
	rewinddir(dir);
	for (count = 0; readdir(dir); count++)
		;
	printf("%zu after a new one\n", count);
	rewinddir(dir);
	for (struct dirent *e; (e = readdir(dir));) {
		if (strncmp(e->d_name, "a-name", 6) == 0 && unlink(e->d_name) < 0)
			say(-1, "unlink %s", e->d_name);
	}
	closedir(dir);
	print_directory(".");
}

static void section_direct(void)
{
	int fd = made(open("f", O_CREAT | O_RDWR | O_DIRECT, 0600), "open"), plain = open("f", O_RDWR);
	char *data = aligned_alloc(4096, 1 << 20), *back = aligned_alloc(4096, 1 << 20);

	for (size_t i = 0; i < 1 << 20; i++)
		data[i] = (char)(i * 3 + (i >> 9));
	say(pwrite(fd, data, 1 << 20, 0), "write");
	say(pread(plain, back, 1 << 20, 0), "read through the cache");
	printf("%d\n", memcmp(data, back, 1 << 20));
	say(pwrite(plain, "cached", 6, 4096), "write through the cache");
	say(pread(fd, back, 4096, 4096), "read");
	printf("%.6s\n", back);
	say(pwrite(fd, data, 4096, 4096), "write");
	say(pread(plain, back, 4096, 4096), "read through the cache");
	printf("%d\n", memcmp(data, back, 4096));
	say(pread(fd, back, 8192, (1 << 20) - 4096), "read over the end");
	print_sum("f");
	close(fd);
	close(plain);
	free(data);
	free(back);
}

static void section_statfs(void)
{
	struct statvfs st;

	say(statvfs(".", &st), "statvfs");
	printf("%lu %lu %lu %lu\n", (unsigned long)st.f_blocks, (unsigned long)st.f_files, st.f_namemax, st.f_frsize);
	touch("f");
	say(statvfs("f", &st), "statvfs of a file");
	printf("%lu\n", (unsigned long)st.f_blocks);
}

/* Run as somebody who owns nothing here but "own"; the script has prepared the rest. */
static void section_permissions(void)
{
	static const char *const names[] = { "rw-root", "r-root",  "secret",        "group",   "own",   "dir-r/x",
					     "dir-x/x", "dir-0/x", "sticky/theirs", "acl-yes", "acl-no" };
	const struct timespec times[] = { { 1, 2 }, { 3, 4 } };

	for (size_t i = 0; i < COUNT(names); i++) {
		const char *name = names[i];

		printf("-- %s\n", name);
		close(made(open(name, O_RDONLY), "read"));
		close(made(open(name, O_WRONLY), "write"));
		close(made(open(name, O_RDONLY | O_TRUNC), "truncate by open"));
		say(truncate(name, 1), "truncate");
		say(chmod(name, 0644), "chmod");
		say(chown(name, 1, (gid_t)-1), "chown");
		say(chown(name, (uid_t)-1, getegid()), "chgrp");
		say(utimensat(AT_FDCWD, name, times, 0), "utimens");
		say(utimensat(AT_FDCWD, name, NULL, 0), "utimens, now");
		say(setxattr(name, "user.x", "x", 1, 0), "setxattr");
		say(setxattr(name, "trusted.x", "x", 1, 0), "setxattr, trusted");
		say(access(name, R_OK | W_OK), "access");
		say(link(name, "dir-w/link"), "link");
		say(rename(name, "dir-w/moved"), "rename");
		rename("dir-w/moved", name);
		show(name);
	}
	close(made(open("new", O_CREAT | O_RDWR, 0666), "create where one may not"));
	close(made(open("dir-w/new", O_CREAT | O_RDWR, 06777), "create where one may"));
	say(mkdir("dir-w/d", 0777), "mkdir");
	say(symlink("x", "dir-w/l"), "symlink");
	say(mknod("dir-w/null", S_IFCHR | 0666, 0x103), "mknod");
	say(mkfifo("dir-w/fifo", 0666), "mkfifo");
	show("dir-w/new");
	show("dir-w/d");
	show("dir-w/l");
	show("dir-w/fifo");
	say(unlink("sticky/theirs"), "unlink in a sticky directory");
	print_directory("dir-r");
	print_directory("dir-x");
	print_directory("dir-w");
}

/* ---- random */

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*state >> 33);
}

static void random_path(uint64_t *state, char path[64])
{
	static const char *const parts[] = { "a", "b", "c", "d" };
	unsigned depth = next_random(state) % 3 + 1;

	path[0] = '\0';
	while (depth--) {
		strcat(path, parts[next_random(state) % COUNT(parts)]);
		if (depth)
			strcat(path, "/");
	}
}

static void random_io(uint64_t *state, const char *path)
{
	static const int flags[] = { O_RDWR, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_APPEND | O_CREAT,
				     O_RDWR | O_TRUNC };
	char data[3000];
	int fd = open(path, flags[next_random(state) % COUNT(flags)], 0600 | (next_random(state) & 0177));

	made(fd, "open");
	if (fd < 0)
		return;
	memset(data, (int)('a' + next_random(state) % 26), sizeof(data));
	for (unsigned i = next_random(state) % 4; i; i--)
		say(pwrite(fd, data, next_random(state) % sizeof(data), next_random(state) % 20000), "write");
	if (next_random(state) % 4 == 0)
		say(ftruncate(fd, next_random(state) % 20000), "truncate");
	if (next_random(state) % 4 == 0)
		say(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, next_random(state) % 9000, 5000),
		    "punch");
	close(fd);
	print_sum(path);
}

static void random_step(uint64_t *state)
{
	char path[64], other[64];

	random_path(state, path);
	random_path(state, other);
	switch (next_random(state) % 12) {
	case 0:
		say(mkdir(path, 0700 | (next_random(state) & 077)), "mkdir %s", path);
		break;
	case 1:
		say(rmdir(path), "rmdir %s", path);
		break;
	case 2:
		say(unlink(path), "unlink %s", path);
		break;
	case 3:
	case 4:
		try_rename(path, other, next_random(state) % 3);
		break;
	case 5:
		say(link(path, other), "link %s %s", path, other);
		break;
	case 6:
		say(symlink(other, path), "symlink %s %s", other, path);
		break;
	case 7:
		say(lsetxattr(path, "trusted.r", other, strlen(other), 0), "setxattr %s", path);
		break;
	case 8:
		say(lchown(path, next_random(state) % 3, next_random(state) % 3), "chown %s", path);
		break;
	case 9:
		print_directory(path);
		break;
	default:
		printf("%s ", path);
		random_io(state, path);
	}
	show(path);
	show(other);
}

static void print_tree(const char *path, int depth)
{
	struct stat st;
	DIR *dir;

	show(path);
	if (lstat(path, &st) < 0)
		return;
	print_xattrs(path);
	if (S_ISREG(st.st_mode))
		print_sum(path);
	if (!S_ISDIR(st.st_mode) || depth > 4)
		return;
	print_directory(path);
	dir = opendir(path);
	for (const char *name = "abcd"; dir && *name; name++) {
		char below[256];

		snprintf(below, sizeof(below), "%s/%c", path, *name);
		print_tree(below, depth + 1);
	}
	if (dir)
		closedir(dir);
}

static void run_random(uint64_t seed, unsigned long count)
{
	umask(022);
	for (unsigned long i = 0; i < count; i++) {
		printf("%lu. ", i);
		random_step(&seed);
	}
	print_tree(".", 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} sections[] = {
	{ "create", section_create },
	{ "directories", section_directories },
	{ "setgid", section_setgid },
	{ "links", section_links },
	{ "rename", section_rename },
	{ "unlinked", section_unlinked },
	{ "attributes", section_attributes },
	{ "chown-nothing", section_chown_nothing },
	{ "xattrs", section_xattrs },
	{ "holes", section_holes },
	{ "append", section_append },
	{ "large", section_large },
	{ "copy", section_copy },
	{ "mmap", section_mmap },
	{ "locks", section_locks },
	{ "special", section_special },
	{ "listing", section_listing },
	{ "direct", section_direct },
	{ "statfs", section_statfs },
	{ "permissions", section_permissions },
};

/*
 * What a FUSE filesystem refuses and a plain directory does not: 0 when it works, else the errno's
 * name on stderr.
 */
static int refused(long result)
{
	if (result >= 0)
		return 0;
	fprintf(stderr, "%s\n", strerrorname_np(errno));
	return 1;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	if (argc == 3 && strcmp(argv[1], "tmpfile") == 0)
		return refused(open(argv[2], O_TMPFILE | O_RDWR, 0600));
	if (argc == 4 && strcmp(argv[1], "whiteout") == 0)
		return refused(renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3], RENAME_WHITEOUT));
	if (argc == 4 && strcmp(argv[1], "random") == 0) {
		run_random(strtoull(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
		return 0;
	}
	for (size_t i = 0; i < COUNT(sections); i++) {
		if (argc == 2 && strcmp(argv[1], "list") == 0)
			puts(sections[i].name);
		if (argc == 2 && strcmp(argv[1], sections[i].name) == 0) {
			sections[i].run();
			return 0;
		}
	}
	return argc == 2 && strcmp(argv[1], "list") == 0 ? 0 : 2;
}
