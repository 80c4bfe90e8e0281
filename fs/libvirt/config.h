/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's configuration, DOMAIN.json: load and check it, and change it, above all to write false
 * to a one-shot-commit that has been done.
 */
#ifndef REVERTFS_LIBVIRT_CONFIG_H
#define REVERTFS_LIBVIRT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "domain_file.h"
#include "util.h"

#define CONFIG_MAX (1 << 20) /* bytes of a file */

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
	char *path;                           /* holds the domain's name as it is: any bytes but '/' */
	char *shown;                          /* the path, for sentences */
	char *text;                           /* the file, as it was read */
	struct json_object *json;             /* the same, parsed: owns the entries' strings */
	char token[DOMAIN_FILE_VERSION_SIZE]; /* tells this version of the file from others */
	struct config_disk *disks;
	size_t count;
};

/*
 * Load a domain's configuration. 1 when loaded, 0 when the domain has none; else a negative errno
 * with a sentence. Free with config_free().
 */
int config_load(const char *directory, const char *domain, struct config **ret_config, struct sentence *error);
void config_free(struct config *config); /* NULL is fine */
void config_freep(struct config **config);

/* The entry of the disk with this target, or NULL. Borrowed. */
const struct config_disk *config_find(const struct config *config, const char *target);

/*
 * Write false to one-shot-commit of the disks that `which` is true for (one bool for each of
 * config->disks). The file is replaced as a whole and is on the medium on return; of a symbolic
 * link, the file that it points to. -ESTALE when the file has changed since config_load(): it then
 * stays as it is.
 */
int config_disarm(const struct config *config, const bool *which, struct sentence *error);

/*
 * config_replace() gives the file another text, in the same way. config_create() makes the file of
 * a domain that has none; -EEXIST when it has one by now. config_remove() removes the file, or
 * fails with -ESTALE when it has changed since config_load().
 */
int config_replace(const struct config *config, const char *text, struct sentence *error);
int config_create(const char *directory, const char *domain, const char *text, struct sentence *error);
int config_remove(const struct config *config, struct sentence *error);

#endif
