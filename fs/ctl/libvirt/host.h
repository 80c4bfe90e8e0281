/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt host around the mounts: where its files are, and whether the hook does its work
 * there.
 */
#ifndef REVERTFS_CTL_LIBVIRT_HOST_H
#define REVERTFS_CTL_LIBVIRT_HOST_H

#include <stdint.h>

#include "util.h"

#define HOST_HOOKS "/etc/libvirt/hooks"
#define HOST_HOOK HOST_HOOKS "/qemu.d/revertfs"
#define HOST_CONFIG_DIR HOST_HOOKS "/config"
#define HOST_HOOK_LOG "/var/log/libvirt/qemu/hooks.log"

/*
 * Whether libvirt calls the hook: it is there, executable, and the libvirt that runs has seen it.
 * -ENOENT, -EACCES or -ESTALE, with a sentence that has the remedy. Without a libvirt running there
 * is nobody who could not have seen it.
 */
int host_check_hook(struct sentence *error);

/* Who asks, for a log: "root", "anna (sudo)", "uid 1000". free() it. */
char *host_user(void);

#endif
