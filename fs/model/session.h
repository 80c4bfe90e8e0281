/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of a session between a domain's start and its end.
 *
 * A session is one life of a domain on a disk, from `prepare` to `release`, keyed by the domain's
 * UUID. Functions ending in _locked want disks->lock held.
 */
#ifndef REVERTFS_MODEL_SESSION_H
#define REVERTFS_MODEL_SESSION_H

#include "model.h"

#define SESSION_RECORD "session.json" /* in the disk's directory */

/* A restore of this domain will follow. -ENOMEM when there is no room to remember it. */
int session_announce(struct disks *disks, const char *uuid);

/*
 * Whether a restore of this domain is expected: announced a short while ago, and not used up by a
 * prepare.
 */
bool session_is_announced(struct disks *disks, const char *uuid);
void session_forget_announcement(struct disks *disks, const char *uuid);

/* Whether a session is recorded and not over: its domain may still write. */
bool session_is_active_locked(const struct disk *disk);

/* Whether a guest's flush must reach the medium. */
bool session_is_strict_locked(const struct disk *disk);

/* Forget the session, in memory and on disk (not synced). The disk is claimed. */
void session_end(struct disk *disk);

#endif
