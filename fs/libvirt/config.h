/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's configuration, DOMAIN.json: load and check it, and take a consumed one-shot-commit
 * back.
 */
#ifndef REVERTFS_LIBVIRT_CONFIG_H
#define REVERTFS_LIBVIRT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util.h"

#define CONFIG_MAX (1 << 20)
#define CONFIG_TOKEN_SIZE 96

/*
 * An entry of "disks". Strings are borrowed from the configuration; NULL where the key is absent.
 */
struct config_disk {
	const char *target;
	const char *leftover; /* "keep" or "discard" */
	const char *format;   /* "raw" or "qcow2" */
	uint64_t keep_revisions;
	bool has_keep_revisions;
	bool one_shot_commit;
};

struct config {
	char *path;                    /* raw, as the domain's name */
	char *shown;                   /* the path, for sentences */
	char *text;                    /* the file, as it was read */
	struct json_object *json;      /* the same, parsed: owns the entries' strings */
	char token[CONFIG_TOKEN_SIZE]; /* tells this very version of the file from others */
	struct config_disk *disks;
	size_t count;
};

/*
 * 1 when loaded, 0 when the domain has none; else a negative errno with a sentence. Free with
 * config_free().
 */
int config_load(const char *directory, const char *domain, struct config **ret_config, struct sentence *error);
void config_free(struct config *config); /* NULL is fine */
void config_freep(struct config **config);

/* The entry of the disk with this target, or NULL. Borrowed. */
const struct config_disk *config_find(const struct config *config, const char *target);

/*
 * Write false to one-shot-commit of the disks that `which` is true for (one bool for each of
 * config->disks). The file is replaced as a whole and is on the medium on return; where it is a
 * symbolic link, what it points to is. -ESTALE when somebody has changed the file since
 * config_load(): it is then left as it is.
 */
int config_disarm(const struct config *config, const bool *which, struct sentence *error);

/*
 * Another text for the file, replaced in the same way; or a first one for a domain that has none,
 * -EEXIST when it has by now. config_remove() removes it, if it is still the one that was loaded.
 */
int config_replace(const struct config *config, const char *text, struct sentence *error);
int config_create(const char *directory, const char *domain, const char *text, struct sentence *error);
int config_remove(const struct config *config, struct sentence *error);

#endif
