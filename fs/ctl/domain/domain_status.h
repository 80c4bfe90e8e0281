/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does this domain revert now? For each of its disks a word and a sentence, made of the domain's
 * XML, the JSON file that the hook reads for it, and what the daemons say of its disks.
 *
 *   reverts       what a session writes is thrown away when it ends
 *   armed         ... and what this one writes is committed
 *   unprotected   what is written stays
 *   unknown       that cannot be told; the sentence says why
 */
#ifndef REVERTFS_CTL_DOMAIN_DOMAIN_STATUS_H
#define REVERTFS_CTL_DOMAIN_DOMAIN_STATUS_H

#include "arguments.h"
#include "json.h"

/*
 * Asks libvirt and all daemons; waits for each a few seconds at most. Where libvirt does not
 * answer, the domain's file and the daemons are asked alone. -ENOENT where there is no such domain;
 * an errno with a sentence where nothing knows it and libvirt does not answer. To release with
 * json_object_put():
 *
 *   domain uuid state  running, paused, off, saved, or null
 *   file               its JSON file, or null
 *   disks              a list: target source mount name does sentence
 *   refused            why the hook would refuse to start it, or null
 *   error              why libvirt or the file does not say more, or null
 */
int domain_status(const struct context *context, const char *word, struct json_object **ret_status,
		  struct sentence *error);

/* The same as text for a person; free() it. */
char *domain_status_text(struct json_object *status);

#endif
