/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that outlive the daemon: systemd's descriptor store, or our keeper's (keeper.h),
 * which speaks the same language.
 *
 * What is put there stays open when the daemon ends, in whatever way, and its successor is started
 * with it. /dev/fuse is, which keeps the mount; the memory of handover.h; the images directory,
 * which the mount may cover; and files that are open and have lost their name.
 */
#ifndef REVERTFS_RESTART_FDSTORE_H
#define REVERTFS_RESTART_FDSTORE_H

#include <stdbool.h>
#include <stddef.h>

#define FDSTORE_MAX 2048 /* as the unit's FileDescriptorStoreMax= */

#define FDSTORE_FUSE "fuse"
#define FDSTORE_HANDOVER "handover"
#define FDSTORE_IMAGES "images"

/* What this process was started with. */
struct fdstore {
	struct fdstore_entry {
		char *name;
		int fd;
		bool used; /* somebody has asked for it, so it stays in the store */
	} entries[FDSTORE_MAX];
	size_t count;
};

/*
 * Take what LISTEN_FDS names, close-on-exec from here on. To be called once, before anything is
 * opened.
 */
void fdstore_inherit(struct fdstore *store);

/*
 * The descriptor of this name, the caller's from here on, or -1; fdstore_find() only lends it.
 * Either way it stays in the store.
 */
int fdstore_take(struct fdstore *store, const char *name);
int fdstore_find(struct fdstore *store, const char *name);

/* Close what is left, and drop from the store what nobody has asked for. */
void fdstore_drop_rest(struct fdstore *store);

/*
 * Keep the descriptor under a name; drop that. Where there is no store nothing happens. 0 or a
 * negative errno.
 */
int fdstore_put(const char *name, int fd);
int fdstore_drop(const char *name);

#endif
