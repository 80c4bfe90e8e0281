/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot and export: what keeps a state of a disk, named or copied out.
 */
#include "subcommands.h"
#include "verbs.h"

static const struct option_spec snapshot_options[] = {
	{ "note", "TEXT", "remembered with the layer", "note=" },
	{ 0 },
};
const struct subcommand snapshot_subcommand = {
	"snapshot", "NAME POINT", "keep what was written, and name it", snapshot_options, verb_run, "snapshot made",
};

static const struct option_spec export_options[] = {
	{ "to", "FILE", "the copy; FILE.json beside it describes it", "to=" },
	{ "detach", NULL, "do not wait for the end", "wait=no" },
	{ 0 },
};
const struct subcommand export_subcommand = {
	"export", "NAME", "a flat copy of a disk", export_options, verb_run, "exported",
};
