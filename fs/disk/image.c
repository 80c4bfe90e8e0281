/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format is found once, when the image is protected, and recorded: a guest can write a qcow2
 * header into a raw disk, so a later probe would be the guest's choice. A change outside the mount
 * is found by inode, size and modification time.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "beneath.h"
#include "layer.h"
#include "log.h"
#include "magic.h"
#include "qcow2.h"
#include "table.h"

#define SECTOR 512

static int check_file(int fd, const char *name, struct sentence *error)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return report(error, -errno, "image '%s' cannot be looked at: %s", name, error_text(-errno));
	if (!S_ISREG(stat.st_mode))
		return report(error, -EINVAL, "'%s' is not a regular file", name);
	if (stat.st_nlink != 1)
		return report(error, -EINVAL,
			      "image '%s' has %lu links; protection is of the file, so remove the other names first",
			      name, (unsigned long)stat.st_nlink);
	return 0;
}

/* What the file begins with, unless the format is given. */
static int find_format(int fd, const char *name, const char *given, enum image_format *ret_format,
		       struct sentence *error)
{
	const char *found = given;
	int r;

	if (given && format_parse(given, ret_format) < 0)
		return report(error, -EINVAL, "format must be raw or qcow2, not '%s'", given);
	r = given ? 0 : magic_format(fd, &found);
	if (r < 0)
		return report(error, r, "image '%s' cannot be read: %s", name, error_text(r));
	if (format_parse(found, ret_format) < 0)
		return report(
			error, -EINVAL,
			"image '%s' looks like %s, not raw or qcow2; convert it with qemu-img convert, or say format=raw if what it looks like is a guest's data",
			name, found);
	return 0;
}

static int check_header(const char *name, const struct qcow2_header *header, struct sentence *error)
{
	struct sentence why;

	if (header->data_file)
		return report(error, -EINVAL,
			      "image '%s' has an external data file; make a plain copy with qemu-img convert", name);
	if (header->backing[0])
		return report(error, -EINVAL, "image '%s' has a backing file; make a plain copy with qemu-img convert",
			      name);
	if (header->encryption)
		return report(error, -EINVAL, "image '%s' is encrypted; only plain images can be protected", name);
	if (qcow2_check_alone(header, &why) < 0)
		return report(error, -EINVAL, "image '%s' cannot be protected as qcow2: %s", name, why.text);
	return 0;
}

static int read_qcow2_size(int fd, const char *name, uint64_t *ret_size, struct sentence *error)
{
	struct qcow2_header header;
	struct sentence why;
	int r = qcow2_read_header(fd, &header, &why);

	if (r == -ENOEXEC)
		return report(error, -EINVAL, "image '%s' is no qcow2", name);
	if (r < 0)
		return report(error, -EINVAL, "image '%s' cannot be protected as qcow2: %s", name, why.text);
	r = check_header(name, &header, error);
	if (r == 0)
		*ret_size = header.virtual_size / SECTOR * SECTOR;
	return r;
}

/* QEMU counts a raw file's last sector whole. */
static int read_raw_size(int fd, const char *name, uint64_t *ret_size, struct sentence *error)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return report(error, -errno, "image '%s' cannot be looked at: %s", name, error_text(-errno));
	*ret_size = ((uint64_t)stat.st_size + SECTOR - 1) / SECTOR * SECTOR;
	return 0;
}

static int probe_file(int fd, const char *name, const char *format, struct layer_record *record, struct sentence *error)
{
	int r = find_format(fd, name, format, &record->format, error);

	if (r < 0)
		return r;
	return record->format == FORMAT_QCOW2 ? read_qcow2_size(fd, name, &record->virtual_size, error)
					      : read_raw_size(fd, name, &record->virtual_size, error);
}

