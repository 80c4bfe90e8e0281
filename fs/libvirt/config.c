/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file is the administrator's. Unknown keys are allowed and kept; known ones must have the
 * right type: a mistake that could leave a disk unprotected keeps the domain from starting. For the
 * same reason a file that is there but cannot be read is an error, and never taken for "no
 * configuration".
 *
 * Writing back becomes durable in this order; a crash after any step leaves the old file or the new
 * one:
 *   1. write a new file beside the old one, with its owner and mode, and sync it
 *   2. check that the old one is still the one that was read
 *   3. rename the new one over it, and sync the directory
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "json_edit.h"
#include "shown.h"

#define REMEDY \
	"; correct it, or remove the file (then nothing reverts, and the next start with a file puts aside what was written)"

void config_free(struct config *config)
{
	if (!config)
		return;
	json_object_put(config->json);
	free(config->path);
	free(config->shown);
	free(config->text);
	free(config->disks);
	free(config);
}

void config_freep(struct config **config)
{
	config_free(*config);
}

static bool is_one_of(const char *value, const char *first, const char *second)
{
	return strcmp(value, first) == 0 || strcmp(value, second) == 0;
}

/* An entry's values. On failure the sentence ends with the key's name and what it must be. */
static int read_values(struct json_object *entry, struct config_disk *disk, struct sentence *error)
{
	int r = json_get_u64(entry, "keep-revisions", &disk->keep_revisions);

	if (r < 0)
		return report(error, r, "\"keep-revisions\" must be a number, 0 or more");
	disk->has_keep_revisions = r > 0;
	if (json_get_bool(entry, "one-shot-commit", &disk->one_shot_commit) < 0)
		return report(error, -EBADMSG, "\"one-shot-commit\" must be true or false");
	if (json_get_string(entry, "leftover", &disk->leftover) < 0 ||
	    (disk->leftover && !is_one_of(disk->leftover, "keep", "discard")))
		return report(error, -EBADMSG, "\"leftover\" must be \"keep\" or \"discard\"");
	if (json_get_string(entry, "format", &disk->format) < 0 ||
	    (disk->format && !is_one_of(disk->format, "raw", "qcow2")))
		return report(error, -EBADMSG, "\"format\" must be \"raw\" or \"qcow2\"");
	return 0;
}

static int read_entry(struct config *config, struct json_object *entry, struct sentence *error)
{
	struct config_disk disk = { 0 };

	json_get_string(entry, "target", &disk.target);
	if (!disk.target || !*disk.target || !text_is_clean(disk.target))
		return report(error, -EBADMSG, "'%s': each of \"disks\" needs a \"target\", such as \"vda\"" REMEDY,
			      config->shown);
	if (config_find(config, disk.target))
		return report(error, -EBADMSG, "'%s' names the target '%s' twice: remove one of the two", config->shown,
			      disk.target);
	if (read_values(entry, &disk, error) < 0) {
		struct sentence inner = *error;

		return report(error, -EBADMSG, "'%s', target '%s': %s" REMEDY, config->shown, disk.target, inner.text);
	}
	config->disks[config->count++] = disk;
	return 0;
}

