/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which version of a domain's JSON file is meant: told without reading it, so that the daemon,
 * which never reads one, can see that it was edited.
 */
#ifndef REVERTFS_BASE_DOMAIN_FILE_H
#define REVERTFS_BASE_DOMAIN_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

#define DOMAIN_FILES "/etc/libvirt/hooks/config" /* the directory; DOMAIN.json in it */
#define DOMAIN_FILE_VERSION_SIZE 96

/* A version as a text: device, inode and modification time. */
void domain_file_version(const struct stat *stat, char version[DOMAIN_FILE_VERSION_SIZE]);

/*
 * The version of the domain's file as of now. A negative errno where there is none. Waits for the
 * filesystem of /etc.
 */
int domain_file_look(const char *domain, char version[DOMAIN_FILE_VERSION_SIZE]);

/*
 * Whether two texts name the same version; "" names none. Devices are not compared: their numbers
 * may change from boot to boot.
 */
bool domain_file_is_same(const char *a, const char *b);

#endif
