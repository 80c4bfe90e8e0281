/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the status does not say is not shown, and is no error.
 */
#include "draw.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status_json.h"

enum colour state_colour(const char *state)
{
	if (strcmp(state, "failed") == 0)
		return RED;
	if (strcmp(state, "held") == 0)
		return MAGENTA;
	return strcmp(state, "dirty") == 0 ? YELLOW : PLAIN;
}

static double percent_of(struct json_object *job)
{
	struct json_object *value;

	return json_object_object_get_ex(job, "percent", &value) ? json_object_get_double(value) : 0;
}

/* "fold 41%, 3:05 min left", "export waits"; "-" without a job. */
static void job_text(struct json_object *job, bool with_time, char *text, size_t size)
{
	struct json_object *left;
	char time[DURATION_TEXT_SIZE] = "";

	if (!job) {
		snprintf(text, size, "-");
		return;
	}
	if (strcmp(string_of(job, "state", "running"), "running") != 0) {
		snprintf(text, size, "%s waits", string_of(job, "kind", "job"));
		return;
	}
	if (with_time && json_object_object_get_ex(job, "seconds_left", &left) && left)
		duration_text((uint64_t)json_object_get_int64(left), time);
	snprintf(text, size, "%s %.0f%%%s%s%s", string_of(job, "kind", "job"), percent_of(job), *time ? ", " : "", time,
		 *time ? " left" : "");
}

static void head_text(struct json_object *disk, char *text, size_t size)
{
	uint64_t depth = number_of(disk, "depth");

	if (depth)
		snprintf(text, size, "image+%" PRIu64, depth);
	else
		snprintf(text, size, "image");
}

static const char *user_of(struct json_object *disk)
{
	struct json_object *session = object_of(disk, "session"), *hold = object_of(disk, "hold");

	return string_of(session ? session : hold, "domain", "-");
}

/* ---- the table of all */

enum { NAME, STATE, HEAD, SCRATCH, DOMAIN, JOB, STATUS_COLUMNS };

static const struct grid_column status_columns[STATUS_COLUMNS] = {
	[NAME] = { .title = "NAME", .least = 10 },
	[STATE] = { .title = "STATE" },
	[HEAD] = { .title = "HEAD", .drop = 5 },
	[SCRATCH] = { .title = "SCRATCH", .right = true, .drop = 4 },
	[DOMAIN] = { .title = "DOMAIN", .least = 6, .drop = 3 },
	[JOB] = { .title = "JOB", .drop = 2 },
};

/* What is wrong with the image; NULL where the last error says it. */
static const char *trouble_of(struct json_object *disk)
{
	const char *text = string_of(disk, "image_trouble", NULL);

	return text && !strstr(string_of(disk, "last_error", ""), text) ? text : NULL;
}

static void add_notes(struct grid *grid, struct json_object *disk)
{
	const char *text;

	if (flag_of(disk, "folding"))
		grid_note(grid, BLUE,
			  "being folded: the image file alone is incomplete until that ends; do not copy it");
	if (flag_of(disk, "armed"))
		grid_note(grid, GREEN, "armed: what is written is committed when the session ends");
	text = string_of(disk, "warning", NULL);
	if (text)
		grid_note(grid, YELLOW, text);
	text = string_of(disk, "leftover", NULL);
	if (text)
		grid_note(grid, YELLOW, text);
	text = trouble_of(disk);
	if (text)
		grid_note(grid, YELLOW, text);
	text = string_of(disk, "last_error", NULL);
	if (text)
		grid_note(grid, RED, text);
}

static void add_status_row(struct grid *grid, struct json_object *disk)
{
	char size[SIZE_TEXT_SIZE], head[32], job[64];
	const char *state = disk_state(disk);
	struct json_object *running = object_of(disk, "job");

	size_text(number_of(disk, "scratch_bytes"), size);
	head_text(disk, head, sizeof(head));
	job_text(running, false, job, sizeof(job));
	grid_row(grid);
	grid_cell(grid, NAME, PLAIN, string_of(disk, "name", "?"));
	grid_cell(grid, STATE, state_colour(state), state);
	grid_cell(grid, HEAD, PLAIN, head);
	grid_cell(grid, SCRATCH, PLAIN, size);
	grid_cell(grid, DOMAIN, PLAIN, user_of(disk));
	grid_cell(grid, JOB, running ? BLUE : PLAIN, job);
	add_notes(grid, disk);
}

char *draw_status(struct json_object *status, const struct style *style)
{
	CLEANUP(grid_freep) struct grid *grid = grid_new(status_columns, STATUS_COLUMNS);
	struct json_object *disk;

	if (!grid)
		return NULL;
	for (size_t i = 0; (disk = element_of(status, "disks", i)); i++)
		add_status_row(grid, disk);
	return grid_draw(grid, style);
}

