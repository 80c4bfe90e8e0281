/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format of an image, told by its first bytes without starting a process.
 *
 * qemu-img is always told the format. If it probed, it would follow what the file says: the
 * descriptor of a VMDK names other files, which root's qemu-img would open.
 */
#ifndef REVERTFS_QEMU_MAGIC_H
#define REVERTFS_QEMU_MAGIC_H

/*
 * "qcow2", or the name of another format that QEMU knows ("VMDK"), or "raw" where the file looks
 * like none of them. A negative errno where it cannot be read.
 */
int magic_format(int fd, const char **ret_format);

#endif
