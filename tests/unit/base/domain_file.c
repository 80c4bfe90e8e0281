/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which version of a domain's file is meant.
 */
#include "domain_file.h"

#include <errno.h>

#include "test.h"

TEST(a_version_is_an_inode_and_a_time)
{
	struct stat stat = { .st_dev = 1, .st_ino = 17, .st_mtim = { 1795197469, 5 } };
	char version[DOMAIN_FILE_VERSION_SIZE], other[DOMAIN_FILE_VERSION_SIZE];

	domain_file_version(&stat, version);
	check_str(version, "1:17:1795197469.000000005");
	stat.st_mtim.tv_nsec = 6;
	domain_file_version(&stat, other);
	check(!domain_file_is_same(version, other));
	stat.st_mtim.tv_nsec = 5;
	stat.st_ino = 18;
	domain_file_version(&stat, other);
	check(!domain_file_is_same(version, other));
}

TEST(the_device_may_have_another_number_after_a_boot)
{
	check(domain_file_is_same("1:17:1795197469.000000005", "2:17:1795197469.000000005"));
}

TEST(what_is_not_known_is_never_the_same)
{
	check(!domain_file_is_same("", ""));
	check(!domain_file_is_same("1:17:5.6", ""));
	check(!domain_file_is_same("", "1:17:5.6"));
	check(domain_file_is_same("token", "token"));
	check(!domain_file_is_same("token", "other"));
}

TEST(a_name_that_leads_elsewhere_has_no_file)
{
	char version[DOMAIN_FILE_VERSION_SIZE];

	check_int(domain_file_look("../../passwd", version), -EINVAL);
	check_int(domain_file_look("no-such-domain", version), -ENOENT);
}
