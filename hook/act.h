/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The events that the hook handles, from the domain's XML on stdin to the last line in the log.
 */
#ifndef REVERTFS_HOOK_ACT_H
#define REVERTFS_HOOK_ACT_H

#include <stddef.h>

#include "event.h"
#include "util.h"

#define STORAGE_DIRS 2

/* From the command line; main.c has the defaults, and says what each is. */
struct settings {
	const char *config_dir;
	const char *log;
	const char *save_dir;
	const char *libvirt_log_dir;
	const char *storage_dirs[STORAGE_DIRS]; /* of pool definitions; NULL: none */
	const char *mountinfo;
	unsigned deadline_s;
};

/*
 * Each returns 0, or a negative errno with the one sentence for the administrator. Where libvirt
 * heeds the hook's exit status (all but release), a failure keeps the domain from being started,
 * restored or migrated. Each may wait deadline_s seconds for the daemons, and act_prepare() a few
 * more to take back what it did.
 */
int act_prepare(const struct settings *settings, struct event *event, struct sentence *error);
int act_restore(const struct settings *settings, struct event *event, struct sentence *error);
int act_migrate(const struct settings *settings, struct event *event, struct sentence *error);
int act_release(const struct settings *settings, struct event *event, struct sentence *error);

#endif
