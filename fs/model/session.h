/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of a session: one life of a domain on a disk, from `prepare` to `release`, keyed by
 * the domain's UUID.
 *
 * Functions ending in _locked want disks->lock held; the others must not have it.
 */
#ifndef REVERTFS_MODEL_SESSION_H
#define REVERTFS_MODEL_SESSION_H

#include "model.h"

#define SESSION_RECORD "session.json" /* in the disk's directory */

/* Note that a restore of this domain will follow. -ENOMEM when there is no room for the note. */
int session_announce(struct disks *disks, const char *uuid);

/* Whether a restore of this domain is expected: announced in the last minute, not yet forgotten. */
bool session_is_announced(struct disks *disks, const char *uuid);
void session_forget_announcement(struct disks *disks, const char *uuid);

/* Whether a session is recorded and its domain may still write (session.c says when not). */
bool session_is_active_locked(const struct disk *disk);

/*
 * Whether a guest's flush must reach the medium: not where the session's end will throw the scratch
 * away, as a host crash does.
 */
bool session_is_strict_locked(const struct disk *disk);

/*
 * Write session.json as the session is in memory; synced, for a power cut while it is replaced
 * would leave none. The caller has claimed the disk.
 */
int session_save(struct disk *disk);

/*
 * Sync what session.json was made or removed by. That it is there tells after a crash of the host
 * that a domain ran, so it is synced soon after, by who waits for nothing.
 */
int session_sync(struct disk *disk);

/*
 * Whether the disk has a session that may have run by now: a start that failed and said nothing is
 * none, but of one whose mount ended with its daemon that is not known.
 */
bool session_may_have_run(const struct disk *disk);

/* Forget the session, in memory and on disk (not synced). The caller has claimed the disk. */
void session_forget(struct disk *disk);

/*
 * The same for a session, if there is one, that a command ends, no release: what the domain's file
 * says was meant for it, so the version is used up, durably, as by a crash of the host.
 */
void session_end(struct disk *disk);

#endif
