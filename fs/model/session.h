/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions: what the hook asks when a domain starts (prepare.c) and ends (release.c), and what is known in between (session.c).
 *
 * A session is one life of a domain on a disk, from `prepare` to `release`, keyed by the domain's UUID. Functions ending in _locked want
 * disks->lock held.
 */
#ifndef REVERTFS_MODEL_SESSION_H
#define REVERTFS_MODEL_SESSION_H

#include <json-c/json.h>

#include "model.h"

/* Why a domain ended, as libvirt names it. */
enum end_reason {
	END_UNKNOWN,
	END_SHUTDOWN,
	END_DESTROYED,
	END_CRASHED,
	END_MIGRATED,
	END_SAVED,
	END_FAILED,
	END_FROM_SNAPSHOT,
	END_DAEMON,
};

/* One disk in a prepare, or one target in a release. All texts are borrowed. */
struct session_item {
	const char *name;   /* prepare: the disk */
	const char *target; /* vda */
	const char *source; /* the path in the XML; NULL at a release whose XML has no such target */
	const char *format; /* prepare: for an image that is no disk yet; NULL: probe */
	bool armed;         /* one-shot-commit is true */
	bool has_leftover, leftover_keep;
	bool has_revisions;
	uint64_t revisions;
};

struct session_request {
	const char *uuid;
	const char *domain; /* "" when not given */
	const char *config; /* which config file this is; "" when not given */
	bool saved;         /* DOMAIN.save exists */
	enum end_reason reason;
	struct ticket *ticket; /* of a prepare that an earlier daemon may have had; or NULL */
	struct session_item *items;
	size_t count;
};

/* `answer` receives a member "disks": what was done to each. */
int session_announce(struct disks *disks, const char *uuid);
int session_prepare(struct disks *disks, const struct session_request *request, struct json_object *answer,
		    struct sentence *error);
int session_release(struct disks *disks, const struct session_request *request, struct json_object *answer,
		    struct sentence *error);

int end_reason_parse(const char *text, enum end_reason *ret_reason); /* -EINVAL */
const char *end_reason_name(enum end_reason reason);

/* Whether a restore of this domain is expected: announced a short while ago, and not used up by a prepare. */
bool session_is_announced(struct disks *disks, const char *uuid);
void session_forget_announcement(struct disks *disks, const char *uuid);

/* Whether a session is recorded and not over: its domain may still write. */
bool session_is_active_locked(const struct disk *disk);

/* Whether a guest's flush must reach the medium. */
bool session_is_strict_locked(const struct disk *disk);

/* The mount has outlived the daemon that began it: its domain has not noticed, so it goes on. */
void session_go_on_locked(struct disk *disk);

/* Forget the session, in memory and on disk (not synced). The disk is claimed. */
void session_end(struct disk *disk);

#endif
