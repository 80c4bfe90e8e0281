/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hooks of libvirt beside revertfs's own that do what it does: they read the domains' JSON files,
 * or rename images. libvirt calls all of them at each event, hooks/qemu first.
 */
#ifndef REVERTFS_CTL_LIBVIRT_OTHER_HOOKS_H
#define REVERTFS_CTL_LIBVIRT_OTHER_HOOKS_H

#include "util.h"

/* Their paths, to free with virsh_free_names(); NULL: there is none. */
char **other_hooks_find(void);

/* What is the matter with one, and then, after the last colon, what to do about it. */
void other_hooks_say(const char *hook, struct sentence *ret_sentence);

/* -EBUSY with that sentence where there is one. */
int other_hooks_refuse(struct sentence *error);

#endif
