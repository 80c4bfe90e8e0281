/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A libvirt domain as it is defined, with the file that the hook reads for it.
 */
#ifndef REVERTFS_CTL_LIBVIRT_DEFINED_DOMAIN_H
#define REVERTFS_CTL_LIBVIRT_DEFINED_DOMAIN_H

#include "arguments.h"
#include "config.h"
#include "domain.h"
#include "mounts.h"
#include "virsh.h"

struct defined_domain {
	struct virsh virsh;
	char *xml;             /* of the definition, with its secrets: what `virsh define` takes back */
	struct domain *domain; /* its name is never NULL; volumes are resolved */
	struct config *config; /* NULL: there is none */
};

/*
 * Ask libvirt for the domain, which is whatever virsh takes for one, and load its file. Errors of
 * virsh, -EBADMSG and the like with a sentence, also where the domain's file is not valid.
 */
int defined_domain_load(const struct context *context, const char *word, struct defined_domain *ret_defined,
			struct sentence *error);
void defined_domain_clear(struct defined_domain *defined); /* for CLEANUP() */

/*
 * What the hook would say if this domain started now: 0, or an errno with the sentence that would
 * keep the domain from starting.
 */
int defined_domain_ask_hook(const struct domain *domain, const struct config *config, const struct mounts *mounts,
			    struct sentence *error);

/*
 * What the daemons would say then to what the hook asks of them: 0, or an errno with the sentence.
 * They change nothing, and look at no disk that the domain has in use.
 */
int defined_domain_ask_daemons(const struct virsh *virsh, const struct domain *domain, const struct config *config,
			       const struct mounts *mounts, struct sentence *error);

/* Whether a saved state waits for the domain's next start; false where libvirt says nothing. */
bool defined_domain_is_saved(const struct virsh *virsh, const struct domain *domain);

/*
 * -EBUSY with a sentence when the domain runs, or has a saved state, which would come back on other
 * disks.
 */
int defined_domain_check_off(const struct defined_domain *defined, struct sentence *error);

/*
 * The entries of the domain's file that --target chooses, or all without --target: a bool for each
 * of defined->config->disks, to free(). -ENOENT with a sentence when a target is not there, or the
 * domain has no file.
 */
int defined_domain_choose(const struct defined_domain *defined, const struct arguments *arguments, bool **ret_which,
			  struct sentence *error);

#endif
