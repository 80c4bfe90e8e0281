/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rows of the table, each defined in the file whose subject it is.
 */
#ifndef REVERTFS_CTL_CLI_SUBCOMMANDS_H
#define REVERTFS_CTL_CLI_SUBCOMMANDS_H

#include "subcommand.h"

/* status_command.c, show.c: what disks and layers there are */
extern const struct subcommand status_subcommand, tree_subcommand;

/* verbs.c: what the daemon does by itself */
extern const struct subcommand protect_subcommand, unprotect_subcommand, set_subcommand, reset_subcommand;
extern const struct subcommand commit_subcommand, undo_subcommand, revert_subcommand, delete_subcommand;
extern const struct subcommand clone_subcommand, fold_subcommand, cancel_subcommand;

/* snapshot.c, export.c: what keeps a state of a disk, or copies it to a file */
extern const struct subcommand snapshot_subcommand, export_subcommand;

/* adopt.c, disown.c, commit_once.c, doctor.c: libvirt's domains, and the host */
extern const struct subcommand adopt_subcommand, disown_subcommand;
extern const struct subcommand commit_once_subcommand, discard_next_subcommand, doctor_subcommand;

/* complete.c: for the shells */
extern const struct subcommand complete_subcommand;

#endif
