/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's list of mounts: which lines are mounts, what their fields say, and which of two
 * mounts at one place is on top. A mount that is taken for another would be unmounted by mistake.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mountinfo.h"
#include "util.h"

#define LINE "36 35 98:0 /sub /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"

/* What mountinfo_next() takes apart; the texts that it gives point into this. */
static char list[1024];

static char *begin(const char *text)
{
	snprintf(list, sizeof(list), "%s", text);
	return list;
}

static struct mountinfo only(const char *text)
{
	char *cursor = begin(text);
	struct mountinfo mount, other;

	check(mountinfo_next(&cursor, &mount));
	check(!mountinfo_next(&cursor, &other));
	return mount;
}

TEST(a_line_gives_the_fields_of_proc_5)
{
	struct mountinfo mount = only(LINE);

	check_str(mount.device, "98:0");
	check_str(mount.root, "/sub");
	check_str(mount.point, "/mnt");
	check_str(mount.type, "ext3");
	check_str(mount.source, "/dev/root");
	check_str(mount.options, "rw,errors=continue");
}

static int server_of(const char *text, int id)
{
	uid_t server = 0;
	int r = mountinfo_server(begin(text), id, &server);

	return r < 0 ? r : (int)server;
}

TEST(a_fuse_filesystem_is_served_by_its_user)
{
	static const char text[] = LINE "1 36 0:5 / /a rw - fuse.sshfs h: rw,user_id=0,group_id=0,allow_other\n"
					"2 36 0:6 / /b rw - fuse x rw,user_id=1000,group_id=100\n"
					"3 36 0:7 / /c rw - tmpfs x rw,user_id=1000\n";

	check_int(server_of(text, 36), 0);
	check_int(server_of(text, 1), 0);
	check_int(server_of(text, 2), 1000);
	check_int(server_of(text, 3), 0);
	check_int(server_of(text, 4), -ESTALE);
}

/* Its place may have gone to another, and nothing says whose it was. */
TEST(what_was_unmounted_has_no_known_server)
{
	char path[] = "mountXXXXXX";
	uid_t server = 1;
	int fd;

	fd = open("/", O_PATH | O_CLOEXEC);
	check_int(mountinfo_server_of(fd, &server), 0);
	check_int(server, 0);
	close(fd);
	check(mkdtemp(path));
	if (geteuid() != 0)
		return;
	check_int(mount("none", path, "tmpfs", 0, NULL), 0);
	fd = open(path, O_PATH | O_CLOEXEC);
	check_int(mountinfo_server_of(fd, &server), 0);
	check_int(umount2(path, MNT_DETACH), 0);
	check_int(mountinfo_server_of(fd, &server), -ESTALE);
	close(fd);
}

TEST(optional_fields_may_be_none_or_several)
{
	check_str(only("1 0 0:5 / /a rw - proc proc rw\n").type, "proc");
	check_str(only("1 0 0:5 / /a rw shared:2 master:3 propagate_from:4 - proc proc rw\n").type, "proc");
}

TEST(the_last_line_needs_no_newline)
{
	check_str(only("1 0 0:5 / /a rw - proc proc rw").point, "/a");
}

TEST(escapes_in_paths_are_undone)
{
	struct mountinfo mount = only("1 0 0:5 /r\\040r /p\\011\\012\\134\\043 rw - fuse.revertfs /i\\040-\\040i rw\n");

	check_str(mount.root, "/r r");
	check_str(mount.point, "/p\t\n\\#");
	check_str(mount.source, "/i - i");
}

TEST(a_backslash_that_begins_no_escape_stays)
{
	check_str(only("1 0 0:5 / /a\\8\\04\\0x0\\400 rw - proc proc rw\n").point, "/a\\8\\04\\0x0\\400");
	check_str(only("1 0 0:5 / /a\\ rw - proc proc rw\n").point, "/a\\");
}

TEST(lines_with_missing_fields_are_skipped)
{
	static const char *const lines[] = {
		"\n",
		"1 0 0:5 / /a rw proc proc rw\n", /* no dash */
		"1 0 0:5 / - proc proc rw\n",     /* no mountpoint */
		"1 0 0:5 / /a rw - proc\n",       /* no source */
		"1 0 0:5 / /a rw - \n",
		" - \n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		char text[512];

		snprintf(text, sizeof(text), "%s" LINE "%s", lines[i], lines[i]);
		check_str(only(text).point, "/mnt");
	}
}

TEST(mounts_come_in_the_order_of_the_list)
{
	char *cursor = begin("1 0 0:5 / /a rw - proc proc rw\n" LINE);
	struct mountinfo mount;

	check(mountinfo_next(&cursor, &mount));
	check_str(mount.point, "/a");
	check(mountinfo_next(&cursor, &mount));
	check_str(mount.point, "/mnt");
	check(!mountinfo_next(&cursor, &mount));
}

static dev_t device_of(const char *text)
{
	return mountinfo_device(&(struct mountinfo){ .device = text });
}

TEST(a_device_is_the_number_that_stat_gives)
{
	check(device_of("98:0") == makedev(98, 0));
	check(device_of("0:4095") == makedev(0, 4095));
	check(device_of("0:1048575") == makedev(0, 1048575));
	check(device_of("") == 0);
	check(device_of("98") == 0);
	check(device_of("a:b") == 0);
}

TEST(a_list_that_cannot_be_read_is_an_error)
{
	char *text = NULL;

	check_errno(mountinfo_read("/proc/self/no-such-file", &text), ENOENT);
	check(!text);
}

/* In a mount namespace of this process, so that nothing is left behind. */
static const char *own_place(void)
{
	static char path[4096];

	check(unshare(CLONE_NEWNS) == 0);
	check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	snprintf(path, sizeof(path), "%s/place", TEST_DIR);
	check(mkdir(path, 0700) == 0 || errno == EEXIST);
	return path;
}

static dev_t mount_tmpfs(const char *path)
{
	struct stat st;

	check(mount("some", path, "tmpfs", 0, NULL) == 0);
	check(stat(path, &st) == 0);
	return st.st_dev;
}

/* A revertfs whose daemon never answers: looking into it would wait for ever. */
static void mount_silent_revertfs(const char *path)
{
	char options[128];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	check(fd >= 0);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	check(mount("/images", path, MOUNTINFO_REVERTFS, 0, options) == 0);
}

TEST(of_two_mounts_at_one_place_the_later_is_found)
{
	const char *path = own_place();
	dev_t first, second, found = 0;
	bool ours = true;

	check_errno(mountinfo_find(path, &found, &ours), ENOENT);
	first = mount_tmpfs(path);
	check_int(mountinfo_find(path, &found, &ours), 0);
	check(found == first && !ours);
	second = mount_tmpfs(path);
	check(second != first);
	check_int(mountinfo_find(path, &found, &ours), 0);
	check(found == second && !ours);
	mount_silent_revertfs(path);
	check_int(mountinfo_find(path, &found, &ours), 0);
	check(found != second && ours);
	check(umount2(path, MNT_DETACH) == 0);
	check_int(mountinfo_find(path, &found, &ours), 0);
	check(found == second && !ours);
}
