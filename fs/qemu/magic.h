/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format of an image, told by its first bytes without starting a process.
 *
 * qemu-img is always told the format. If it probed, it would follow what the file says: the
 * descriptor of a VMDK names other files, which root's qemu-img would open.
 */
#ifndef REVERTFS_QEMU_MAGIC_H
#define REVERTFS_QEMU_MAGIC_H

#include <stdbool.h>

/*
 * "qcow2", or the name of another format that QEMU knows ("VMDK"), or "raw" where the file looks
 * like none of them. A negative errno where it cannot be read.
 */
int magic_format(int fd, const char **ret_format);

/*
 * The format of a backing file, "qcow2" or "raw", as its overlay's header names it. One of an old
 * qemu-img names none (""), which QEMU would guess then, as is guessed here.
 */
const char *magic_backing_format(int fd, const char *named);

/*
 * Whether the file begins with text, as the page of a failed download does: in its first 4 KiB
 * there is something, no control character that texts do not have, above all no NUL, and not one
 * byte alone, with which a disk may have been wiped. A negative errno where it cannot be read.
 */
int magic_is_text(int fd, bool *ret_text);

#endif
