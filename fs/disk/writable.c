/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All is read from headers, before the first byte is written: once a layer's record says `folding`
 * there is no way back, and a fold that cannot end would block its disk for good.
 */
#include "writable.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "beneath.h"
#include "command.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "probe.h"
#include "qcow2_writable.h"
#include "qemu_img.h"
#include "trouble.h"

static const char *kind_of(const struct layer *layer)
{
	return layer->record.image ? "image" : "layer that it stands on";
}

/*
 * A bitmap that was not in use when the image was last taken for what it is, is in use since a fold
 * was cut short.
 */
static enum image_trouble trouble_now(const struct layer *root, enum image_trouble found, bool again)
{
	enum image_trouble before = TROUBLE_NONE;

	LOCKED (&root->disks->lock)
		before = root->record.trouble;
	return found == TROUBLE_BITMAP && (again || before != TROUBLE_BITMAP) ? TROUBLE_NONE : found;
}

static int check_image(struct layer *root, int fd, bool again, struct sentence *error)
{
	enum image_trouble found = TROUBLE_NONE;
	struct qcow2_header header;
	bool is = false;
	int r;

	if (root->record.format != FORMAT_QCOW2)
		return 0;
	r = qcow2_read_header(fd, &header, error);
	if (r == 0)
		r = probe_trouble(fd, &header, &found, error);
	if (r < 0)
		return report_context(error, r, "the image cannot be written: ");
	r = trouble_note(root, trouble_now(root, found, again));
	if (r < 0)
		return report(error, r, "what is wrong with the image cannot be recorded: %s", error_text(r));
	LOCKED (&root->disks->lock)
		is = trouble_of_image_locked(root, error);
	return is ? -EBADMSG : 0;
}

/*
 * How large a file may be, only its filesystem knows: a file without a name is tried. Where none
 * can be made nobody knows, and nothing is refused.
 */
static bool has_files_of(const struct layer *root, uint64_t size)
{
	CLEANUP(freep) char *directory = root->record.image ? strdup(root->record.image) : NULL;
	char *slash = directory ? strrchr(directory, '/') : NULL;
	CLEANUP(close_fdp) int parent = -1;
	CLEANUP(close_fdp) int fd = -1;

	if (slash)
		*slash = '\0';
	if (directory)
		parent = io_open_beneath(root->disks->images_fd, slash ? directory : ".", O_PATH | O_DIRECTORY);
	if (parent >= 0)
		fd = openat(parent, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 || (size <= INT64_MAX && (ftruncate(fd, (off_t)size) == 0 || errno != EFBIG));
}

/* What is done to an image for it is a change outside revertfs. */
static int check_qcow2_size(const struct layer *layer, int fd, struct sentence *error)
{
	struct qcow2_header header;
	struct sentence why, quoted;
	int r = qcow2_read_header(fd, &header, error);

	if (r < 0)
		return r;
	r = qcow2_check_growable(fd, &header, &why);
	if (r == -EOPNOTSUPP && layer->record.image)
		return report(error, r, "%s, then 'set %s image=unchanged'", why.text,
			      quote_name(layer->record.image, &quoted));
	return r < 0 ? report(error, r, "%s", why.text) : 0;
}

int writable_check_size(const struct layer *layer, int fd, uint64_t size, struct sentence *error)
{
	struct sentence why;
	int r = 0;

	if (size <= layer_virtual_size(layer))
		return 0;
	if (layer->record.format == FORMAT_QCOW2)
		r = check_qcow2_size(layer, fd, &why);
	else if (!has_files_of(layer, size))
		r = report(&why, -EOPNOTSUPP, "its filesystem has no files that large");
	return r < 0 ? report(error, r, "the %s cannot grow to %llu bytes: %s", kind_of(layer),
			      (unsigned long long)size, why.text)
		     : 0;
}

/* A file of ours. */
static int check_layer(const struct layer *layer, int fd, struct sentence *error)
{
	struct qcow2_header header = { 0 };
	int r = qcow2_read_header(fd, &header, error);

	if (r != 0 || !qcow2_is_corrupt(&header))
		return r;
	return report(error, -EBADMSG,
		      "QEMU has marked the file of layer %s corrupt, and does not open it for writing; "
		      "'export' copies what it reads as",
		      layer->record.id);
}

int writable_check(const struct layer *layer, const struct chain *chain, bool again, struct sentence *error)
{
	struct layer *parent = layer->parent;
	int fd = chain->nodes[1].fd;
	int r = check_layer(layer, chain->nodes[0].fd, error);

	if (r == 0)
		r = parent->record.image ? check_image(parent, fd, again, error) : check_layer(parent, fd, error);
	return r == 0 ? writable_check_size(parent, fd, layer->record.virtual_size, error) : r;
}

static int mend_counts(const struct disk *disk, const struct layer *parent, const struct chain *chain,
		       const struct program_watch *watch, struct sentence *error)
{
	log_info("disk '%s': a QEMU died with the %s open, whose clusters are counted anew before the fold", disk->name,
		 kind_of(parent));
	return qemu_img_repair(disk->disks->options, chain->nodes + 1, chain->length - 1, "all", watch, error);
}

static int modernize(const struct disk *disk, const struct layer *parent, const struct chain *chain,
		     const struct program_watch *watch, struct sentence *error)
{
	log_info("disk '%s': the %s, which has internal snapshots, becomes compat 1.1: no older one can grow",
		 disk->name, kind_of(parent));
	return qemu_img_modernize(disk->disks->options, chain->nodes + 1, chain->length - 1, watch, error);
}

int writable_mend(const struct disk *disk, const struct layer *layer, const struct chain *chain,
		  const struct program_watch *watch, struct sentence *error)
{
	const struct layer *parent = layer->parent;
	struct qcow2_header header = { 0 };
	int r = parent->record.format == FORMAT_QCOW2 ? qcow2_read_header(chain->nodes[1].fd, &header, error) : 0;

	if (r != 0)
		return r;
	if (qcow2_is_dirty(&header))
		r = mend_counts(disk, parent, chain, watch, error);
	if (r == 0 && qcow2_is_too_old_to_grow(&header) && layer->record.virtual_size > header.virtual_size)
		r = modernize(disk, parent, chain, watch, error);
	return r;
}
