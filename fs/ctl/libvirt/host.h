/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt host: where its files are, and whether libvirt calls the hook.
 */
#ifndef REVERTFS_CTL_LIBVIRT_HOST_H
#define REVERTFS_CTL_LIBVIRT_HOST_H

#include <stdint.h>

#include "domain_file.h"
#include "util.h"

#define HOST_HOOKS "/etc/libvirt/hooks"
#define HOST_HOOK HOST_HOOKS "/qemu.d/revertfs"
#define HOST_CONFIG_DIR DOMAIN_FILES
#define HOST_HOOK_LOG "/var/log/libvirt/qemu/hooks.log"

/*
 * Whether libvirt calls the hook: the hook is there, executable, and the running libvirt has seen
 * it. -ENOENT, -EACCES or -ESTALE, with a sentence that has the remedy. Where no libvirt runs, none
 * can have missed the hook.
 */
int host_check_hook(struct sentence *error);

/* Call visit() with the name of each domain that has a file for the hook. */
void host_visit_files(void (*visit)(void *context, const char *domain), void *context);

/* Who runs this program, for a log: "root", "anna (sudo)", "uid 1000". free() it. */
char *host_user(void);

#endif
