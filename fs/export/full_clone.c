/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A full clone is a flat copy in the images directory, with the owner, mode and xattrs of the image
 * it was made from. It is protected as soon as it is complete.
 *
 * Its name is taken from the moment that it is queued: the transfer is found by its target
 * (transfer_makes()). The name is looked at before, and once more, claimed, at that moment: what
 * goes before may take long. A crash before the image has its name leaves nothing. After a crash
 * behind that the next start protects the image (output.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "clone.h"
#include "disk.h"
#include "flat_copy.h"
#include "layer.h"
#include "log.h"
#include "new_disk.h"
#include "output.h"
#include "scratch.h"
#include "table.h"

struct full_clone {
	struct qemu_conversion conversion;
	int directory; /* where the image goes */
};

static void free_full_clone(void *work)
{
	struct full_clone *clone = work;

	close_fdp(&clone->directory);
	free(clone);
}

static int open_directory(struct disks *disks, const char *name, struct sentence *error)
{
	CLEANUP(freep) char *parent = strdup(name);
	char *slash = parent ? strrchr(parent, '/') : NULL;
	int fd;

	if (!parent)
		return report(error, -ENOMEM, "out of memory");
	if (slash)
		*slash = '\0';
	fd = io_open_beneath(disks->images_fd, slash ? parent : ".", O_RDONLY | O_DIRECTORY);
	return fd < 0 ? report(error, fd, "'%s' is no directory for a clone: %s", parent, error_text(fd)) : fd;
}

/* As a fresh scratch gets them: those of the disk's image. */
static int take_attributes(const struct transfer *transfer, struct output *output)
{
	struct stat stat;
	int r = scratch_set_attributes(transfer->disk, output->fd);

	if (r < 0 || fstat(output->fd, &stat) < 0)
		return r < 0 ? r : -errno;
	output->uid = stat.st_uid;
	output->gid = stat.st_gid;
	output->mode = stat.st_mode & 0777;
	return 0;
}

static int make_image(struct transfer *transfer, struct output *output, struct sentence *error)
{
	struct disks *disks = transfer->disk->disks;
	struct full_clone *clone = transfer->work;
	int r;

	format_parse(clone->conversion.format, &output->record.format);
	r = output_begin(output, error);
	if (r == 0)
		r = transfer_convert(transfer, output->fd, &clone->conversion, error);
	if (r < 0)
		return r;
	r = take_attributes(transfer, output);
	if (r < 0)
		return report(error, r, "its owner, mode and xattrs cannot be set: %s", error_text(r));
	r = output_finish(output, NULL, error);
	if (r < 0)
		return r;
	r = disk_protect(disks, output->record.name, clone->conversion.format, error);
	return r < 0 ? report_context(error, r, "the image is complete, but: ") : 0;
}

static int run_full_clone(struct transfer *transfer, struct sentence *error)
{
	struct full_clone *clone = transfer->work;
	CLEANUP(output_clear)
	struct output output = {
		.disks = transfer->disk->disks,
		.directory = fcntl(clone->directory, F_DUPFD_CLOEXEC, 0),
		.record = { .name = strdup(transfer->target) },
		.fd = -1,
	};
	struct sentence why;
	int r = output.directory >= 0 && output.record.name ? make_image(transfer, &output, &why)
							    : report(&why, -ENOMEM, "out of memory");

	if (r == 0)
		log_info("disk '%s' is a full clone of '%s'", transfer->target, transfer->disk->name);
	return r < 0 ? report(error, r, "disk '%s' cannot be cloned as '%s': %s", transfer->disk->name,
			      transfer->target, why.text)
		     : 0;
}

static int check_free_name(struct disks *disks, const char *name, struct sentence *error)
{
	struct disk *other = disks_find(disks, name);
	int r = other ? report(error, -EEXIST, "'%s' exists already", name) : clone_check_free_name(disks, name, error);

	disk_put(other);
	return r;
}

static int prepare_clone(struct disks *disks, const struct export_request *request, struct full_clone **ret_clone,
			 struct sentence *error)
{
	struct full_clone *clone = calloc(1, sizeof(*clone));
	int r;

	if (!clone)
		return report(error, -ENOMEM, "out of memory");
	clone->directory = -1;
	r = check_free_name(disks, request->to, error);
	if (r == 0)
		r = clone->directory = open_directory(disks, request->to, error);
	if (r < 0)
		free_full_clone(clone);
	else
		*ret_clone = clone;
	return r < 0 ? r : 0;
}

/* As flat_copy_choose(); the clone belongs to the transfer, or is freed. */
static struct transfer *choose(struct disks *disks, const struct export_request *request, struct full_clone *clone,
			       struct export_result *result, int *ret_error, struct sentence *error)
{
	struct transfer *transfer = flat_copy_choose(disks, request, "clone", result, ret_error, error);

	if (!transfer) {
		free_full_clone(clone);
		return NULL;
	}
	transfer->run = run_full_clone;
	transfer->clear = free_full_clone;
	transfer->work = clone;
	transfer->target = strdup(request->to);
	return transfer;
}

/* Whether there is room for the copy. The clone belongs to the transfer. */
static int check_space(struct transfer *transfer, const struct export_request *request, struct sentence *error)
{
	struct full_clone *clone = transfer->work;
	struct sentence why;
	int r = flat_copy_parse(request, format_name(transfer->disk->root->record.format), &clone->conversion, error);

	if (r < 0)
		return r;
	r = flat_copy_check_space(transfer, clone->directory, &clone->conversion, &why);
	return r < 0 ? report(error, r, "disk '%s' cannot be cloned as '%s': %s", request->name, request->to, why.text)
		     : 0;
}

/* Nobody gets the name between the look at it and the queue. */
static int take_name(struct disks *disks, struct transfer *transfer, const struct caller *caller,
		     struct export_result *result, struct sentence *error)
{
	struct name_claim claim = { .paths = { transfer->target }, .exclusive = true };
	int r = new_disk_claim_name(disks, transfer->target, &claim, error);

	if (r < 0)
		return r;
	r = check_free_name(disks, transfer->target, error);
	if (r == 0)
		r = flat_copy_queue(transfer, caller, result, error);
	name_claim_release(&claim);
	return r;
}

int disk_clone_full(struct disks *disks, struct caller *caller, const struct export_request *request,
		    struct export_result *ret_result, struct sentence *error)
{
	CLEANUP(transfer_putp) struct transfer *transfer = NULL;
	struct full_clone *clone = NULL;
	struct sentence missing;
	int r = disk_check_new_name(request->to, error);

	if (r == 0)
		r = prepare_clone(disks, request, &clone, error);
	if (r != 0)
		return r;
	transfer = choose(disks, request, clone, ret_result, &r, error);
	if (!transfer)
		return r;
	r = transfer->target ? check_space(transfer, request, error) : report(error, -ENOMEM, "out of memory");
	if (r == 0)
		r = take_name(disks, transfer, caller, ret_result, error);
	if (r == 0 && !request->snapshot && clone_say_missing(transfer->disk, request->to, false, &missing))
		log_warning("%s", missing.text);
	return r == 0 && request->wait ? transfer_wait(transfer, caller, error) : r;
}
