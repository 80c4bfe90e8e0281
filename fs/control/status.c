/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two renderings of the same model. The lock is taken for one disk at a time, so that the status of
 * thousands of disks does not block the mount. So each disk is shown consistently, but not all at
 * the same moment.
 */
#include "status.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clone.h"
#include "elsewhere.h"
#include "foldable.h"
#include "json.h"
#include "kept.h"
#include "layer.h"
#include "layer_header.h"
#include "lock.h"
#include "qemu_run.h"
#include "scratch.h"
#include "session.h"
#include "table.h"
#include "transfer.h"
#include "trouble.h"
#include "version.h"

static const char *const state_names[] = {
	[DISK_PRISTINE] = "pristine", [DISK_DIRTY] = "dirty", [DISK_FAILED] = "failed"
};

/*
 * What the kernel writes without the daemon changes disk->state only when a verb looks at the
 * scratch; the status looks at the file itself.
 */
static const char *state_name_locked(const struct disk *disk)
{
	if (disk->state == DISK_PRISTINE && disk->scratch && scratch_looks_dirty_locked(disk->scratch))
		return state_names[DISK_DIRTY];
	return state_names[disk->state];
}

/* Blocks on the medium, not the length: a scratch is sparse. */
static uint64_t allocated(int fd)
{
	struct stat stat;

	return fd >= 0 && fstat(fd, &stat) == 0 ? (uint64_t)stat.st_blocks * 512 : 0;
}

/* An image is not asked: its filesystem may hang, and the status must not. */
static uint64_t layer_bytes(const struct layer *layer)
{
	CLEANUP(freep) char *name = layer_file_name(layer->record.id, LAYER_FILE_SUFFIX);
	struct stat stat;

	if (layer->record.image)
		return layer->seen.st_nlink ? (uint64_t)layer->seen.st_blocks * 512 : layer->record.stamp.size;
	return name && fstatat(layer->disks->layers_fd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0
		       ? (uint64_t)stat.st_blocks * 512
		       : 0;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static struct json_object *describe_layer(const struct disk *disk, const struct layer *layer)
{
	CLEANUP(freep) char *file = layer_view_path(layer);
	struct json_object *object = json_object_new_object();
	struct json_object *names = json_object_new_array();
	const struct layer_record *record = &layer->record;
	char created[TIME_TEXT_SIZE];

	time_text(record->created, created);
	json_set_string(object, "id", record->id);
	json_set_string(object, "parent", layer->parent ? layer->parent->record.id : NULL);
	json_set_string(object, "file", file);
	json_set_u64(object, "bytes", layer_bytes(layer));
	json_set_u64(object, "virtual_size", record->virtual_size);
	for (size_t i = 0; i < record->name_count; i++)
		if (strcmp(record->names[i].disk, disk->name) == 0)
			json_object_array_add(names, json_object_new_string(record->names[i].snapshot));
	json_object_object_add(object, "names", names);
	json_set_string(object, "state", record->state == LAYER_FOLDING ? "folding" : "sealed");
	json_set_string(object, "created", created);
	json_set_string(object, "domain", record->domain[0] ? record->domain : NULL);
	json_set_string(object, "note", record->note[0] ? record->note : NULL);
	json_set_string(object, "consistency", record->consistency[0] ? record->consistency : NULL);
	return object;
}

static bool is_listed(struct json_object *list, const char *id)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *other = NULL;

		if (json_get_string(json_object_array_get_idx(list, i), "id", &other) > 0 && strcmp(id, other) == 0)
			return true;
	}
	return false;
}

static void list_chain(struct json_object *list, const struct disk *disk, const struct layer *layer)
{
	for (; layer && !is_listed(list, layer->record.id); layer = layer->parent)
		json_object_array_add(list, describe_layer(disk, layer));
}

static bool has_name_of(const struct layer *layer, const char *disk)
{
	for (size_t i = 0; i < layer->record.name_count; i++)
		if (strcmp(layer->record.names[i].disk, disk) == 0)
			return true;
	return false;
}

/* The layers that the disk's head, hold and names stand on; not those that its clones made. */
static struct json_object *describe_layers(const struct disk *disk)
{
	struct json_object *list = json_object_new_array();

	if (!disk->head)
		return list;
	list_chain(list, disk, disk->head);
	list_chain(list, disk, disk->hold);
	for (const struct layer *layer = disk->disks->layers; layer; layer = layer->next)
		if (has_name_of(layer, disk->name))
			list_chain(list, disk, layer);
	return list;
}

