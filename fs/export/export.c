/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * While the caller waits, the destination, the layer and the space are checked. Then a worker has
 * qemu-img write a flat copy under a temporary name, and mostly sha256sum read it; output.c gives
 * the file its name, and a sidecar beside it (sidecar.c).
 */
#include "export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "destination.h"
#include "digest.h"
#include "flat_copy.h"
#include "layer.h"
#include "log.h"
#include "output.h"
#include "record.h"
#include "sidecar.h"
#include "transfer.h"

#define HOLES_MAX ((uint64_t)64 << 20) /* what sha256sum reads in a fraction of a second */

struct export
{
	struct destination destination;
	struct caller caller; /* a copy of its ids: the caller may be gone when the worker begins */
	struct qemu_conversion conversion;
	bool replace;
	enum checksum checksum;
	char *snapshot; /* NULL: the head, or with `held` what a saved guest resumes on */
	bool held;
	struct exported_file file; /* the worker's, until the transfer has ended */
};

static void free_export(void *work)
{
	struct export *export = work;

	destination_clear(&export->destination);
	free(export->snapshot);
	free(export);
}

/* --- before ----------------------------------------------------------------------------------- */

static int check_destination(const struct export *export, struct sentence *error)
{
	const struct destination *destination = &export->destination;
	CLEANUP(freep) char *sidecar = format_text("%s.json", destination->name);
	int r = sidecar ? destination_check(destination, &export->caller, destination->name, export->replace, error)
			: -ENOMEM;

	return r < 0 ? r : destination_check(destination, &export->caller, sidecar, export->replace, error);
}

/* --- in the background ------------------------------------------------------------------------ */

/* Earlier daemons gave no label to what a saved guest resumes on. */
static const char *label_of(const struct transfer *transfer)
{
	const struct export *export = transfer->work;
	const char *label = transfer->layer->record.consistency;

	return label[0] ? label : export->held ? "crash-consistent" : "clean";
}

static int describe_file(const struct transfer *transfer, int fd, struct exported_file *ret_file)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return -errno;
	ret_file->bytes = (uint64_t)stat.st_size;
	ret_file->allocated = (uint64_t)stat.st_blocks * 512;
	strcpy(ret_file->consistency, label_of(transfer));
	return 0;
}

/*
 * A copy takes as long as there is data, and a checksum as long as the file is, holes included. So
 * by default there is none of a raw file that is much longer than its data.
 */
static bool wants_checksum(const struct transfer *transfer)
{
	const struct export *export = transfer->work;
	bool is_cheap = strcmp(export->conversion.format, "raw") != 0 ||
			layer_virtual_size(transfer->layer) <= 2 * transfer->bytes + HOLES_MAX;

	return export->checksum == CHECKSUM_IF_CHEAP ? is_cheap : export->checksum == CHECKSUM_YES;
}

static int make_export(struct transfer *transfer, struct output *output, struct sentence *error)
{
	struct export *export = transfer->work;
	CLEANUP(freep) char *text = NULL;
	int r = output_begin(output, error);

	if (r == 0)
		r = transfer_convert(transfer, output->fd, &export->conversion, error);
	if (r == 0 && wants_checksum(transfer))
		r = transfer_digest(transfer, output->fd, export->file.sha256, error);
	if (r < 0)
		return r;
	if (describe_file(transfer, output->fd, &export->file) == 0)
		text = sidecar_text(transfer, export->snapshot, export->held, &export->conversion, &export->file);
	if (!text)
		return report(error, -ENOMEM, "out of memory");
	r = check_destination(export, error);
	return r < 0 ? r : output_finish(output, text, error);
}

static int run_export(struct transfer *transfer, struct sentence *error)
{
	struct export *export = transfer->work;
	CLEANUP(output_clear)
	struct output output = {
		.disks = transfer->disk->disks,
		.directory = fcntl(export->destination.directory, F_DUPFD_CLOEXEC, 0),
		.replace = export->replace,
		.uid = export->caller.who.uid,
		.gid = export->caller.who.gid,
		.mode = 0600,
		.record = { .directory = strdup(export->destination.path), .name = strdup(export->destination.name) },
		.fd = -1,
	};
	struct sentence why;
	int r = output.directory >= 0 && output.record.directory && output.record.name
			? make_export(transfer, &output, &why)
			: report(&why, -ENOMEM, "out of memory");

	if (r == 0)
		log_info("disk '%s': layer %s was exported to '%s'", transfer->disk->name, transfer->layer->record.id,
			 transfer->target);
	return r < 0 ? report(error, r, "disk '%s' cannot be exported to '%s': %s", transfer->disk->name,
			      transfer->target, why.text)
		     : 0;
}

/* --- the verb --------------------------------------------------------------------------------- */

static int prepare_export(struct disks *disks, struct caller *caller, const struct export_request *request,
			  struct export **ret_export, struct sentence *error)
{
	struct export *export = calloc(1, sizeof(*export));
	int r;

	if (!export)
		return report(error, -ENOMEM, "out of memory");
	export->destination.directory = -1;
	export->caller.who = caller->who;
	export->replace = request->replace;
	export->checksum = request->checksum;
	export->held = request->held;
	export->snapshot = request->snapshot ? strdup(request->snapshot) : NULL;
	r = flat_copy_parse(request, "qcow2", &export->conversion, error);
	if (r == 0)
		r = destination_open(disks, caller, request->to, &export->destination, error);
	if (r == 0)
		r = check_destination(export, error);
	if (r < 0)
		free_export(export);
	else
		*ret_export = export;
	return r;
}

/* As flat_copy_choose(); the export belongs to the transfer, or is freed. */
static struct transfer *choose(struct disks *disks, const struct export_request *request, struct export *export,
			       struct export_result *result, int *ret_error, struct sentence *error)
{
	const struct destination *destination = &export->destination;
	struct transfer *transfer = flat_copy_choose(disks, request, "export", result, ret_error, error);

	if (!transfer) {
		free_export(export);
		return NULL;
	}
	transfer->run = run_export;
	transfer->clear = free_export;
	transfer->work = export;
	transfer->target = format_text("%s/%s", destination->path[1] ? destination->path : "", destination->name);
	return transfer;
}

int disk_export(struct disks *disks, struct caller *caller, const struct export_request *request,
		struct export_result *ret_result, struct sentence *error)
{
	CLEANUP(transfer_putp) struct transfer *transfer = NULL;
	struct export *export = NULL;
	struct sentence why;
	int r = prepare_export(disks, caller, request, &export, error);

	if (r < 0)
		return r;
	transfer = choose(disks, request, export, ret_result, &r, error);
	if (!transfer)
		return r;
	if (!transfer->target)
		return report(error, -ENOMEM, "out of memory");
	r = flat_copy_check_space(transfer, export->destination.directory, &export->conversion, &why);
	if (r < 0)
		return report(error, r, "disk '%s' cannot be exported to '%s': %s", request->name, request->to,
			      why.text);
	r = flat_copy_queue(transfer, caller, ret_result, error);
	if (r < 0 || !request->wait)
		return r;
	r = transfer_wait(transfer, caller, error);
	if (r == 0)
		ret_result->file = export->file;
	return r;
}
