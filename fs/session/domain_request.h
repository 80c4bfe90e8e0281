/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hook asks for a domain: `prepare` when it starts (prepare.c), `release` when it has
 * ended (release.c).
 */
#ifndef REVERTFS_SESSION_DOMAIN_REQUEST_H
#define REVERTFS_SESSION_DOMAIN_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disks.h"
#include "record.h"
#include "util.h"

struct replay;

/* Why a domain ended, as libvirt names it. */
enum end_reason {
	REASON_UNKNOWN,
	REASON_SHUTDOWN,
	REASON_DESTROYED,
	REASON_CRASHED,
	REASON_MIGRATED,
	REASON_SAVED,
	REASON_FAILED,
	REASON_FROM_SNAPSHOT,
	REASON_DAEMON,
};

/* One disk in a prepare, or one target in a release. All texts are borrowed. */
struct session_item {
	const char *name;   /* prepare: the disk */
	const char *target; /* vda; shorter than TARGET_SIZE */
	const char *source; /* the path in the XML; NULL at a release whose XML has no such target */
	const char *format; /* prepare: for an image that is no disk yet; NULL: probe */
	bool armed;         /* one-shot-commit is true */
	bool unhooked;      /* release: a disk of a domain without a file, which had no session */
	bool has_leftover, leftover_keep;
	bool has_revisions;
	uint64_t revisions;
};

struct session_request {
	const char *uuid;
	const char *domain; /* "" when not given */
	const char *config; /* which config file this is; "" when not given */
	bool saved;         /* DOMAIN.save, the file of a managed save, exists */
	enum end_reason reason;
	bool only_check;       /* prepare: say whether it would be refused, and change nothing */
	struct replay *replay; /* an earlier daemon may have begun it; or NULL */
	unsigned line;         /* of its write, from 0 */
	struct session_item *items;
	size_t count;
};

/* What was done to one disk of the domain. */
struct participant_result {
	struct disk *disk; /* a reference */
	char target[TARGET_SIZE];
	const char *action;                   /* a word: static */
	bool consumed;                        /* the config file's one-shot-commit had been done already */
	char snapshot[SNAPSHOT_NAME_MAX + 1]; /* under which something was sealed aside; "" when nothing was */
	struct sentence warning; /* what went to lost/; why the disk has too many layers, or none is folded; or "" */
};

struct session_result {
	struct participant_result *list;
	size_t count;
};

void session_result_clear(struct session_result *result); /* for CLEANUP() */

/*
 * A start: all of the disks are prepared, or an errno with a sentence, and *ret_result is empty.
 * An end: *ret_result has the disks that were acted on, also where it fails for some of them.
 */
int session_prepare(struct disks *disks, const struct session_request *request, struct session_result *ret_result,
		    struct sentence *error);
int session_release(struct disks *disks, const struct session_request *request, struct session_result *ret_result,
		    struct sentence *error);

int end_reason_parse(const char *text, enum end_reason *ret_reason); /* -EINVAL */
const char *end_reason_name(enum end_reason reason);

#endif
