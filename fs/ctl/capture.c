/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot and export: what keeps a state of a disk, named or copied out.
 */
#include <errno.h>

#include "subcommands.h"
#include "verbs.h"

static const struct option_spec snapshot_options[] = {
	{ "note", "TEXT", "remembered with the layer", "note=" },
	{ 0 },
};
const struct subcommand snapshot_subcommand = {
	"snapshot", "NAME POINT", "keep what was written, and name it", snapshot_options, verb_run, "snapshot made",
};

static int run_export(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	const char *to = arguments_value(arguments, "to");
	CLEANUP(freep) char *path = NULL;

	if (!to)
		return report(error, -EINVAL, "export wants --to=FILE");
	path = absolute_path(to, error);
	return path ? verb_run_long(context, arguments, "export", path, error) : -ENOENT;
}

static const struct option_spec export_options[] = {
	{ "to", "FILE", "the copy; FILE.json beside it describes it", "to=" },
	{ "point", "POINT", "of this snapshot, instead of the head", "point=" },
	{ "format", "qcow2|raw", "of the copy", "format=" },
	{ "compress", NULL, "qcow2 alone: smaller, and slower", "compress=yes" },
	{ "rate", "BYTES", "at most so many bytes a second: 50M", "rate=" },
	{ "replace", NULL, "overwrite FILE", "replace=yes" },
	{ "detach", NULL, "do not wait for the end", "wait=no" },
	{ 0 },
};
const struct subcommand export_subcommand = {
	"export", "NAME", "a flat copy of a disk, or of a snapshot", export_options, run_export, "exported",
};
