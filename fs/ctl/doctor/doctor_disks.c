/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemons say of themselves and of their disks, and the filesystems below them.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "aside.h"
#include "ask.h"
#include "command.h"
#include "doctor.h"
#include "status_json.h"

#define LITTLE_SPACE 10    /* per cent that are free: a warning */
#define TOO_LITTLE_SPACE 5 /* a problem */
#define OLD_DAYS 30        /* after these, what was sealed aside is taken for forgotten */

/* Call look() for each disk of each daemon that answers. */
static void each_disk(struct doctor *doctor, void (*look)(struct doctor *doctor, struct json_object *disk))
{
	struct json_object *disk;

	for (size_t i = 0; i < doctor->mount_count; i++)
		for (size_t k = 0; (disk = element_of(doctor->mounts[i].status, "disks", k)); k++)
			look(doctor, disk);
}

/* ---- mounts */

static int add_mount(struct doctor *doctor, const struct mount *mount)
{
	struct doctor_mount *larger = reallocarray(doctor->mounts, doctor->mount_count + 1, sizeof(*larger));
	struct doctor_mount *added;
	struct sentence why;

	if (!larger)
		return -ENOMEM;
	doctor->mounts = larger;
	added = &larger[doctor->mount_count++];
	*added = (struct doctor_mount){ .mount = mount };
	ask_look(mount->point, NULL);
	if (ask_status(mount->point, &added->status, &why) < 0)
		doctor_note_sentence(doctor, LEVEL_PROBLEM, &why);
	else if (flag_of(added->status, "lost"))
		doctor_note(doctor, LEVEL_PROBLEM, "shut its guests down, then stop that revertfs",
			    "at '%s' no command is done any more: the lock on the state directory is lost",
			    mount->point);
	return 0;
}

void doctor_check_mounts(struct doctor *doctor)
{
	struct sentence why;

	if (ask_mounts(&doctor->mount_table, &why) < 0) {
		doctor_note_sentence(doctor, LEVEL_PROBLEM, &why);
		return;
	}
	for (const struct mount *m = mounts_next(doctor->mount_table, NULL); m; m = mounts_next(doctor->mount_table, m))
		if (add_mount(doctor, m) < 0)
			return;
}

/* ---- disks */

/* Of a disk's image its domain, or its last error, may have told already. */
static void note_if_said(struct doctor *doctor, const char *said)
{
	struct sentence sentence;

	if (!said || doctor_has_noted(doctor, said))
		return;
	report(&sentence, 0, "%s", said);
	doctor_note_sentence(doctor, LEVEL_WARNING, &sentence);
}

/* While it is in use; later the disk says what waits. */
static void note_unhooked(struct doctor *doctor, const char *disk)
{
	struct sentence quoted;
	const char *name = quote_name(disk, &quoted);
	CLEANUP(freep)
	char *fix = format_text(
		"once nothing uses it, 'revertctl commit %s' keeps what was written, 'revertctl reset %s' drops it; or, for a disk that is to keep its data, 'revertctl set %s reverts=no'",
		name, name, name);

	doctor_note(doctor, LEVEL_WARNING, fix,
		    "disk '%s' is written without the hook's protection: nothing reverts it", disk);
}

static void check_disk(struct doctor *doctor, struct json_object *disk)
{
	const char *name = string_of(disk, "name", "?"), *error = string_of(disk, "last_error", NULL);
	const char *warning = string_of(disk, "warning", NULL), *leftover = string_of(disk, "leftover", NULL);

	if (strcmp(string_of(disk, "state", ""), "failed") == 0)
		doctor_note(doctor, LEVEL_PROBLEM, "remove the cause, then restart the service, or reset the disk",
			    "disk '%s' has failed: %s", name, error ? error : "its log says why");
	else if (error)
		doctor_note(doctor, LEVEL_WARNING, "the next command for the disk that succeeds clears this", "%s",
			    error);
	if (flag_of(disk, "unhooked") && !leftover && !disk_keeps_data(disk) &&
	    strcmp(string_of(disk, "state", ""), "dirty") == 0)
		note_unhooked(doctor, name);
	note_if_said(doctor, warning);
	note_if_said(doctor, string_of(disk, "image_trouble", NULL));
	note_if_said(doctor, leftover);
}

void doctor_check_disks(struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->mount_count; i++)
		note_if_said(doctor, string_of(doctor->mounts[i].status, "elsewhere", NULL));
	each_disk(doctor, check_disk);
}

/* ---- layers */

static unsigned age_in_days(const char *rfc3339)
{
	struct tm parts = { 0 };
	const char *end = strptime(rfc3339, "%Y-%m-%dT%H:%M:%SZ", &parts);
	double age = end ? difftime(time(NULL), timegm(&parts)) : 0;

	return age > 0 ? (unsigned)(age / 86400) : 0;
}

