/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes that are made all or none: each step has its undo.
 */
#ifndef REVERTFS_CTL_DOMAIN_TRANSACTION_H
#define REVERTFS_CTL_DOMAIN_TRANSACTION_H

#include <stddef.h>

#include "util.h"

struct transaction_step {
	int (*act)(void *subject, struct sentence *error);
	/* Take back what act() did, also half of it when it failed; NULL: nothing to take back. */
	int (*undo)(void *subject, struct sentence *error);
};

/*
 * Run the steps in order. When a step fails, it and those before it are undone, the last first. The
 * sentence then says what failed, and `undone` ("everything is as it was") or what could not be
 * taken back.
 */
int transaction_run(const struct transaction_step *steps, size_t count, void *subject, const char *undone,
		    struct sentence *error);

#endif