/* ---- one disk */

static const struct grid_column disk_columns[] = { { .title = "" }, { .title = "" } };

__attribute__((format(printf, 4, 5))) static void add_fact(struct grid *grid, enum colour colour, const char *what,
							   const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	grid_row(grid);
	grid_cell(grid, 0, DIM, what);
	grid_cell(grid, 1, colour, text);
}

static void add_user(struct grid *grid, struct json_object *disk)
{
	struct json_object *session = object_of(disk, "session"), *hold = object_of(disk, "hold");
	char since[TIME_TEXT_SIZE];

	if (session) {
		local_time_text(string_of(session, "since", "?"), since);
		add_fact(grid, PLAIN, "session", "%s as %s since %s%s", string_of(session, "domain", "?"),
			 string_of(session, "target", "?"), since, flag_of(session, "active") ? "" : ", over");
	}
	if (hold)
		add_fact(grid, MAGENTA, "held", "for the saved guest of %s", string_of(hold, "domain", "?"));
	if (flag_of(disk, "armed"))
		add_fact(grid, GREEN, "armed", "what is written is committed when the session ends");
}

static void add_origin(struct grid *grid, struct json_object *disk)
{
	const char *template = string_of(disk, "template", NULL);

	if (template)
		add_fact(grid, PLAIN, "clone of", "%s%s%s", template,
			 flag_of(disk, "follow") ? ", whose new head it takes at its next start" : "",
			 flag_of(disk, "behind") ? "; there is one" : "");
	if (number_of(disk, "clones"))
		add_fact(grid, PLAIN, "clones", "%" PRIu64, number_of(disk, "clones"));
}

static void add_jobs(struct grid *grid, struct json_object *disk)
{
	struct json_object *job;
	char text[64];

	for (size_t i = 0; (job = element_of(disk, "jobs", i)); i++) {
		const char *to = string_of(job, "to", NULL), *waits = string_of(job, "waits_for", NULL);

		job_text(job, true, text, sizeof(text));
		add_fact(grid, BLUE, "job", "%s%s%s%s%s", text, to ? ", to " : "", to ? to : "", waits ? ": " : "",
			 waits ? waits : "");
	}
}

static void add_properties(struct grid *grid, struct json_object *disk)
{
	struct json_object *properties = object_of(disk, "properties");

	add_fact(grid, PLAIN, "properties", "keep-revisions=%" PRIu64 " leftover=%s durability=%s%s",
		 number_of(properties, "keep-revisions"), string_of(properties, "leftover", "?"),
		 string_of(properties, "durability", "?"), disk_keeps_data(disk) ? " reverts=no" : "");
}

char *draw_disk(struct json_object *disk, const struct style *style)
{
	CLEANUP(grid_freep) struct grid *grid = grid_new(disk_columns, ARRAY_SIZE(disk_columns));
	char size[SIZE_TEXT_SIZE], scratch[SIZE_TEXT_SIZE], head[32];
	const char *state = disk_state(disk);
	struct style wide = *style;

	if (!grid)
		return NULL;
	size_text(number_of(disk, "virtual_size"), size);
	size_text(number_of(disk, "scratch_bytes"), scratch);
	head_text(disk, head, sizeof(head));
	add_fact(grid, BOLD, "disk", "%s", string_of(disk, "name", "?"));
	add_fact(grid, state_colour(state), "state", "%s", state);
	add_fact(grid, PLAIN, "size", "%s, image of format %s", size, string_of(disk, "format", "?"));
	add_fact(grid, PLAIN, "head", "%s", head);
	add_fact(grid, PLAIN, "scratch", "%s", scratch);
	add_user(grid, disk);
	add_origin(grid, disk);
	add_jobs(grid, disk);
	add_properties(grid, disk);
	if (string_of(disk, "waits_for", NULL))
		add_fact(grid, PLAIN, "fold waits", "%s", string_of(disk, "waits_for", ""));
	if (string_of(disk, "warning", NULL))
		add_fact(grid, YELLOW, "warning", "%s", string_of(disk, "warning", ""));
	if (string_of(disk, "leftover", NULL))
		add_fact(grid, YELLOW, "leftover", "%s", string_of(disk, "leftover", ""));
	if (trouble_of(disk))
		add_fact(grid, YELLOW, "image", "%s", trouble_of(disk));
	if (string_of(disk, "last_error", NULL))
		add_fact(grid, RED, "last error", "%s", string_of(disk, "last_error", ""));
	/* Sentences are longer than a terminal is wide: it breaks their lines. */
	wide.width = 0;
	return grid_draw(grid, &wide);
}
