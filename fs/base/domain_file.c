/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "domain_file.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "shown.h"
#include "util.h"

void domain_file_version(const struct stat *stat, char version[DOMAIN_FILE_VERSION_SIZE])
{
	snprintf(version, DOMAIN_FILE_VERSION_SIZE, "%ju:%ju:%jd.%09ld", (uintmax_t)stat->st_dev,
		 (uintmax_t)stat->st_ino, (intmax_t)stat->st_mtim.tv_sec, stat->st_mtim.tv_nsec);
}

int domain_file_look(const char *domain, char version[DOMAIN_FILE_VERSION_SIZE])
{
	CLEANUP(freep) char *path = name_is_usable(domain) ? format_text(DOMAIN_FILES "/%s.json", domain) : NULL;
	struct stat st;

	if (!path)
		return -EINVAL;
	if (stat(path, &st) < 0)
		return -errno;
	domain_file_version(&st, version);
	return 0;
}

static const char *without_device(const char *version)
{
	const char *colon = strchr(version, ':');

	return colon ? colon + 1 : version;
}

bool domain_file_is_same(const char *a, const char *b)
{
	return *a && *b && strcmp(without_device(a), without_device(b)) == 0;
}
