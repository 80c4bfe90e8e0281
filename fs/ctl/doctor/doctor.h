/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks of `revertctl doctor`, and what they find.
 */
#ifndef REVERTFS_CTL_DOCTOR_DOCTOR_H
#define REVERTFS_CTL_DOCTOR_DOCTOR_H

#include "defined_domain.h"
#include "json.h"
#include "mounts.h"

enum level { LEVEL_FINE, LEVEL_NOTE, LEVEL_WARNING, LEVEL_PROBLEM };

struct finding {
	enum level level;
	const char *check;
	char *what, *fix; /* fix: NULL where nothing is to be done */
};

/* A mount, and its daemon's status; NULL where the daemon does not answer. */
struct doctor_mount {
	const struct mount *mount;
	struct json_object *status;
};

struct doctor {
	struct virsh virsh;
	struct mounts *mount_table; /* NULL: none could be read */
	struct doctor_mount *mounts;
	size_t mount_count;
	char **domains; /* their names; NULL: libvirt does not say */

	const char *check; /* the one that looks now */
	struct finding *findings;
	size_t finding_count;
};

/*
 * Note what was found; `fix` is NULL where nothing is to be done. A sentence of this program ends
 * with its remedy, behind the last colon or semicolon: doctor_note_sentence() splits there.
 */
void doctor_note(struct doctor *doctor, enum level level, const char *fix, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void doctor_note_sentence(struct doctor *doctor, enum level level, const struct sentence *sentence);

/* Whether a finding has what this sentence says, but for its remedy. */
bool doctor_has_noted(const struct doctor *doctor, const char *sentence);

/* Drop all findings but the first `count`. */
void doctor_forget(struct doctor *doctor, size_t count);

/* doctor_host.c */
void doctor_check_kernel(struct doctor *doctor);
void doctor_check_tools(struct doctor *doctor);
void doctor_check_hook(struct doctor *doctor);
void doctor_check_policy(struct doctor *doctor);
void doctor_check_rights(struct doctor *doctor);

/* doctor_disks.c */
void doctor_check_mounts(struct doctor *doctor); /* comes first: fills in the mounts */
void doctor_check_disks(struct doctor *doctor);
void doctor_check_layers(struct doctor *doctor);
void doctor_check_space(struct doctor *doctor);

/* doctor_domains.c */
void doctor_check_libvirt(struct doctor *doctor); /* comes before the others: fills in the domains */
void doctor_check_files(struct doctor *doctor);
void doctor_check_domains(struct doctor *doctor);

/* The status of the disk with this name, as far as its daemon has one; NULL: it is no disk. */
struct json_object *doctor_find_disk(const struct doctor *doctor, const struct mount *mount, const char *name);
bool doctor_is_served(const struct doctor *doctor, const struct mount *mount, const char *name);

/* doctor_gone.c: what is left of a domain that libvirt does not have. */
void doctor_check_gone(struct doctor *doctor, const char *domain, const struct config *config);

/* Whether libvirt says that the domain is shut off. */
bool doctor_is_off(const struct doctor *doctor, const struct domain *domain);

/* doctor_renamed.c: what a renaming hook has left of a domain's images. */
void doctor_check_renamed(struct doctor *doctor, const struct domain *domain);

/* doctor_snapshots.c: what libvirt has of a domain whose disks revert. */
void doctor_check_snapshots(struct doctor *doctor, const struct domain *domain);

#endif