static struct json_object *describe_session_locked(const struct disk *disk)
{
	struct json_object *object;
	char since[TIME_TEXT_SIZE];

	if (!disk->session)
		return NULL;
	object = json_object_new_object();
	time_text(disk->session->since, since);
	json_set_string(object, "uuid", disk->session->uuid);
	json_set_string(object, "domain", disk->session->domain);
	json_set_string(object, "target", disk->session->target);
	json_set_string(object, "since", since);
	json_set_bool(object, "continued", disk->session->continued);
	json_set_bool(object, "active", session_is_active_locked(disk));
	return object;
}

static struct json_object *describe_hold(const struct disk *disk)
{
	struct json_object *object;

	if (!disk->hold)
		return NULL;
	object = json_object_new_object();
	json_set_string(object, "layer", disk->record.hold);
	json_set_string(object, "uuid", disk->record.hold_uuid);
	json_set_string(object, "domain", disk->record.hold_domain);
	return object;
}

static unsigned count_open_locked(const struct disk *disk)
{
	const struct scratch *scratch = disk->scratch;

	return scratch ? scratch->readers + scratch->writers + scratch->onlookers.open : 0;
}

static bool disk_is_used_locked(const struct disk *disk)
{
	return session_is_active_locked(disk) || disk_is_open_locked(disk);
}

static bool is_folding(const struct disk *disk)
{
	for (const struct layer *layer = disk->head; layer; layer = layer->parent)
		if (layer->record.state == LAYER_FOLDING)
			return true;
	return false;
}

/*
 * The members that all kinds of job have. The estimate assumes that the rest takes as long, by the
 * byte.
 */
static struct json_object *begin_job(const char *kind, enum job_state state, double percent, uint64_t bytes,
				     uint64_t started)
{
	struct json_object *object = json_object_new_object();
	bool running = state == JOB_RUNNING;
	double elapsed = (double)(monotonic_ms() - started) / 1000;

	json_set_string(object, "kind", kind);
	json_set_string(object, "state", running ? "running" : "waiting");
	json_object_object_add(object, "percent", json_object_new_double(running ? percent : 0));
	json_set_u64(object, "bytes", running ? (uint64_t)((double)bytes * percent / 100) : 0);
	json_set_u64(object, "bytes_total", bytes);
	json_object_object_add(object, "seconds_left",
			       running && percent >= 1
				       ? json_object_new_int64((int64_t)(elapsed * (100 - percent) / percent + 0.5))
				       : NULL);
	return object;
}

static struct json_object *describe_fold_locked(const struct disk *disk)
{
	struct json_object *object =
		begin_job("fold", disk->job.state, disk->job.percent, disk->job.bytes, disk->job.started);
	struct sentence why;
	bool waits = fold_waits_for_locked(disk, &why);

	json_set_string(object, "layer", disk->job.layer ? disk->job.layer->record.id : NULL);
	json_set_string(object, "waits_for", waits ? why.text : NULL);
	return object;
}

static struct json_object *describe_transfer(const struct transfer *transfer)
{
	struct json_object *object =
		begin_job(transfer->kind, transfer->state, transfer->percent, transfer->bytes, transfer->started);

	json_set_string(object, "step", transfer->is_copied ? "checksum" : "copy");
	json_set_u64(object, "number", transfer->number);
	json_set_string(object, "layer", transfer->layer ? transfer->layer->record.id : NULL);
	json_set_string(object, "to", transfer->target);
	return object;
}

/* The running ones first. */
static struct json_object *describe_jobs_locked(const struct disk *disk)
{
	static const enum job_state states[] = { JOB_RUNNING, JOB_QUEUED };
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (disk->job.state == states[i])
			json_object_array_add(list, describe_fold_locked(disk));
		for (const struct transfer *t = disk->disks->transfers; t; t = t->next)
			if (t->disk == disk && t->state == states[i])
				json_object_array_add(list, describe_transfer(t));
	}
	return list;
}

static struct json_object *describe_properties(const struct disk *disk)
{
	struct json_object *object = json_object_new_object();

	json_set_u64(object, "keep-revisions", record_revisions(&disk->record));
	json_set_string(object, "leftover", disk->record.leftover_keep ? "keep" : "discard");
	json_set_string(object, "durability", disk->record.strict ? "strict" : "relaxed");
	json_set_bool(object, "reverts", !disk->record.keeps_data);
	return object;
}

