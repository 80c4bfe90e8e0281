/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a renaming hook leaves of an image NAME: while a domain runs, and after a crash, the image
 * is called NAME.backing_file, and NAME is an overlay on it that the hook has made. Here are names
 * alone: the daemon and revertctl have to agree on them.
 */
#ifndef REVERTFS_BASE_RENAMED_H
#define REVERTFS_BASE_RENAMED_H

#include <stdbool.h>

#define RENAMED_IMAGE ".backing_file"

/*
 * Behind NAME, the overlay's name while `revertctl adopt` commits it: then NAME.backing_file has
 * got a part of it, and is not to be had back without the rest.
 */
#define RENAMED_KEPT ".being_kept"

/*
 * Whether the backing file that the header of NAME's file names is NAME.backing_file, in whatever
 * directory: the same directory may be spelt in many ways, and none of them is looked up.
 */
bool renamed_is_overlay(const char *name, const char *backing);

#endif
