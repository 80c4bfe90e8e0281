/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of one prepare or release: claimed in the order of their names, all checked, then all
 * acted on.
 */
#ifndef REVERTFS_SESSION_PARTICIPANT_H
#define REVERTFS_SESSION_PARTICIPANT_H

#include "model.h"
#include "domain_request.h"

enum start_kind { START_FRESH, START_RESUME, START_CONTINUE };
enum leftover { LEFT_NOTHING, LEFT_DISCARD, LEFT_ASIDE, LEFT_LOST };

/* A claimed disk, and what is to be done with it. */
struct participant {
	struct disk *disk;
	const struct session_item *item; /* NULL at a release that does not name the target */
	enum start_kind start;
	enum leftover leftover;
	const char *prefix; /* of the name under which it is sealed aside */
	bool hold_aside;    /* the hold gets a name of its own before it is let go */
	bool armed, consumed;
	bool goes_on; /* a daemon that was killed has begun to continue its scratch */
	bool done;    /* a prepare got as far as the session's record */
	char name[SNAPSHOT_NAME_MAX + 1];
};

struct participants {
	struct participant *list;
	size_t count;
};

/* For CLEANUP(): end the claims and drop the references. */
void participants_release(struct participants *participants);

/*
 * Claim what was found (each entry has a reference), in the order of the names. On failure
 * parts->count is what was claimed, and the references of the rest are dropped.
 */
int participants_claim(struct participants *participants, struct sentence *error);

/* Drop the references of parts that are not claimed yet. */
void participants_put(struct participants *participants);

/* Room for a result of each participant. -ENOMEM with a sentence. */
int participants_allocate_result(const struct participants *participants, struct session_result *result,
				 struct sentence *error);

/* Add what was done to one. There is room for it. */
void participant_add_result(const struct participant *participant, const char *target, const char *action,
			    struct session_result *result);

/*
 * Whether disk.json has to be written: a reset of an ordinary session leaves it alone, and so syncs
 * nothing.
 */
bool records_differ(const struct disk_record *a, const struct disk_record *b);

#endif