/* How many there are, and which of them run on a head that this disk no longer has. */
static void describe_clones_locked(const struct disk *disk, struct json_object *object)
{
	struct json_object *behind = json_object_new_array();
	uint64_t count = 0;

	for (const struct disk *clone = disk->disks->first; clone; clone = clone->next_disk) {
		if (!clone->record.origin || strcmp(clone->record.origin, disk->name) != 0)
			continue;
		count++;
		if (clone_is_behind_locked(clone) && disk_is_used_locked(clone))
			json_object_array_add(behind, json_object_new_string(clone->name));
	}
	json_set_u64(object, "clones", count);
	json_object_object_add(object, "clones_behind", behind);
}

static void describe_chain_locked(const struct disk *disk, struct json_object *object)
{
	struct sentence why;
	bool waits = fold_waits_for_locked(disk, &why), overdue;

	json_set_u64(object, "depth", fold_depth_locked(disk));
	json_set_string(object, "waits_for", waits ? why.text : NULL);
	overdue = fold_is_overdue_locked(disk, disk->disks->options->max_layers, &why);
	json_set_string(object, "warning", overdue ? why.text : NULL);
}

static struct json_object *describe_disk_locked(const struct disk *disk, bool passthrough)
{
	struct json_object *object = json_object_new_object(), *jobs = describe_jobs_locked(disk);
	const char *last_error = disk->last_error.text;
	struct sentence trouble, kept;

	json_set_string(object, "name", disk->name);
	json_set_string(object, "state", state_name_locked(disk));
	json_set_u64(object, "open", count_open_locked(disk));
	json_set_string(object, "head", disk->record.head[0] ? disk->record.head : NULL);
	json_set_string(object, "format", disk->root ? format_name(disk->root->record.format) : NULL);
	json_set_u64(object, "virtual_size", disk->head ? disk->head->record.virtual_size : 0);
	json_set_bool(object, "passthrough", passthrough && (!disk->scratch || atomic_load(&disk->scratch->passed)));
	json_set_u64(object, "scratch_bytes", disk->scratch ? allocated(disk->scratch->fd) : 0);
	json_object_object_add(object, "layers", describe_layers(disk));
	json_object_object_add(object, "session", describe_session_locked(disk));
	json_object_object_add(object, "hold", describe_hold(disk));
	json_set_bool(object, "armed", (disk->session && disk->session->armed) || disk->record.commit_at_release);
	json_set_bool(object, "commit_at_release", disk->record.commit_at_release);
	json_set_string(object, "unread", disk->record.unread_uuid[0] ? disk->record.unread_uuid : NULL);
	json_set_bool(object, "unhooked", disk->record.fate == FATE_UNHOOKED);
	json_set_string(object, "kept", disk->record.fate == FATE_DISCARD ? NULL : fate_name(disk->record.fate));
	json_set_string(object, "leftover", kept_waits_locked(disk, &kept) ? kept.text : NULL);
	json_set_bool(object, "folding", is_folding(disk));
	json_set_string(object, "image_trouble", trouble_known_locked(disk, &trouble) ? trouble.text : NULL);
	json_set_string(object, "copied", disk->copied);
	json_object_object_add(object, "job", json_object_get(json_object_array_get_idx(jobs, 0)));
	json_object_object_add(object, "jobs", jobs);
	json_set_string(object, "template", disk->record.origin);
	describe_clones_locked(disk, object);
	describe_chain_locked(disk, object);
	json_set_bool(object, "follow", disk->record.follow);
	json_set_bool(object, "behind", clone_is_behind_locked(disk));
	json_set_string(object, "last_error", last_error[0] ? last_error : NULL);
	json_object_object_add(object, "properties", describe_properties(disk));
	return object;
}

static bool has_images_elsewhere(struct disks *disks, struct sentence *ret_what)
{
	bool has = false;

	LOCKED (&disks->lock)
		has = elsewhere_said_locked(disks, ret_what);
	return has;
}

static void describe_elsewhere(struct disks *disks, struct json_object *root)
{
	struct sentence what;

	json_set_string(root, "elsewhere", has_images_elsewhere(disks, &what) ? what.text : NULL);
}

