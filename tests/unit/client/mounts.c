/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which mount shows a path: by the text of mountinfo, as the kernel writes it.
 */
#include "test.h"

#include <stdlib.h>

#include "mounts.h"

#define ROOT "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
#define VM "90 21 0:50 / /srv/vm rw,nosuid,nodev shared:7 master:2 - fuse.revertfs /srv/images rw,user_id=0\n"

static struct mounts *parse(const char *text)
{
	struct mounts *mounts = NULL;

	check_int(mounts_parse(text, &mounts), 0);
	return mounts;
}

/* The mount point that shows `path`, or NULL. */
static void shows(const char *text, const char *path, const char *expected)
{
	struct mounts *mounts = parse(text);
	const struct mount *mount = mounts_of_path(mounts, path);
	char *point = mount ? strdup(mount->point) : NULL;

	mounts_free(mounts);
	check_str(point, expected);
	free(point);
}

TEST(a_path_beneath_a_mount_is_in_it)
{
	shows(ROOT VM, "/srv/vm/a", "/srv/vm");
	shows(ROOT VM, "/srv/vm/sub/a", "/srv/vm");
	shows(ROOT VM, "/srv/vmx/a", NULL);
	shows(ROOT VM, "/srv/a", NULL);
}

TEST(blanks_and_other_escapes_are_undone)
{
	shows("9 1 0:5 / /srv/a\\040b\\134c\\011\\012\\043 rw - fuse.revertfs /im rw\n", "/srv/a b\\c\t\n#/x",
	      "/srv/a b\\c\t\n#");
}

TEST(a_backslash_that_is_no_escape_stays)
{
	shows("9 1 0:5 / /srv/a\\8x\\04 rw - fuse.revertfs /im rw\n", "/srv/a\\8x\\04/x", "/srv/a\\8x\\04");
}

TEST(another_filesystem_mounted_inside_hides_it)
{
	shows(ROOT VM "91 90 0:51 / /srv/vm/tmp rw - tmpfs tmpfs rw\n", "/srv/vm/tmp/a", NULL);
	shows(ROOT VM "91 90 0:51 / /srv/vm/tmp rw - tmpfs tmpfs rw\n", "/srv/vm/a", "/srv/vm");
}

TEST(of_two_mounts_at_one_place_the_later_is_seen)
{
	shows(VM "91 90 0:51 / /srv/vm rw - tmpfs tmpfs rw\n", "/srv/vm/a", NULL);
	shows("91 90 0:51 / /srv/vm rw - tmpfs tmpfs rw\n" VM, "/srv/vm/a", "/srv/vm");
}

TEST(a_directory_of_a_revertfs_mounted_elsewhere_is_no_mount_of_it)
{
	shows(VM "91 21 0:50 /sub /mnt rw - fuse.revertfs /srv/images rw\n", "/mnt/a", NULL);
}

TEST(other_fuse_filesystems_are_none_of_our_business)
{
	shows("9 1 0:5 / /srv/vm rw - fuse.sshfs host: rw\n", "/srv/vm/a", NULL);
	shows("9 1 0:5 / /srv/vm rw - fuse revertfs rw\n", "/srv/vm/a", NULL);
}

TEST(lines_that_make_no_sense_are_no_mounts)
{
	struct mounts *mounts = parse("\n - \nx\n1 2 3 - \n1 2 0:1 / /a rw -\n1 2 0:1 / - fuse.revertfs\n\n" VM);

	check(mounts_next(mounts, NULL));
	check(!mounts_next(mounts, mounts_next(mounts, NULL)));
	mounts_free(mounts);
}

TEST(an_image_is_found_by_its_directory)
{
	struct mounts *mounts = parse(ROOT VM);

	check(mounts_of_image(mounts, "/srv/images/a"));
	check(!mounts_of_image(mounts, "/srv/images2/a"));
	mounts_free(mounts);
}

TEST(each_filesystem_comes_once)
{
	struct mounts *mounts = parse(ROOT VM "91 21 0:50 / /again rw - fuse.revertfs /srv/images rw\n"
					      "92 21 0:52 / /other rw - fuse.revertfs /im rw\n");
	const struct mount *mount = mounts_next(mounts, NULL);

	check_str(mount->point, "/srv/vm");
	mount = mounts_next(mounts, mount);
	check_str(mount->point, "/other");
	check(!mounts_next(mounts, mount));
	mounts_free(mounts);
}

TEST(the_kernels_own_list_is_read)
{
	struct mounts *mounts = NULL;

	check_int(mounts_read("/proc/self/mountinfo", &mounts, NULL), 0);
	check(mounts->count > 0);
	mounts_free(mounts);
}

TEST(a_list_that_cannot_be_read_is_an_error)
{
	struct sentence error = { "" };
	struct mounts *mounts = NULL;

	check_errno(mounts_read("/nonexistent", &mounts, &error), ENOENT);
	check_contains(error.text, "list of mounts");
}
