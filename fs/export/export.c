/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checked while the caller waits: the destination, the layer, the space. Then a worker lets
 * qemu-img write a flat copy under a temporary name, has its checksum taken, and output.c gives it
 * its name and a sidecar that says what it is.
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
#include "json.h"
#include "layer.h"
#include "log.h"
#include "output.h"
#include "record.h"
#include "transfer.h"

#define SIDECAR_VERSION 1

struct export
{
	struct destination destination;
	struct caller caller; /* a copy: the one who asked may be gone */
	struct qemu_conversion conversion;
	bool replace;
	char *snapshot;              /* NULL: the head */
	struct json_object *sidecar; /* what is known beforehand, and then the rest */
};

static void free_export(void *work)
{
	struct export *export = work;

	destination_clear(&export->destination);
	json_object_put(export->sidecar);
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

static struct json_object *list_layers(const struct layer *layer)
{
	struct json_object *list = json_object_new_array();

	for (; layer; layer = layer->parent)
		json_object_array_add(list, json_object_new_string(layer->record.id));
	return list;
}

/*
 * The sidecar's part that is known when it begins. The layers are counted as read, so that their
 * records stay.
 */
static struct json_object *begin_sidecar(const struct transfer *transfer, const struct export *export)
{
	const struct layer_record *record = &transfer->layer->record;
	struct json_object *sidecar = json_object_new_object();
	char sealed[TIME_TEXT_SIZE];

	time_text(record->created, sealed);
	json_set_u64(sidecar, "version", SIDECAR_VERSION);
	json_set_string(sidecar, "disk", transfer->disk->name);
	json_set_string(sidecar, "point", export->snapshot);
	json_set_string(sidecar, "template", transfer->disk->record.origin);
	json_set_string(sidecar, "image", transfer->disk->root->record.image);
	json_set_string(sidecar, "layer", record->id);
	json_object_object_add(sidecar, "layers", list_layers(transfer->layer));
	json_set_string(sidecar, "sealed", sealed);
	json_set_string(sidecar, "note", record->note[0] ? record->note : NULL);
	json_set_string(sidecar, "consistency", record->consistency[0] ? record->consistency : "clean");
	json_set_string(sidecar, "format", export->conversion.format);
	json_set_bool(sidecar, "compressed", export->conversion.compress);
	json_set_u64(sidecar, "virtual_size", record->virtual_size);
	return sidecar;
}

/* --- in the background ------------------------------------------------------------------------ */

static int finish_sidecar(struct json_object *sidecar, int fd, const char *digest)
{
	char now[TIME_TEXT_SIZE];
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return -errno;
	time_text(time(NULL), now);
	json_set_string(sidecar, "exported", now);
	json_set_u64(sidecar, "bytes", (uint64_t)stat.st_size);
	json_set_u64(sidecar, "allocated", (uint64_t)stat.st_blocks * 512);
	json_set_string(sidecar, "sha256", digest);
	return 0;
}

static int make_export(struct transfer *transfer, struct output *output, struct sentence *error)
{
	const struct options *options = transfer->disk->disks->options;
	struct program_watch watch = transfer_watch(transfer);
	struct export *export = transfer->work;
	CLEANUP(freep) char *text = NULL;
	char digest[DIGEST_SIZE];
	int r = output_begin(output, error);

	if (r == 0)
		r = transfer_convert(transfer, output->fd, &export->conversion, error);
	if (r < 0)
		return r;
	watch.progress = NULL;
	r = digest_file(options, output->fd, &watch, digest, error);
	if (r < 0)
		return r;
	if (finish_sidecar(export->sidecar, output->fd, digest) == 0)
		text = format_text("%s\n",
				   json_object_to_json_string_ext(
					   export->sidecar, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
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
		.uid = export->caller.uid,
		.gid = export->caller.gid,
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

static void answer_with(struct json_object *answer, struct json_object *sidecar)
{
	static const char *const keys[] = { "sha256", "bytes", "allocated", "consistency" };
	struct json_object *value;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_object_object_get_ex(sidecar, keys[i], &value))
			json_object_object_add(answer, keys[i], json_object_get(value));
}

static int prepare_export(struct disks *disks, struct caller *caller, const struct export_request *request,
			  struct export **ret_export, struct sentence *error)
{
	struct export *export = calloc(1, sizeof(*export));
	int r;

	if (!export)
		return report(error, -ENOMEM, "out of memory");
	export->destination.directory = -1;
	export->caller.uid = caller->uid;
	export->caller.gid = caller->gid;
	export->replace = request->replace;
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

int disk_export(struct disks *disks, struct caller *caller, const struct export_request *request,
		struct json_object *answer, struct sentence *error)
{
	CLEANUP(transfer_putp) struct transfer *transfer = NULL;
	struct export *export = NULL;
	bool uncommitted = false;
	struct sentence why;
	int r = prepare_export(disks, caller, request, &export, error);

	if (r < 0)
		return r;
	transfer = flat_copy_choose(disks, request, "export", &uncommitted, &r, error);
	if (!transfer) {
		free_export(export);
		return r;
	}
	transfer->run = run_export;
	transfer->clear = free_export;
	transfer->work = export;
	transfer->target = format_text("%s/%s", export->destination.path[1] ? export->destination.path : "",
				       export->destination.name);
	export->sidecar = begin_sidecar(transfer, export);
	if (!transfer->target)
		return report(error, -ENOMEM, "out of memory");
	r = flat_copy_check_space(transfer, export->destination.directory, &export->conversion, &why);
	if (r < 0)
		return report(error, r, "disk '%s' cannot be exported to '%s': %s", request->name, request->to,
			      why.text);
	if (!request->snapshot)
		json_set_bool(answer, "uncommitted", uncommitted); /* changes in the scratch are not in it */
	r = flat_copy_queue(transfer, caller, request, answer, error);
	if (r == 0 && request->wait)
		answer_with(answer, export->sidecar);
	return r;
}
