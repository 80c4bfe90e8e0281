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
enum outcome {
	OUTCOME_COMMIT,
	OUTCOME_RESET,
	OUTCOME_HOLD,
	OUTCOME_ASIDE,
	OUTCOME_DROP,
	OUTCOME_KEEP,
	OUTCOME_KEEP_SNAPSHOT
};

/* A claimed disk, and what is to be done with it. */
struct participant {
	struct disk *disk;
	const struct session_item *item;  /* NULL at a release that does not name the target */
	struct handover_decided *decided; /* note of what follows, for a daemon that has to go on; or NULL */
	enum start_kind start;            /* of a prepare */
	enum leftover leftover;
	enum outcome outcome; /* of a release */
	bool sealing;         /* ... which seals the scratch */
	bool hold_aside;      /* the hold gets a name before the disk forgets it */
	bool armed;           /* the session is to be committed */
	bool consumed;        /* one-shot-commit is true, but this version of the domain's file is used up */
	bool on_snapshot;     /* the domain starts on an external snapshot of the disk (left_snapshot.h) */
	bool has_session;     /* a prepare has recorded the session */
	char name[SNAPSHOT_NAME_MAX + 1]; /* under which something is sealed aside, or "" */
	char note[NOTE_SIZE];             /* which the layer then gets, or "" */
	struct sentence warning; /* what the hook's log is to have; LEFT_LOST: why, and then where it is; or "" */
};

struct participants {
	struct participant *list;
	size_t count;
};

/* For CLEANUP(): end the claims and drop the references. */
void participants_release(struct participants *participants);

/*
 * Claim the disks of the list, each of which is a reference, in the order of their names. Blocks
 * like a verb. On failure participants->count is how many are claimed, and the references of the
 * others are dropped.
 */
int participants_claim(struct participants *participants, struct sentence *error);

/*
 * Whether the disk has the snapshot under which something was to be sealed aside: an earlier daemon
 * did it.
 */
bool participant_is_aside(const struct participant *participant);

/* Drop the references of participants none of which is claimed yet. */
void participants_put(struct participants *participants);

/* Room for a result of each participant, and `more`. -ENOMEM with a sentence. */
int participants_allocate_result(const struct participants *participants, size_t more, struct session_result *result,
				 struct sentence *error);

/* Add what was done to one. There is room for it. */
void participant_add_result(const struct participant *participant, const char *target, const char *action,
			    struct session_result *result);

/*
 * Whether disk.json has to be written. A session that begins and ends in a reset changes nothing in
 * it, and so syncs nothing.
 */
bool records_differ(const struct disk_record *a, const struct disk_record *b);

#endif
