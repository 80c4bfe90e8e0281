/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent in a guest, by way of virsh: freezing and thawing its filesystems.
 *
 * The timeout is libvirt's for the agent's answer. An agent that is late may still do what it was
 * asked: after a freeze that failed for whatever reason, thaw.
 */
#ifndef REVERTFS_CTL_LIBVIRT_AGENT_H
#define REVERTFS_CTL_LIBVIRT_AGENT_H

#include "virsh.h"

/* Whether they are frozen now; that there is an answer at all says that the agent runs. */
int agent_is_frozen(const struct virsh *virsh, const char *domain, unsigned timeout_s, bool *ret_frozen,
		    struct sentence *error);

/* Both return how many filesystems it were. */
int agent_freeze(const struct virsh *virsh, const char *domain, unsigned timeout_s, struct sentence *error);
int agent_thaw(const struct virsh *virsh, const char *domain, unsigned timeout_s, struct sentence *error);

#endif
