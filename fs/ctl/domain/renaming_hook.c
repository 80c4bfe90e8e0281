/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has been done is told by names alone, so that the same command, typed again after a kill at
 * any step, goes on where it was. NAME.backing_file, the image, gets its name back last: until then
 * no domain starts on it.
 *
 *   discard   1. NAME becomes NAME.overlay-TIME
 *             2. NAME.backing_file becomes NAME
 *
 *   keep      1. NAME becomes NAME.being_kept, and the directory is synced
 *             2. that is committed into NAME.backing_file, and synced; a commit that was broken off
 *                can be made again, but the image is of no use without the rest
 *             3. NAME.backing_file becomes NAME
 *             4. NAME.being_kept becomes NAME.overlay-TIME
 *
 * All of it can be taken back, but for a commit that has begun to write.
 */
#include "renaming_hook.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ask.h"
#include "box.h"
#include "command.h"
#include "io.h"
#include "magic.h"
#include "qemu_img.h"
#include "renamed.h"
#include "status_json.h"

#define OPTION "from-renaming-hook"
#define QEMU_TIMEOUT_S 60 /* without any progress */

int renaming_hook_parse(const struct arguments *arguments, enum renaming_hook *ret_choice, struct sentence *error)
{
	const char *word = arguments_value(arguments, OPTION);

	*ret_choice = RENAMING_HOOK_NONE;
	if (!arguments_has(arguments, OPTION))
		return 0;
	if (word && strcmp(word, "discard") != 0 && strcmp(word, "keep") != 0)
		return report(error, -EINVAL, "'--" OPTION "=%s': it is --" OPTION "=discard, or --" OPTION "=keep",
			      word);
	*ret_choice = word && strcmp(word, "keep") == 0 ? RENAMING_HOOK_KEEP : RENAMING_HOOK_DISCARD;
	return 0;
}

const char *renaming_hook_format(const struct conversion *conversion, const struct conversion_disk *disk)
{
	const char *format = disk->renamed.format;

	if (conversion->renaming_hook == RENAMING_HOOK_NONE)
		return disk->from_format;
	return strcmp(format, "raw") == 0 || strcmp(format, "qcow2") == 0 ? format : NULL;
}

/* ---- what there is */

/* What the daemon would say to protecting this file: it sees whoever has it open for writing. */
static int ask_check(const struct conversion *conversion, const struct conversion_disk *disk, const char *suffix,
		     struct sentence *error)
{
	const char *format = *suffix ? renaming_hook_format(conversion, disk) : NULL;
	CLEANUP(json_putp) struct json_object *answer = NULL;
	CLEANUP(freep) char *name = format_text("%s%s", disk->name, suffix);
	CLEANUP(freep) char *line = format_text("check %s", conversion->defined.domain->uuid);
	int r = name && line ? command_append(&line, NULL, name) : -ENOMEM;

	if (r == 0)
		r = command_append(&line, "target", disk->target);
	if (r == 0 && format)
		r = command_append(&line, "format", format);
	return r < 0 ? report(error, r, "'%s' cannot stand in a command: %s", disk->name, error_text(r))
		     : ask(disk->mount->point, line, ASK_TIMEOUT_MS, &answer, error);
}

static int check_idle(const struct conversion *conversion, const struct conversion_disk *disk, struct sentence *error)
{
	struct sentence why;

	/* That it is an overlay is known. */
	if (disk->renamed.state == RENAMED_OVERLAY && ask_check(conversion, disk, "", &why) == -EBUSY)
		return report(error, -EBUSY, "disk '%s': %s", disk->target, why.text);
	return ask_check(conversion, disk, RENAMED_IMAGE, error);
}

static int refuse_without_choice(const struct conversion *conversion, const struct conversion_disk *disk,
				 struct sentence *error)
{
	struct sentence quoted;
	const char *domain = quote_name(conversion->defined.domain->name, &quoted);

	if (disk->renamed.state == RENAMED_MISSING)
		return report(error, -EINVAL,
			      "disk '%s': '%s' is not there, but '%s" RENAMED_IMAGE
			      "', as a hook that renames images leaves it: 'revertctl adopt %s --" OPTION
			      "' has it back",
			      disk->target, disk->name, disk->name, domain);
	return report(error, -EINVAL,
		      "disk '%s': '%s' is an overlay of a hook that renames images, and the image is '%s" RENAMED_IMAGE
		      "': 'revertctl adopt %s --" OPTION
		      "' throws away what the overlay has, 'revertctl adopt %s --" OPTION "=keep' keeps it",
		      disk->target, disk->name, disk->name, domain, domain);
}

static int refuse_half(const struct conversion *conversion, const struct conversion_disk *disk, struct sentence *error)
{
	struct sentence quoted;

	return report(error, -EINVAL,
		      "disk '%s': '%s" RENAMED_IMAGE "' has a part of what '%s" RENAMED_KEPT
		      "' has, and is of no use without the rest: 'revertctl adopt %s --" OPTION
		      "=keep' goes on with that",
		      disk->target, disk->name, disk->name, quote_name(conversion->defined.domain->name, &quoted));
}

