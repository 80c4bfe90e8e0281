/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt, by way of virsh: arguments as a vector, a deadline for each call, and what virsh
 * complains of as a sentence.
 *
 * Never to be used by a hook, for which libvirt waits. virsh is given its caller's environment
 * (which says where libvirt is, and who asks), but with LC_ALL=C. A domain is whatever virsh takes
 * for one: its name, its UUID, or its number.
 */
#ifndef REVERTFS_CTL_LIBVIRT_VIRSH_H
#define REVERTFS_CTL_LIBVIRT_VIRSH_H

#include <stdbool.h>

#include "util.h"

#define VIRSH_TIMEOUT_S 30

struct virsh {
	const char *uri;    /* --connect; NULL: virsh's own default */
	unsigned timeout_s; /* a call that takes longer is killed; 0: VIRSH_TIMEOUT_S */
};

/*
 * Run `virsh WORD...`; the words end with NULL. *ret_output is what virsh printed, to free(); NULL
 * where the caller does not want it. -ENOENT there is no virsh, -ETIMEDOUT it was late and was
 * killed, -EIO libvirt refused; always with a sentence.
 */
int virsh_run(const struct virsh *virsh, const char *const *words, char **ret_output, struct sentence *error);

/* Whether its domains are those that this host's hook is called for; -EINVAL with a sentence. */
int virsh_check_host(const struct virsh *virsh, struct sentence *error);

/* `virsh define`, with this XML. */
int virsh_define(const struct virsh *virsh, const char *xml, struct sentence *error);

/* "running", "shut off", "paused" and the like, without a newline; free() it. */
int virsh_domain_state(const struct virsh *virsh, const char *domain, char **ret_state, struct sentence *error);

/* `virsh COMMAND --domain DOMAIN`: suspend, resume and the like. */
int virsh_domain_do(const struct virsh *virsh, const char *command, const char *domain, struct sentence *error);

/* The names of all domains: an array that ends with NULL, to free with virsh_free_names(). */
int virsh_domain_names(const struct virsh *virsh, char ***ret_names, struct sentence *error);
/*
 * The names of what libvirt has of a domain: `command` is "snapshot-list" or "checkpoint-list". The
 * same kind of array.
 */
int virsh_names_of(const struct virsh *virsh, const char *command, const char *domain, char ***ret_names,
		   struct sentence *error);
void virsh_free_names(char ***names); /* for CLEANUP() */

/* "'a', 'b' and 3 more", of such an array; free() it. */
char *virsh_show_names(char *const *names);

/*
 * "'virsh COMMAND DOMAIN NAME --metadata' has libvirt forget it", to be typed; free() it. The
 * command is "snapshot-delete" or "checkpoint-delete".
 */
char *virsh_say_forget(const char *command, const char *domain, const char *name);

#endif