int image_probe(struct disks *disks, const char *name, const char *format, struct layer_record *ret_record,
		struct sentence *error)
{
	CLEANUP(close_fdp) int fd = io_open_beneath(disks->images_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	struct layer_record record = *ret_record;
	int r;

	if (fd == -ELOOP || fd == -EXDEV)
		return report(error, -EINVAL, "'%s' is or lies behind a symlink; name the image itself", name);
	if (fd < 0)
		return report(error, fd, "image '%s' cannot be opened: %s", name, error_text(fd));
	r = check_file(fd, name, error);
	if (r == 0)
		r = probe_file(fd, name, format, &record, error);
	if (r == 0 && layer_stamp_image(fd, &record.stamp) < 0)
		r = report(error, -EIO, "image '%s' cannot be looked at", name);
	if (r == 0)
		*ret_record = record;
	return r;
}

int image_accept(struct layer *root)
{
	struct layer_record record;
	int r;

	pthread_mutex_lock(&root->disks->records);
	record = root->record;
	r = layer_check_image(root, true, &record.stamp);
	if (r >= 0)
		r = layer_update(root, &record);
	pthread_mutex_unlock(&root->disks->records);
	return r;
}

/* Whether anything stands on what the image was: layers, a hold, or a clone. */
static bool is_depended_on_locked(const struct disk *disk)
{
	if (disk->root->children || disk->hold)
		return true;
	for (const struct disk *other = disk->disks->first; other; other = other->next_disk)
		if (other != disk && other->root == disk->root)
			return true;
	return false;
}

static bool is_being_folded(struct disks *disks, const struct layer *root)
{
	bool folding = false;

	pthread_mutex_lock(&disks->lock);
	for (const struct layer *layer = disks->layers; layer && !folding; layer = layer->next)
		folding = layer->parent == root && layer->record.state == LAYER_FOLDING;
	pthread_mutex_unlock(&disks->lock);
	return folding;
}

/* The image was changed outside the mount, and nothing depends on what it was. */
static int take_new_content(struct disk *disk, const struct image_stamp *stamp, struct sentence *error)
{
	struct layer *root = disk->root;
	struct layer_record record = root->record;
	struct disks *disks = disk->disks;
	int r;

	r = image_probe(disks, root->record.image, format_name(root->record.format), &record, error);
	if (r < 0)
		return report_context(
			error, r, "disk '%s': its image was changed and cannot be taken as it is now: ", disk->name);
	if (record.virtual_size != root->record.virtual_size)
		layer_forget_blank(root);
	record.stamp = *stamp;
	pthread_mutex_lock(&disks->records);
	/* A clone may have given the root layer a name since the record was copied. */
	record.names = root->record.names;
	record.name_count = root->record.name_count;
	r = layer_update(root, &record);
	pthread_mutex_unlock(&disks->records);
	if (r < 0)
		return report(error, r, "disk '%s': that its image was changed cannot be recorded: %s", disk->name,
			      error_text(r));
	log_warning(
		"disk '%s': its image was changed outside revertfs; nothing depended on it, so the disk now begins with the new content",
		disk->name);
	return 0;
}

/*
 * The sentence says what stands on the old content, and the command that gives up no more than
 * that.
 */
static int refuse_changed(const struct disk *disk, bool layers, struct sentence *error)
{
	const char *what = layers ? "layers" : disk->hold ? "a saved guest's state" : "changes in the scratch";
	const char *verb = layers ? "unprotect" : "reset";
	const char *force = layers || disk->hold ? " force=yes" : "";

	return report(
		error, -EBUSY,
		"disk '%s': its image was changed outside revertfs, and %s stand%s on what it was; "
		"'set %s image=unchanged' says that it has the same content as ever, '%s %s%s' gives up what stands on it",
		disk->name, what, !layers && disk->hold ? "s" : "", disk->name, verb, disk->name, force);
}

/* Whether something besides the disk's hold stands on the image. */
static bool has_layers_locked(const struct disk *disk)
{
	return disk->root->children > (disk->hold && disk->hold->parent == disk->root ? 1U : 0U) ||
	       disk_find_clone_locked(disk);
}

int image_check(struct disk *disk, bool scratch_depends, struct sentence *error)
{
	struct layer *root = disk->root;
	struct image_stamp stamp;
	bool depends, layers;
	int r = layer_check_image(root, is_being_folded(disk->disks, root), &stamp);

	if (r < 0)
		return report(error, r, "disk '%s': its image cannot be reached: %s", disk->name, error_text(r));
	if (r == 0)
		return 0;
	pthread_mutex_lock(&disk->disks->lock);
	depends = is_depended_on_locked(disk);
	layers = has_layers_locked(disk);
	pthread_mutex_unlock(&disk->disks->lock);
	if (depends || scratch_depends)
		return refuse_changed(disk, layers, error);
	return take_new_content(disk, &stamp, error);
}
