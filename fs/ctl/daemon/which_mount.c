/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mount that does not answer may have the name, too: nothing is chosen then, since a reset of the
 * wrong disk cannot be taken back.
 */
#include "which_mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "status_json.h"

#define PATIENCE_MS 5000

enum { HAS_DISK, HAS_FILE, KINDS };

struct candidate {
	const struct mount *mount;
	struct question questions[KINDS];
	bool has[KINDS];
};

static size_t count_mounts(const struct mounts *mounts)
{
	size_t count = 0;

	for (const struct mount *m = mounts_next(mounts, NULL); m; m = mounts_next(mounts, m))
		count++;
	return count;
}

static bool has_disk(const char *answer, const char *name)
{
	CLEANUP(json_putp) struct json_object *status = NULL;
	struct json_object *disk;

	return answer && answer_parse(answer, &status) == 0 && ask_find_disk(status, name, &disk, NULL) == 0;
}

/* Ask each mount both things. -ENOMEM is the only failure. */
static int look(struct candidate *candidates, size_t count, const char *name)
{
	CLEANUP(freep) struct question *questions = calloc(count, KINDS * sizeof(*questions));

	if (!questions)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct question base = { .point = candidates[i].mount->point, .timeout_ms = PATIENCE_MS };

		questions[i * KINDS + HAS_DISK] = questions[i * KINDS + HAS_FILE] = base;
		questions[i * KINDS + HAS_DISK].file = "status.json";
		questions[i * KINDS + HAS_FILE].named = name;
	}
	client_ask(questions, count * KINDS, true);
	for (size_t i = 0; i < count; i++) {
		memcpy(candidates[i].questions, &questions[i * KINDS], sizeof(candidates[i].questions));
		candidates[i].has[HAS_DISK] = has_disk(candidates[i].questions[HAS_DISK].answer, name);
		candidates[i].has[HAS_FILE] = candidates[i].questions[HAS_FILE].answer != NULL;
	}
	return 0;
}

/* The first mount that does not say whether it has such a thing, or NULL. */
static const struct candidate *find_silent(const struct candidate *candidates, size_t count, unsigned kind)
{
	for (size_t i = 0; i < count; i++) {
		const struct question *question = &candidates[i].questions[kind];

		if (!question->answer && !(kind == HAS_FILE && question->error == -ENOENT))
			return &candidates[i];
	}
	return NULL;
}

static int refuse_several(const struct candidate *first, const struct candidate *second, const char *name,
			  struct sentence *error)
{
	struct sentence quoted;

	return report(error, -EINVAL,
		      "'%s' is in '%s' as well as in '%s': choose one with --mount=%s, or give its path", name,
		      first->mount->point, second->mount->point, quote_name(first->mount->point, &quoted));
}

static int refuse_unsure(const struct candidate *has, const struct candidate *silent, unsigned kind, const char *name,
			 struct sentence *error)
{
	const struct question *question = &silent->questions[kind];
	struct sentence quoted;

	if (!has)
		return report(error, question->error, "whether '%s' is in '%s' is not known: %s", name,
			      silent->mount->point, question->why.text);
	return report(error, question->error,
		      "'%s' is in '%s', but whether it is in '%s' as well is not known: %s. Or say --mount=%s", name,
		      has->mount->point, silent->mount->point, question->why.text,
		      quote_name(has->mount->point, &quoted));
}

/* 1 when a mount was chosen, 0 when none has such a thing. */
static int choose(const struct candidate *candidates, size_t count, unsigned kind, const char *name,
		  const struct mount **ret_mount, struct sentence *error)
{
	const struct candidate *found = NULL, *silent = find_silent(candidates, count, kind);

	for (size_t i = 0; i < count; i++) {
		if (!candidates[i].has[kind])
			continue;
		if (found)
			return refuse_several(found, &candidates[i], name, error);
		found = &candidates[i];
	}
	if (silent)
		return refuse_unsure(found, silent, kind, name, error);
	if (found)
		*ret_mount = found->mount;
	return found != NULL;
}

static int ask_all(struct candidate *candidates, size_t count, const char *name, bool is_image,
		   const struct mount **ret_mount, struct sentence *error)
{
	int r = look(candidates, count, name);

	if (r < 0)
		return report(error, r, "out of memory");
	if (!is_image)
		r = choose(candidates, count, HAS_DISK, name, ret_mount, error);
	if (r == 0)
		r = choose(candidates, count, HAS_FILE, name, ret_mount, error);
	if (r == 0)
		return report(
			error, -ENOENT,
			"'%s' is in none of the revertfs mounts ('%s', '%s'%s); 'revertctl status' lists their disks",
			name, candidates[0].mount->point, candidates[1].mount->point, count > 2 ? ", ..." : "");
	return r < 0 ? r : 0;
}

int which_mount(const struct mounts *mounts, const char *name, bool is_image, const struct mount **ret_mount,
		struct sentence *error)
{
	const struct mount *first = mounts_next(mounts, NULL);
	size_t count = count_mounts(mounts);
	CLEANUP(freep) struct candidate *candidates = NULL;
	int r;

	if (count == 1) {
		*ret_mount = first;
		return 0;
	}
	if (!name)
		return report(error, -EINVAL,
			      "there are several revertfs mounts, '%s' and '%s': choose one with --mount", first->point,
			      mounts_next(mounts, first)->point);
	candidates = calloc(count, sizeof(*candidates));
	if (!candidates)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++, first = mounts_next(mounts, first))
		candidates[i].mount = first;
	r = ask_all(candidates, count, name, is_image, ret_mount, error);
	for (size_t i = 0; i < count; i++)
		for (unsigned kind = 0; kind < KINDS; kind++)
			free(candidates[i].questions[kind].answer);
	return r;
}
