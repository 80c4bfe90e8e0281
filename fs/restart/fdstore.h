/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that outlive the daemon, in systemd's descriptor store or in that of the keeper
 * (keeper.h), which uses the same protocol.
 *
 * A stored descriptor stays open however the daemon ends, and the next daemon is started with it.
 * Stored are /dev/fuse, which keeps the mount; the memory of handover.h; the images directory,
 * since the mount may cover its path, and the lock on it; and open files that have lost their last
 * name.
 */
#ifndef REVERTFS_RESTART_FDSTORE_H
#define REVERTFS_RESTART_FDSTORE_H

#include <stdbool.h>
#include <stddef.h>

#define FDSTORE_MAX 2048 /* FileDescriptorStoreMax= of the systemd unit says the same */

#define FDSTORE_FUSE "fuse"
#define FDSTORE_HANDOVER "handover-2" /* and its layout (layout.h) */
#define FDSTORE_IMAGES "images"
#define FDSTORE_LOCK "lock" /* of the images directory, so that no other host gets it in between */

/* The stored descriptors that this process was started with. Too large for a small stack. */
struct fdstore {
	struct fdstore_entry {
		char *name;
		int fd;
		bool used; /* it was asked for by name, so it stays in the store */
	} entries[FDSTORE_MAX];
	size_t count;
};

/*
 * Fill `store` with the descriptors that LISTEN_FDS announces, and make them close-on-exec. To be
 * called once, before anything is opened.
 */
void fdstore_inherit(struct fdstore *store);

/*
 * The descriptor of this name, or -1 (no errno). fdstore_take() gives it to the caller, who closes
 * it; fdstore_find() lends it. In both cases a copy stays in the store for the next daemon.
 */
int fdstore_take(struct fdstore *store, const char *name);
int fdstore_find(struct fdstore *store, const char *name);

/*
 * Close the descriptors that were not taken, and drop from the store those that were never asked
 * for.
 */
void fdstore_drop_rest(struct fdstore *store);

/*
 * Store a descriptor under a name; drop all descriptors of a name. Where there is no store, both
 * do nothing and return 0. A negative errno has been logged. They block for five seconds at most.
 */
int fdstore_put(const char *name, int fd);
int fdstore_drop(const char *name);

/*
 * Store a regular file so that fdstore_keeps() tells afterwards whether the store still has it. No
 * message comes back from systemd, and a unit may have no store.
 */
int fdstore_put_marked(const char *name, int fd);
bool fdstore_keeps(int fd);

#endif
