/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making scratches without a process: qemu-img writes one empty overlay per head, and every scratch is a copy of it.
 *
 * A template is held in memory as the few stretches of the file that are not zero (about 1 KiB), so that a reset is a handful of
 * small writes. Its modification time is set to a whole second in the past and copied to every scratch: a scratch whose
 * modification time or size differs from its template's has been written to, whoever wrote it and whoever was watching.
 */
#ifndef REVERTFS_QEMU_TEMPLATE_H
#define REVERTFS_QEMU_TEMPLATE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "options.h"
#include "qcow2.h"
#include "util.h"

struct template;

/* Have qemu-img make an overlay on `backing` as `name` in `directory` (replaced when there). Starts a process. */
int template_make(const struct options *options, int directory, const char *name, const char *backing,
		  const char *backing_format, uint64_t virtual_size, struct template **ret_template,
		  struct sentence *error);

/* Read one that was made before. -ENOENT, or -EBADMSG when it is none of ours. */
int template_load(int directory, const char *name, struct template **ret_template);

void template_free(struct template *template); /* NULL is fine */
void template_freep(struct template **template);

/* What the header of each scratch made of it says. */
const struct qcow2_header *template_header(const struct template *template);

/* Fill an empty file with it. Not synced. */
int template_fill(const struct template *template, int fd);

/* Give a file that was filled the template's modification time: the last thing to be done to a fresh scratch. */
int template_stamp(const struct template *template, int fd);

/* Whether a file is still as template_fill() and template_stamp() left it. */
bool template_matches(const struct template *template, const struct stat *stat);

#endif
