/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent in a guest, asked through virsh: freezing and thawing the guest's filesystems.
 *
 * timeout_s is how long libvirt waits for the agent's answer; each call takes 10 s more at most. An
 * agent that is late may still do what it was asked: thaw after a freeze that failed, whatever the
 * error. Errors come with a sentence.
 */
#ifndef REVERTFS_CTL_LIBVIRT_AGENT_H
#define REVERTFS_CTL_LIBVIRT_AGENT_H

#include "virsh.h"

/* Whether the filesystems are frozen. Any answer says that the agent runs. */
int agent_is_frozen(const struct virsh *virsh, const char *domain, unsigned timeout_s, bool *ret_frozen,
		    struct sentence *error);

/* Both return the number of filesystems. */
int agent_freeze(const struct virsh *virsh, const char *domain, unsigned timeout_s, struct sentence *error);
int agent_thaw(const struct virsh *virsh, const char *domain, unsigned timeout_s, struct sentence *error);

#endif