static int read_entries(struct config *config, struct sentence *error)
{
	struct json_object *entries = NULL;
	size_t count;

	if (json_get_array(config->json, "disks", &entries) <= 0)
		return report(error, -EBADMSG, "'%s' has no list \"disks\"" REMEDY, config->shown);
	count = json_object_array_length(entries);
	config->disks = calloc(count ? count : 1, sizeof(*config->disks));
	if (!config->disks)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		int r = read_entry(config, json_object_array_get_idx(entries, i), error);

		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_config(struct config *config, size_t length, struct sentence *error)
{
	struct sentence inner = { "" };
	int r = json_parse(config->text, length, &config->json, &inner);

	if (r < 0)
		return report(error, r, "'%s' is %s" REMEDY, config->shown, inner.text);
	return read_entries(config, error);
}

static int read_file(struct config *config, int fd, struct sentence *error)
{
	struct stat st;
	size_t length;
	int r;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return report(error, -EINVAL, "'%s' is not a regular file", config->shown);
	r = read_all(fd, CONFIG_MAX, &config->text, &length);
	if (r < 0)
		return report(error, r, "cannot read '%s': %s", config->shown, error_text(r));
	domain_file_version(&st, config->token);
	return parse_config(config, length, error);
}

/* Is nothing there, or a link to nothing? Such a link was meant to be a configuration. */
static int explain_missing(const struct config *config, struct sentence *error)
{
	struct stat st;

	if (lstat(config->path, &st) < 0 && errno == ENOENT)
		return 0;
	return report(error, -ENOENT, "'%s' is a symbolic link to a file that is not there" REMEDY, config->shown);
}

static struct config *new_config(const char *directory, const char *domain)
{
	CLEANUP(config_freep) struct config *config = calloc(1, sizeof(*config));
	size_t size;

	if (!config)
		return NULL;
	config->path = format_text("%s/%s.json", directory, domain);
	if (!config->path)
		return NULL;
	size = strlen(config->path) + 1;
	config->shown = malloc(size);
	if (!config->shown)
		return NULL;
	shown_text(config->path, config->shown, size);
	return steal_pointer(&config);
}

int config_load(const char *directory, const char *domain, struct config **ret_config, struct sentence *error)
{
	CLEANUP(config_freep) struct config *config = NULL;
	CLEANUP(close_fdp) int fd = -1;
	int r;

	if (!name_is_usable(domain))
		return report(error, -EINVAL,
			      "a domain of this name cannot have a configuration: give it another name");
	config = new_config(directory, domain);
	if (!config)
		return report(error, -ENOMEM, "out of memory");
	fd = open(config->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return explain_missing(config, error);
	if (fd < 0 && errno == ENAMETOOLONG)
		return 0; /* no file can have that name */
	if (fd < 0)
		return report(error, -errno, "cannot read '%s': %s", config->shown, error_text(-errno));
	r = read_file(config, fd, error);
	if (r < 0)
		return r;
	*ret_config = steal_pointer(&config);
	return 1;
}

const struct config_disk *config_find(const struct config *config, const char *target)
{
	for (size_t i = 0; i < config->count; i++)
		if (strcmp(config->disks[i].target, target) == 0)
			return &config->disks[i];
	return NULL;
}

/* Where "true" stands for one-shot-commit of this entry, or NULL. */
static const char *flag_place(const struct config *config, size_t index)
{
	const char *entries = json_member(config->text, "disks");
	const char *entry = entries ? json_element(entries, index) : NULL;
	const char *flag = entry ? json_member(entry, "one-shot-commit") : NULL;

	return flag && strncmp(flag, "true", 4) == 0 ? flag : NULL;
}

/*
 * The file's text with false in the place of true for one-shot-commit of the chosen disks. Returns
 * how many were replaced, or -ENOMEM.
 */
static int disarmed_text(const struct config *config, const bool *which, char **ret_text)
{
	size_t length = strlen(config->text);
	CLEANUP(freep) char *marked = calloc(1, length + 1);
	CLEANUP(freep) char *text = malloc(length + config->count + 1);
	char *out = text;
	int changed = 0;

	if (!marked || !text)
		return -ENOMEM;
	for (size_t i = 0; i < config->count; i++) {
		const char *place = which[i] ? flag_place(config, i) : NULL;

		if (place)
			marked[place - config->text] = 1;
	}
	for (size_t i = 0; i < length; i++) {
		if (!marked[i]) {
			*out++ = config->text[i];
			continue;
		}
		out = stpcpy(out, "false");
		i += strlen("true") - 1;
		changed++;
	}
	*out = '\0';
	*ret_text = steal_pointer(&text);
	return changed;
}

/*
 * Make a new file with this text, owner and mode, and sync it. `name` is a template for
 * mkostemp(3), and becomes the file's name. On failure no file is left.
 */
static int write_beside(char *name, const char *text, const struct stat *like)
{
	CLEANUP(close_fdp) int fd = mkostemp(name, O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	if (fchown(fd, like->st_uid, like->st_gid) < 0 || fchmod(fd, like->st_mode & 07777) < 0)
		r = -errno;
	else
		r = write_all(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		unlink(name);
	return r;
}

static int sync_directory(const char *directory)
{
	CLEANUP(close_fdp) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int stat_unchanged(const struct config *config, const char *file, struct stat *ret_stat)
{
	char token[DOMAIN_FILE_VERSION_SIZE];

	if (stat(file, ret_stat) < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	domain_file_version(ret_stat, token);
	return strcmp(token, config->token) == 0 ? 0 : -ESTALE;
}

static int replace_file(const struct config *config, const char *text)
{
	CLEANUP(freep) char *file = realpath(config->path, NULL);
	CLEANUP(freep) char *directory = file ? strndup(file, (size_t)(strrchr(file, '/') + 1 - file)) : NULL;
	CLEANUP(freep) char *fresh = NULL;
	struct stat st;
	int r;

	if (!directory)
		return -errno;
	fresh = format_text("%s.revertfs-XXXXXX", directory);
	if (!fresh)
		return -ENOMEM;
	r = stat_unchanged(config, file, &st);
	if (r == 0)
		r = write_beside(fresh, text, &st);
	if (r < 0)
		return r;
	r = stat_unchanged(config, file, &st);
	if (r == 0 && rename(fresh, file) < 0)
		r = -errno;
	if (r < 0) {
		unlink(fresh);
		return r;
	}
	return sync_directory(directory);
}

int config_replace(const struct config *config, const char *text, struct sentence *error)
{
	int r = replace_file(config, text);

	return r < 0 ? report(error, r, "cannot write '%s': %s", config->shown,
			      r == -ESTALE ? "it has been changed meanwhile" : error_text(r))
		     : 0;
}

int config_create(const char *directory, const char *domain, const char *text, struct sentence *error)
{
	CLEANUP(config_freep) struct config *config = name_is_usable(domain) ? new_config(directory, domain) : NULL;
	CLEANUP(freep) char *fresh = format_text("%s/.revertfs-XXXXXX", directory);
	struct stat like = { .st_mode = 0644, .st_uid = geteuid(), .st_gid = getegid() };
	int r = config && fresh ? write_beside(fresh, text, &like) : -EINVAL;

	if (r == 0 && link(fresh, config->path) < 0) /* not rename(): a file that is there by now stays */
		r = -errno;
	if (r == 0 || (config && fresh))
		unlink(fresh);
	if (r == 0)
		r = sync_directory(directory);
	return r < 0 ? report(error, r, "cannot write '%s': %s", config ? config->shown : directory, error_text(r)) : 0;
}

int config_remove(const struct config *config, struct sentence *error)
{
	struct stat now;
	int r = stat_unchanged(config, config->path, &now);

	if (r == 0 && unlink(config->path) < 0)
		r = -errno;
	return r < 0 ? report(error, r, "cannot remove '%s': %s", config->shown,
			      r == -ESTALE ? "it has been changed meanwhile" : error_text(r))
		     : 0;
}

int config_disarm(const struct config *config, const bool *which, struct sentence *error)
{
	CLEANUP(freep) char *text = NULL;
	int r = disarmed_text(config, which, &text);

	if (r > 0)
		r = replace_file(config, text);
	if (r == -ESTALE)
		return report(error, r, "'%s' has been changed meanwhile: its one-shot-commit is left as it is now",
			      config->shown);
	if (r < 0)
		return report(error, r, "cannot write one-shot-commit back to '%s': %s", config->shown, error_text(r));
	return 0;
}
