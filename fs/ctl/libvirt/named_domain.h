/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's name where a disk's is wanted.
 */
#ifndef REVERTFS_CTL_LIBVIRT_NAMED_DOMAIN_H
#define REVERTFS_CTL_LIBVIRT_NAMED_DOMAIN_H

#include "arguments.h"

/*
 * A subcommand has found no such thing. Where its first word is no disk's name but a domain's, the
 * sentence becomes one that names the domain's disks, and the command for them; else it stays.
 * Waits for libvirt and the daemons, a few seconds at most.
 */
void named_domain_explain(const struct context *context, const struct arguments *arguments, struct sentence *error);

#endif