static int check_choice(const struct conversion *conversion, const struct conversion_disk *disk, struct sentence *error)
{
	enum renaming_hook choice = conversion->renaming_hook;

	switch (disk->renamed.state) {
	case RENAMED_NOT:
	case RENAMED_ALL_KEPT:
		return 0;
	case RENAMED_HALF_KEPT:
		return choice == RENAMING_HOOK_KEEP ? 0 : refuse_half(conversion, disk, error);
	case RENAMED_MISSING:
		if (choice == RENAMING_HOOK_KEEP)
			return report(error, -ENOENT,
				      "disk '%s': '%s' is not there, and so there is nothing to keep: --" OPTION
				      "=discard has the image back",
				      disk->target, disk->name);
		break;
	case RENAMED_OVERLAY:
		break;
	}
	return choice == RENAMING_HOOK_NONE ? refuse_without_choice(conversion, disk, error) : 0;
}

/* The name that the overlay gets, for good. */
static char *name_overlay(const struct conversion_disk *disk)
{
	time_t now = time(NULL);
	struct tm parts;
	char when[32];

	gmtime_r(&now, &parts);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &parts);
	return format_text("%s.overlay-%s", disk->renamed.name, when);
}

static bool has_overlay(const struct conversion *conversion, const struct conversion_disk *disk)
{
	switch (disk->renamed.state) {
	case RENAMED_OVERLAY:
	case RENAMED_HALF_KEPT:
		return true;
	case RENAMED_ALL_KEPT:
		return conversion->renaming_hook == RENAMING_HOOK_KEEP;
	case RENAMED_NOT:
	case RENAMED_MISSING:
		break;
	}
	return false;
}

bool renaming_hook_has_aside(const struct conversion_disk *disk)
{
	return disk->renamed.state == RENAMED_OVERLAY || disk->renamed.state == RENAMED_MISSING ||
	       disk->renamed.state == RENAMED_HALF_KEPT;
}

static int look_at(const struct conversion *conversion, struct conversion_disk *disk, struct sentence *error)
{
	int r = renamed_disk_look(disk->mount->images, disk->name, &disk->renamed, error);

	if (r == 0)
		r = check_choice(conversion, disk, error);
	if (r == 0 && renaming_hook_has_aside(disk))
		r = check_idle(conversion, disk, error);
	if (r < 0 || !has_overlay(conversion, disk))
		return r;
	disk->overlay = name_overlay(disk);
	return disk->overlay ? 0 : report(error, -ENOMEM, "out of memory");
}

int renaming_hook_look(struct conversion *conversion, struct sentence *error)
{
	int r = 0;

	for (size_t i = 0; i < conversion->count && r == 0; i++)
		if (!conversion->disks[i].is_disk)
			r = look_at(conversion, &conversion->disks[i], error);
	return r;
}

/* ---- renames */

/* One of NAME's names becomes another: a suffix, or all of a name. */
struct move {
	const char *from, *to;
	bool to_is_name;
};

/* Those of a disk, in their order; a commit comes after the first where the overlay is kept. */
static size_t moves_of(const struct conversion *conversion, const struct conversion_disk *disk, struct move moves[3])
{
	bool keep = conversion->renaming_hook == RENAMING_HOOK_KEEP;
	size_t count = 0;

	if (disk->renamed.state == RENAMED_OVERLAY)
		moves[count++] =
			keep ? (struct move){ "", RENAMED_KEPT, false } : (struct move){ "", disk->overlay, true };
	if (renaming_hook_has_aside(disk))
		moves[count++] = (struct move){ RENAMED_IMAGE, "", false };
	if (keep && disk->overlay)
		moves[count++] = (struct move){ RENAMED_KEPT, disk->overlay, true };
	return count;
}

static int rename_disk(const struct conversion_disk *disk, const struct move *move, bool back, struct sentence *error)
{
	CLEANUP(freep) char *from = format_text("%s%s", disk->renamed.name, move->from);
	CLEANUP(freep)
	char *to = move->to_is_name ? strdup(move->to) : format_text("%s%s", disk->renamed.name, move->to);
	const char *old = back ? to : from, *new = back ? from : to;
	int r = from && to ? io_rename_new(disk->renamed.directory, old, disk->renamed.directory, new) : -ENOMEM;

	return r < 0 ? report(error, r, "'%s' cannot be renamed to '%s': %s", old ? old : "?", new ? new : "?",
			      error_text(r))
		     : 0;
}

/* ---- committing an overlay */

/* The daemon's own choice of boxes (qemu_run.h); one that does not say has none. */
static bool daemon_is_unboxed(const struct conversion_disk *disk)
{
	CLEANUP(json_putp) struct json_object *status = NULL;

	return ask_status(disk->mount->point, &status, NULL) == 0 && !flag_of(status, "boxed") && box_landlock() > 0;
}