/* `waits_for`: what the disk's folds wait for, or NULL. */
static void check_layer(struct doctor *doctor, const char *disk, const char *waits_for, struct json_object *layer)
{
	const char *note = string_of(layer, "note", NULL);
	struct json_object *name;
	unsigned days = age_in_days(string_of(layer, "created", ""));
	char size[SIZE_TEXT_SIZE];

	size_text(number_of(layer, "bytes"), size);
	for (size_t i = 0; (name = element_of(layer, "names", i)); i++) {
		const char *point = json_object_get_string(name);
		struct sentence quoted_disk, quoted_point;
		const char *d = quote_name(disk, &quoted_disk), *p = quote_name(point, &quoted_point);
		CLEANUP(freep)
		char *fix = format_text(
			"'revertctl revert %s %s' to have it back, 'revertctl delete %s %s' to be rid of it", d, p, d,
			p);

		bool holds_up = waits_for && strstr(waits_for, point);

		if (aside_is_name(point))
			doctor_note(doctor, holds_up || days > OLD_DAYS ? LEVEL_WARNING : LEVEL_NOTE, fix,
				    "disk '%s': '%s' (%s) was sealed aside %u days ago, and is still there%s%s%s", disk,
				    point, size, days,
				    holds_up ? ", so that commits are not folded into the image" : "", note ? ": " : "",
				    note ? note : "");
	}
}

static void check_layers_of(struct doctor *doctor, struct json_object *disk)
{
	struct json_object *layer;

	for (size_t i = 0; (layer = element_of(disk, "layers", i)); i++)
		check_layer(doctor, string_of(disk, "name", "?"), string_of(disk, "waits_for", NULL), layer);
}

static void check_lost(struct doctor *doctor, const char *state)
{
	CLEANUP(freep) char *path = format_text("%s/lost", state);
	DIR *directory = path ? opendir(path) : NULL;
	struct dirent *entry;
	size_t count = 0;

	while (directory && (entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	if (directory)
		closedir(directory);
	if (count)
		doctor_note(doctor, LEVEL_WARNING,
			    "remove them when they are not needed; look at scratches with strings(1), not with what "
			    "follows their header",
			    "%zu files in '%s': layers and scratches that were given up or could not be used; the log "
			    "says which",
			    count, path);
}

void doctor_check_layers(struct doctor *doctor)
{
	each_disk(doctor, check_layers_of);
	for (size_t i = 0; i < doctor->mount_count; i++)
		if (doctor->mounts[i].status)
			check_lost(doctor, string_of(doctor->mounts[i].status, "state", ""));
}

/* ---- space */

/* What the disks in use could still write, if each guest wrote all of its disk. */
static uint64_t possible_growth(struct json_object *status)
{
	struct json_object *disk;
	uint64_t growth = 0;

	for (size_t i = 0; (disk = element_of(status, "disks", i)); i++) {
		uint64_t size = number_of(disk, "virtual_size"), used = number_of(disk, "scratch_bytes");

		if (flag_of(object_of(disk, "session"), "active") && size > used)
			growth += size - used;
	}
	return growth;
}

static void check_space_of(struct doctor *doctor, const char *directory, uint64_t growth)
{
	static const char fix[] =
		"make room: 'revertctl status' says what takes it, and what is sealed aside can be deleted";
	char free_text[SIZE_TEXT_SIZE], growth_text[SIZE_TEXT_SIZE];
	struct statvfs fs;
	uint64_t left;

	if (directory[0] != '/' || statvfs(directory, &fs) < 0 || !fs.f_blocks)
		return;
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	size_text(left, free_text);
	size_text(growth, growth_text);
	if (fs.f_bavail * 100 < fs.f_blocks * TOO_LITTLE_SPACE)
		doctor_note(doctor, LEVEL_PROBLEM, fix,
			    "'%s' is nearly full: %s are free, and guests get errors when it is", directory, free_text);
	else if (fs.f_bavail * 100 < fs.f_blocks * LITTLE_SPACE)
		doctor_note(doctor, LEVEL_WARNING, fix, "'%s' fills up: %s are free", directory, free_text);
	else if (growth > left)
		doctor_note(doctor, LEVEL_NOTE, "keep an eye on it, or move the scratches with scratch=",
			    "the running guests could write %s more to their scratches, and '%s' has %s", growth_text,
			    directory, free_text);
}

void doctor_check_space(struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->mount_count; i++) {
		struct json_object *status = doctor->mounts[i].status;

		if (!status)
			continue;
		check_space_of(doctor, string_of(status, "state", ""), possible_growth(status));
		check_space_of(doctor, string_of(status, "images", ""), 0);
	}
}