char *status_json(struct disks *disks, const struct mount_facts *facts)
{
	CLEANUP(json_putp) struct json_object *root = json_object_new_object();
	struct json_object *list = json_object_new_array();

	json_set_string(root, "version", REVERTFS_VERSION);
	json_set_u64(root, "pid", (uint64_t)getpid());
	json_set_u64(root, "restarts", facts->restarts);
	json_set_u64(root, "nodes", facts->nodes);
	json_set_u64(root, "handles", facts->handles);
	json_set_string(root, "images", disks->options->images);
	json_set_string(root, "mount", disks->options->mount);
	json_set_string(root, "state", disks->options->state);
	json_set_bool(root, "passthrough", facts->passthrough);
	json_set_bool(root, "boxed", qemu_is_boxed(disks->options));
	json_set_bool(root, "lost", atomic_load(&disks->state_guard.lost));
	describe_elsewhere(disks, root);
	for (struct disk *disk = disks_step(disks, NULL); disk; disk = disks_step(disks, disk)) {
		pthread_mutex_lock(&disks->lock);
		json_object_array_add(list, describe_disk_locked(disk, facts->passthrough));
		pthread_mutex_unlock(&disks->lock);
	}
	json_object_object_add(root, "disks", list);
	return format_text(
		"%s\n", json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* --- the table -------------------------------------------------------------------------------- */

/* The job that runs, or else the first that waits. */
static void describe_job_shortly(const struct disk *disk, char *text, size_t size)
{
	const struct transfer *waiting = NULL;

	for (const struct transfer *t = disk->disks->transfers; t; t = t->next) {
		if (t->disk != disk)
			continue;
		if (t->state == JOB_RUNNING) {
			snprintf(text, size, "%s %.0f%%", t->kind, t->percent);
			return;
		}
		waiting = waiting ? waiting : t;
	}
	if (disk->job.state == JOB_RUNNING)
		snprintf(text, size, "fold %.0f%%", disk->job.percent);
	else if (waiting)
		snprintf(text, size, "%s waits", waiting->kind);
	else if (disk->job.state == JOB_QUEUED)
		snprintf(text, size, "fold waits");
}

static void print_disk_locked(FILE *stream, const struct disk *disk)
{
	size_t depth = fold_depth_locked(disk);
	struct sentence why;
	char size[SIZE_TEXT_SIZE], job[48] = "-", head[32] = "image";

	size_text(disk->scratch ? allocated(disk->scratch->fd) : 0, size);
	if (depth)
		snprintf(head, sizeof(head), "image+%zu", depth);
	describe_job_shortly(disk, job, sizeof(job));
	fprintf(stream, "%-28s %-9s %-9s %8s  %-20s %s\n", disk->name, disk->hold ? "held" : state_name_locked(disk),
		head, size,
		disk->session ? disk->session->domain
		: disk->hold  ? disk->record.hold_domain
			      : "-",
		job);
	if (is_folding(disk))
		fprintf(stream,
			"    being folded: the image file alone is incomplete until that ends; do not copy it\n");
	if (trouble_known_locked(disk, &why) && !strstr(disk->last_error.text, why.text))
		fprintf(stream, "    warning: %s\n", why.text);
	if (kept_waits_locked(disk, &why))
		fprintf(stream, "    warning: %s\n", why.text);
	if (fold_is_overdue_locked(disk, disk->disks->options->max_layers, &why))
		fprintf(stream, "    warning: %s\n", why.text);
	if (disk->last_error.text[0])
		fprintf(stream, "    last error: %s\n", disk->last_error.text);
}

char *status_table(struct disks *disks)
{
	char *text = NULL;
	size_t length = 0;
	FILE *stream = open_memstream(&text, &length);
	struct sentence what;

	if (!stream)
		return NULL;
	if (atomic_load(&disks->state_guard.lost))
		fprintf(stream,
			"The lock on the state directory is lost: no command changes anything; stop this revertfs.\n");
	if (has_images_elsewhere(disks, &what))
		fprintf(stream, "warning: %s\n", what.text);
	fprintf(stream, "%-28s %-9s %-9s %8s  %-20s %s\n", "NAME", "STATE", "HEAD", "SCRATCH", "DOMAIN", "JOB");
	for (struct disk *disk = disks_step(disks, NULL); disk; disk = disks_step(disks, disk)) {
		pthread_mutex_lock(&disks->lock);
		print_disk_locked(stream, disk);
		pthread_mutex_unlock(&disks->lock);
	}
	if (fclose(stream) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
