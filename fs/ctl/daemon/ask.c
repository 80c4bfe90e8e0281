/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paths are compared with mounts as text, as in the hook: to look into a mount before its daemon is
 * known to answer could hang.
 */
#include "ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "command.h"
#include "status_json.h"
#include "which_mount.h"

int ask_mounts(struct mounts **ret_mounts, struct sentence *error)
{
	CLEANUP(mounts_freep) struct mounts *mounts = NULL;
	int r = mounts_read(MOUNTINFO, &mounts, error);

	if (r < 0)
		return r;
	if (!mounts_next(mounts, NULL))
		return report(error, -ENOTCONN, "no revertfs is mounted: start the revertfs service");
	*ret_mounts = steal_pointer(&mounts);
	return 0;
}

/*
 * What the mount table would call this directory; NULL when its parent is not there. The directory
 * itself is not looked at: it may be a mount whose daemon hangs.
 */
static char *name_in_table(const char *directory)
{
	CLEANUP(freep) char *parent = strdup(directory);
	CLEANUP(freep) char *real = NULL;
	size_t length = parent ? strlen(parent) : 0;
	char *slash;

	while (length > 1 && parent[length - 1] == '/')
		parent[--length] = '\0';
	slash = length ? strrchr(parent, '/') : NULL;
	if (!slash) {
		real = realpath(".", NULL);
	} else if (slash == parent) {
		real = strdup("");
	} else {
		*slash = '\0';
		real = realpath(parent, NULL);
	}
	return real && length ? format_text("%s/%s", real, slash ? slash + 1 : parent) : NULL;
}

static const struct mount *chosen_mount(const struct mounts *mounts, const char *directory, struct sentence *error)
{
	CLEANUP(freep) char *name = name_in_table(directory);

	for (const struct mount *m = mounts_next(mounts, NULL); name && m; m = mounts_next(mounts, m))
		if (strcmp(m->point, name) == 0)
			return m;
	report(error, -ENOTCONN, "no revertfs is mounted at '%s': start its service, or correct --mount", directory);
	return NULL;
}

const char *name_beneath(const char *path, const char *directory)
{
	path += strlen(directory);
	return path + strspn(path, "/");
}

/* root's symbolic links are followed, as where the images directory is one. */
static int mount_of_path(const struct mounts *mounts, const char *path, const struct mount **ret_mount, char **ret_path,
			 struct sentence *error)
{
	*ret_path = strdup(path);
	if (!*ret_path)
		return report(error, -ENOMEM, "out of memory");
	mounts_follow(mounts, ret_path);
	*ret_mount = mounts_of_path(mounts, *ret_path) ?: mounts_of_image(mounts, *ret_path);
	if (!*ret_mount)
		return report(error, -ENOENT, "'%s' lies in no revertfs mount, and in no images directory of one",
			      path);
	return 0;
}

static int choose_mount(const struct context *context, const struct mounts *mounts, const char *name, bool is_image,
			const struct mount **ret_mount, char **ret_path, struct sentence *error)
{
	if (context->mount) {
		*ret_mount = chosen_mount(mounts, context->mount, error);
		return *ret_mount ? 0 : -ENOTCONN;
	}
	if (name && name[0] == '/')
		return mount_of_path(mounts, name, ret_mount, ret_path, error);
	return which_mount(mounts, name, is_image, ret_mount, error);
}

static int find_mount(const struct context *context, const char *name, bool is_image, char **ret_point, char **ret_name,
		      struct sentence *error)
{
	CLEANUP(mounts_freep) struct mounts *mounts = NULL;
	CLEANUP(freep) char *path = NULL;
	const struct mount *mount = NULL;
	int r = ask_mounts(&mounts, error);

	if (r == 0)
		r = choose_mount(context, mounts, name, is_image, &mount, &path, error);
	if (r < 0)
		return r;
	name = path ? path : name;
	if (name && path_is_beneath(name, mount->point))
		name = name_beneath(name, mount->point);
	else if (name && path_is_beneath(name, mount->images))
		name = name_beneath(name, mount->images);
	*ret_point = strdup(mount->point);
	if (ret_name)
		*ret_name = name ? strdup(name) : NULL;
	return *ret_point && (!name || !ret_name || *ret_name) ? 0 : report(error, -ENOMEM, "out of memory");
}

int ask_find_mount(const struct context *context, const char *name, char **ret_point, char **ret_name,
		   struct sentence *error)
{
	return find_mount(context, name, false, ret_point, ret_name, error);
}

int ask_find_mount_of_image(const struct context *context, const char *name, char **ret_point, char **ret_name,
			    struct sentence *error)
{
	return find_mount(context, name, true, ret_point, ret_name, error);
}

/* -EBUSY for "EBUSY". */
static int errno_of_name(const char *name)
{
	for (int i = 1; i < 134; i++)
		if (strcmp(error_name(-i), name) == 0)
			return -i;
	return -EIO;
}

static int refusal(struct json_object *answer, struct sentence *error)
{
	const char *why = string_of(answer, "error", "");

	return report(error, errno_of_name(string_of(answer, "errno", "EIO")), "%s",
		      *why ? why : "the daemon refused; its log says why");
}

int ask_result(const struct question *question, struct json_object **ret_answer, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	bool fine = false;

	if (!question->answer)
		return report(error, question->error, "%s", question->why.text);
	if (answer_parse(question->answer, &answer) < 0 || json_get_bool(answer, "ok", &fine) <= 0)
		return report(error, -EBADMSG,
			      "the revertfs daemon of '%s' gave an answer that makes no sense; see its log",
			      question->point);
	if (!fine)
		return refusal(answer, error);
	*ret_answer = steal_pointer(&answer);
	return 0;
}

int ask(const char *point, const char *line, unsigned timeout_ms, struct json_object **ret_answer,
	struct sentence *error)
{
	struct question question = { .point = point, .line = line, .timeout_ms = timeout_ms };
	int r;

	client_ask(&question, 1, false);
	r = ask_result(&question, ret_answer, error);
	free(question.answer);
	return r;
}

void ask_reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int ask_status(const char *point, struct json_object **ret_status, struct sentence *error)
{
	struct question question = { .point = point, .file = "status.json", .timeout_ms = ASK_TIMEOUT_MS };
	int r;

	client_ask(&question, 1, true);
	if (!question.answer)
		return report(error, question.error, "%s", question.why.text);
	r = answer_parse(question.answer, ret_status);
	free(question.answer);
	return r < 0 ? report(error, r, "the status of the revertfs in '%s' makes no sense; see its log", point) : 0;
}

void ask_look(const char *point, const char *name)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	CLEANUP(freep) char *line = strdup("check");
	struct sentence ignored;

	if (line && (!name || command_append(&line, NULL, name) == 0))
		ask(point, line, LOOK_TIMEOUT_MS, &answer, &ignored);
}

int ask_find_disk(struct json_object *status, const char *name, struct json_object **ret_disk, struct sentence *error)
{
	struct json_object *disk;

	for (size_t i = 0; (disk = element_of(status, "disks", i)); i++) {
		if (strcmp(string_of(disk, "name", ""), name) == 0) {
			*ret_disk = disk;
			return 0;
		}
	}
	return report(error, -ENOENT, "there is no disk '%s'; 'revertctl status' lists them", name);
}
