/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mount that does not answer may have the name, too: nothing is chosen then, since a reset of the
 * wrong disk cannot be taken back.
 */
#include "which_mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "command.h"
#include "statuses.h"

/* Whether a mount has the name; `error` and `why`: it does not say. */
struct candidate {
	const struct mount *mount;
	bool has;
	int error;
	struct sentence why;
};

/* Of disks: as the daemons say. */
static int look_for_disk(const struct mounts *mounts, const char *name, struct candidate *candidates,
			 struct sentence *error)
{
	CLEANUP(statuses_clear) struct statuses statuses = { 0 };
	int r = statuses_ask(mounts, &statuses, error);

	for (size_t i = 0; i < statuses.count && r == 0; i++)
		candidates[i] = (struct candidate){
			.mount = statuses.items[i].mount,
			.has = statuses_find(&statuses, statuses.items[i].mount, name) != NULL,
			.error = statuses.items[i].error,
			.why = statuses.items[i].why,
		};
	return r;
}

/* Of files. */
static int look_for_file(const char *name, struct candidate *candidates, size_t count, struct sentence *error)
{
	CLEANUP(freep) struct question *questions = calloc(count, sizeof(*questions));

	if (!questions)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		questions[i] = (struct question){ .point = candidates[i].mount->point,
						  .named = name,
						  .timeout_ms = STATUSES_TIMEOUT_MS };
	client_ask(questions, count, true);
	for (size_t i = 0; i < count; i++) {
		candidates[i].has = questions[i].answer != NULL;
		candidates[i].error = questions[i].error == -ENOENT ? 0 : questions[i].error;
		candidates[i].why = questions[i].why;
		free(questions[i].answer);
	}
	return 0;
}

static int refuse_several(const struct candidate *first, const struct candidate *second, const char *name,
			  struct sentence *error)
{
	struct sentence quoted;

	return report(error, -EINVAL,
		      "'%s' is in '%s' as well as in '%s': choose one with --mount=%s, or give its path", name,
		      first->mount->point, second->mount->point, quote_name(first->mount->point, &quoted));
}

static int refuse_unsure(const struct candidate *has, const struct candidate *silent, const char *name,
			 struct sentence *error)
{
	struct sentence quoted;

	if (!has)
		return report(error, silent->error, "whether '%s' is in '%s' is not known: %s", name,
			      silent->mount->point, silent->why.text);
	return report(error, silent->error,
		      "'%s' is in '%s', but whether it is in '%s' as well is not known: %s. Or say --mount=%s", name,
		      has->mount->point, silent->mount->point, silent->why.text,
		      quote_name(has->mount->point, &quoted));
}

/* 1 when a mount was chosen, 0 when none has the name. */
static int choose(const struct candidate *candidates, size_t count, const char *name, const struct mount **ret_mount,
		  struct sentence *error)
{
	const struct candidate *found = NULL, *silent = NULL;

	for (size_t i = 0; i < count; i++) {
		if (candidates[i].has && found)
			return refuse_several(found, &candidates[i], name, error);
		if (candidates[i].has)
			found = &candidates[i];
		else if (candidates[i].error < 0)
			silent = &candidates[i];
	}
	if (silent)
		return refuse_unsure(found, silent, name, error);
	if (found)
		*ret_mount = found->mount;
	return found != NULL;
}

/* The same, of disks first. */
static int ask_all(const struct mounts *mounts, struct candidate *candidates, size_t count, const char *name,
		   bool is_image, const struct mount **ret_mount, struct sentence *error)
{
	int r = is_image ? 0 : look_for_disk(mounts, name, candidates, error);

	if (r == 0 && !is_image)
		r = choose(candidates, count, name, ret_mount, error);
	if (r != 0)
		return r;
	r = look_for_file(name, candidates, count, error);
	return r < 0 ? r : choose(candidates, count, name, ret_mount, error);
}

int which_mount(const struct mounts *mounts, const char *name, bool is_image, const struct mount **ret_mount,
		struct sentence *error)
{
	CLEANUP(freep) struct candidate *candidates = NULL;
	const struct mount *first = mounts_next(mounts, NULL), *second = mounts_next(mounts, first);
	size_t count = 0;
	int r;

	if (!first || !second) {
		*ret_mount = first;
		return 0;
	}
	if (!name)
		return report(error, -EINVAL,
			      "there are several revertfs mounts, '%s' and '%s': choose one with --mount", first->point,
			      second->point);
	for (const struct mount *m = first; m; m = mounts_next(mounts, m))
		count++;
	candidates = calloc(count, sizeof(*candidates));
	if (!candidates)
		return report(error, -ENOMEM, "out of memory");
	count = 0;
	for (const struct mount *m = first; m; m = mounts_next(mounts, m))
		candidates[count++].mount = m;
	r = ask_all(mounts, candidates, count, name, is_image, ret_mount, error);
	if (r == 0)
		return report(
			error, -ENOENT,
			"'%s' is in none of the revertfs mounts ('%s', '%s'%s); 'revertctl status' lists their disks",
			name, first->point, second->point, count > 2 ? ", ..." : "");
	return r < 0 ? r : 0;
}
