/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The qcow2 options of scratches (template=), where the administrator chose none.
 */
#ifndef REVERTFS_QEMU_BLANK_OPTIONS_H
#define REVERTFS_QEMU_BLANK_OPTIONS_H

#include "options.h"

#define BLANK_WITH_SUBCLUSTERS "extended_l2=on,cluster_size=128k"
#define BLANK_WITHOUT_SUBCLUSTERS "cluster_size=16k"

/*
 * Fill in options->template_options and renew_blanks, unless somebody chose. Before any thread
 * runs. Starts a process, and waits five seconds for it at most.
 */
void blank_options_choose(struct options *options);

#endif
