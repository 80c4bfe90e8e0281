/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks that a domain without a file has used: no session says what becomes of what it wrote.
 */
#ifndef REVERTFS_SESSION_UNHOOKED_H
#define REVERTFS_SESSION_UNHOOKED_H

#include "domain_request.h"

/*
 * The domain of the request has been shut down in order: what it wrote to its unhooked disks is
 * whole, as long as nobody writes again. What cannot be noted is sealed aside as crash-consistent.
 */
void unhooked_note_clean(struct disks *disks, const struct session_request *request);

#endif