static bool was_written(int fd, const struct stat *before)
{
	struct stat now;

	return fstat(fd, &now) < 0 || now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
	       now.st_mtim.tv_nsec != before->st_mtim.tv_nsec || now.st_blocks != before->st_blocks;
}

static int commit_files(struct conversion_disk *disk, int overlay, int image, struct sentence *error)
{
	const struct qemu_node chain[] = { { overlay, "qcow2" },
					   { image, magic_backing_format(image, disk->renamed.format) } };
	const struct options options = { .qemu_img = (char *)"qemu-img",
					 .qemu_timeout = QEMU_TIMEOUT_S,
					 .unboxed = daemon_is_unboxed(disk) };
	struct stat before;
	int r = fstat(image, &before) < 0 ? report(error, -errno, "%s", error_text(-errno)) : 0;

	if (r < 0)
		return r;
	r = qemu_img_commit(&options, chain, ARRAY_SIZE(chain), NULL, error);
	if (r == 0 && (r = io_sync(image)) < 0)
		report(error, r, "the image cannot be synced: %s", error_text(r));
	disk->kept = r == 0;
	disk->half_kept |= r < 0 && was_written(image, &before);
	return r;
}

static int commit(struct conversion_disk *disk, struct sentence *error)
{
	CLEANUP(close_fdp) int overlay = renamed_disk_open(&disk->renamed, RENAMED_KEPT, O_RDWR);
	CLEANUP(close_fdp) int image = renamed_disk_open(&disk->renamed, RENAMED_IMAGE, O_RDWR);
	struct sentence why = { "" };
	int r = overlay < 0 ? overlay : image < 0 ? image : commit_files(disk, overlay, image, &why);

	return r < 0 ? report(error, r, "what the overlay of '%s' has cannot be kept: %s", disk->name,
			      *why.text ? why.text : error_text(r))
		     : 0;
}

/* ---- the steps of the transaction */

static int sync_names(const struct conversion_disk *disk, struct sentence *error)
{
	int r = io_sync_directory(disk->renamed.directory);

	return r < 0 ? report(error, r, "the directory of '%s' cannot be synced: %s", disk->name, error_text(r)) : 0;
}

static int restore(const struct conversion *conversion, struct conversion_disk *disk, struct sentence *error)
{
	bool keep = conversion->renaming_hook == RENAMING_HOOK_KEEP && renaming_hook_has_aside(disk);
	struct move moves[3];
	size_t count = moves_of(conversion, disk, moves);
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		if (keep && strcmp(moves[i].from, RENAMED_IMAGE) == 0) {
			r = sync_names(disk, error);
			if (r == 0)
				r = commit(disk, error);
		}
		if (r == 0)
			r = rename_disk(disk, &moves[i], false, error);
		disk->renames += r == 0;
	}
	return r == 0 && disk->renames ? sync_names(disk, error) : r;
}

int renaming_hook_restore(void *subject, struct sentence *error)
{
	struct conversion *conversion = subject;
	int r = 0;

	for (size_t i = 0; i < conversion->count && r == 0; i++)
		r = restore(conversion, &conversion->disks[i], error);
	return r;
}

static int put_back(const struct conversion *conversion, struct conversion_disk *disk, struct sentence *error)
{
	struct move moves[3];
	int r = 0;

	if (disk->kept)
		return report(error, -EIO, "the image '%s' has its name back, and what the overlay had is in it",
			      disk->name);
	if (disk->half_kept)
		return refuse_half(conversion, disk, error);
	moves_of(conversion, disk, moves);
	while (disk->renames && r == 0) {
		r = rename_disk(disk, &moves[disk->renames - 1], true, error);
		disk->renames -= r == 0;
	}
	return r;
}

int renaming_hook_put_back(void *subject, struct sentence *error)
{
	struct conversion *conversion = subject;
	int result = 0;

	for (size_t i = 0; i < conversion->count; i++) {
		int r = put_back(conversion, &conversion->disks[i], error);

		result = r < 0 ? r : result;
	}
	return result;
}

/* ---- what is said */

void renaming_hook_show(const struct conversion *conversion)
{
	for (size_t i = 0; i < conversion->count; i++) {
		const struct conversion_disk *disk = &conversion->disks[i];

		if (renaming_hook_has_aside(disk))
			printf("%s: '%s" RENAMED_IMAGE "' is to be '%s' again, %s what its overlay has.\n",
			       disk->target, disk->name, disk->name,
			       conversion->renaming_hook == RENAMING_HOOK_KEEP ? "with" : "without");
	}
}

void renaming_hook_print(const struct conversion *conversion)
{
	for (size_t i = 0; i < conversion->count; i++) {
		const struct conversion_disk *disk = &conversion->disks[i];

		if (disk->overlay)
			printf("What the renaming hook's overlay on '%s' had is %s; the overlay itself is '%s' now, beside "
			       "the image, to be removed.\n",
			       disk->name,
			       conversion->renaming_hook == RENAMING_HOOK_KEEP ? "kept in the image" : "thrown away",
			       disk->overlay);
		else if (disk->renames)
			printf("The image '%s' has its name back.\n", disk->name);
	}
}
