/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a session's end does is what the file says then, so of a domain that runs the flag as it is
 * now counts, and not the one that it was started with.
 */
#include "domain_status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "config.h"
#include "defined_domain.h"
#include "domain_xml.h"
#include "host.h"
#include "status_json.h"
#include "statuses.h"

#define PATIENCE_S 5

#define REVERTS "reverts"
#define ARMED "armed"
#define UNPROTECTED "unprotected"
#define UNKNOWN "unknown"

/* All that is known. */
struct look {
	struct virsh virsh;
	struct mounts *mounts;
	struct statuses statuses;
	struct domain *domain; /* NULL: libvirt does not answer */
	struct config *config; /* NULL: there is none, or it is not valid */
	const char *name;      /* the domain's */
	const char *state;     /* NULL: not known */
	struct sentence why;   /* ... why not */
	struct sentence bad;   /* what is wrong with the file, or "" */
};

static void look_clear(struct look *look)
{
	config_free(look->config);
	domain_free(look->domain);
	statuses_clear(&look->statuses);
	mounts_free(look->mounts);
}

/* One target. */
struct target {
	const char *name, *source; /* the source is NULL where libvirt does not say */
	const struct config_disk *entry;
	const struct mount *mount;
	const struct mount_status *daemon; /* of the mount */
	struct json_object *disk;          /* what the daemon says of it, or NULL */
	const char *does;
	struct sentence sentence;
};

/* ---- looking */

/* A name may be a number or a UUID for virsh; then the domain's file has the name of the XML. */
static int look_at_libvirt(struct look *look, const char *word, struct sentence *error)
{
	CLEANUP(virsh_free_names) char **names = NULL;
	CLEANUP(freep) char *state = NULL;
	int r = domain_xml_read(&look->virsh, word, DOMAIN_XML_CURRENT, NULL, &look->domain, &look->why);

	if (r < 0) {
		if (r == -EIO && virsh_domain_names(&look->virsh, &names, NULL) == 0)
			return report(error, -ENOENT, "there is no domain '%s'", word);
		return 0;
	}
	look->name = look->domain->name;
	domain_xml_follow(look->domain, look->mounts);
	if (virsh_domain_state(&look->virsh, look->domain->uuid, &state, &look->why) < 0)
		return 0;
	if (strcmp(state, "shut off") == 0 || strcmp(state, "crashed") == 0)
		look->state = defined_domain_is_saved(&look->virsh, look->domain) ? "saved" : "off";
	else
		look->state = strcmp(state, "paused") == 0 ? "paused" : "running";
	return 0;
}

static bool is_running(const struct look *look)
{
	return look->state && strcmp(look->state, "off") != 0 && strcmp(look->state, "saved") != 0;
}

static int look_at(struct look *look, const char *word, struct sentence *error)
{
	int r = mounts_read(MOUNTINFO, &look->mounts, error), loaded;

	if (r == 0)
		r = statuses_ask(look->mounts, &look->statuses, error);
	if (r == 0)
		r = look_at_libvirt(look, word, error);
	if (r < 0)
		return r;
	loaded = config_load(HOST_CONFIG_DIR, look->name, &look->config, &look->bad);
	if (loaded >= 0)
		look->bad.text[0] = '\0';
	return 0;
}

/* ---- one target */

static void say(struct target *target, const char *does, const char *text)
{
	target->does = does;
	report(&target->sentence, 0, "%s", text);
}

static void add(struct target *target, const char *text)
{
	struct sentence before = target->sentence;

	report(&target->sentence, 0, "%s; %s", before.text, text);
}

/* Whether a session or a hold is the domain's own. */
static bool is_ours(const struct look *look, struct json_object *object)
{
	if (!object)
		return false;
	if (look->domain)
		return strcasecmp(string_of(object, "uuid", ""), look->domain->uuid) == 0;
	return strcmp(string_of(object, "domain", ""), look->name) == 0;
}

/* Named in no file: nothing reverts it. */
static void judge_unnamed(const struct look *look, struct target *target)
{
	struct json_object *session = object_of(target->disk, "session");

	if (is_ours(look, session))
		report(&target->sentence, 0,
		       "this session began protected, but the domain's file %s: what it writes waits for the next start, which puts it aside",
		       look->bad.text[0] ? "cannot be used now" : "does not name the disk now");
	else if (look->bad.text[0] && target->disk)
		say(target, UNKNOWN, "whether it reverts is not known, for the domain's file cannot be used");
	else if (target->disk && disk_keeps_data(target->disk))
		say(target, UNPROTECTED, "keeps what is written, for it is set to (reverts=no)");
	else if (target->disk)
		say(target, UNPROTECTED,
		    "keeps what is written, as long as the domain's file does not name it; then the next start puts that aside");
	else
		say(target, UNPROTECTED, "keeps what is written");
}

static void say_as_armed(struct target *target, bool armed, const char *session)
{
	target->does = armed ? ARMED : REVERTS;
	report(&target->sentence, 0, "%s: what %s writes is %s when it ends", target->does, session,
	       armed ? "committed" : "thrown away");
}

static void judge_session(const struct look *look, struct target *target, bool armed)
{
	struct json_object *session = object_of(target->disk, "session");
	bool ours = is_ours(look, session), saved = is_ours(look, object_of(target->disk, "hold"));

	if (ours && (is_running(look) || (!look->state && flag_of(session, "active"))))
		say_as_armed(target, armed, "this session");
	else if (is_running(look))
		say(target, UNPROTECTED,
		    "does not revert in this session, which began without the hook: what it writes is put aside at the next start");
	else
		say_as_armed(target, armed,
			     saved ? "the saved guest's session, which goes on at the next start,"
				   : "the next session");
	if (ours && look->state && !is_running(look) && !saved)
		add(target,
		    "revertfs was not told that the last one has ended, so the next start decides on what it wrote");
}

/* A flag that could not be read when the last session ended was meant for that one. */
static bool is_used_up(const struct look *look, struct json_object *disk)
{
	return look->domain && !is_ours(look, object_of(disk, "session")) &&
	       strcasecmp(string_of(disk, "unread", ""), look->domain->uuid) == 0;
}

static void judge_named(const struct look *look, struct target *target)
{
	bool used_up = is_used_up(look, target->disk);
	bool armed = (target->entry->one_shot_commit && !used_up) || flag_of(target->disk, "commit_at_release");

	if (target->source && !target->mount)
		say(target, UNPROTECTED,
		    "keeps what is written: the domain's file names it, but its source is in no mount of revertfs");
	else if (target->daemon && !target->daemon->status)
		report(&target->sentence, 0, "whether it reverts now is not known: %s", target->daemon->why.text);
	else if (target->disk && disk_keeps_data(target->disk))
		say(target, UNPROTECTED,
		    "keeps what is written, for it is set to (reverts=no), although the domain's file names it");
	else if (target->disk)
		judge_session(look, target, armed);
	else if (is_running(look))
		say(target, UNPROTECTED, "keeps what is written in this session; from the next start on it reverts");
	else
		say_as_armed(target, armed, "the next session");
}

/* What waits for the next start, in the daemon's words. */
static void add_leftover(struct target *target)
{
	const char *leftover = string_of(target->disk, "leftover", NULL);
	struct sentence text;

	if (strcmp(string_of(target->disk, "state", ""), "failed") == 0)
		report(&text, 0, "now it cannot be served: %s",
		       string_of(target->disk, "last_error", "see the log of revertfs"));
	else if (leftover)
		report(&text, 0, "%s", leftover);
	else if (string_of(target->disk, "image_trouble", NULL))
		report(&text, 0, "%s", string_of(target->disk, "image_trouble", ""));
	else
		return;
	add(target, text.text);
}

static const struct mount_status *daemon_of(const struct look *look, const struct mount *mount)
{
	for (size_t i = 0; mount && i < look->statuses.count; i++)
		if (strcmp(look->statuses.items[i].mount->device, mount->device) == 0)
			return &look->statuses.items[i];
	return NULL;
}

static void judge(const struct look *look, struct target *target)
{
	target->does = UNKNOWN;
	target->entry = look->config ? config_find(look->config, target->name) : NULL;
	if (target->entry)
		judge_named(look, target);
	else
		judge_unnamed(look, target);
	if (target->disk)
		add_leftover(target);
	if (target->entry && target->entry->one_shot_commit && is_used_up(look, target->disk))
		add(target,
		    "its one-shot-commit was meant for the session that has ended ('revertctl commit-once' means the next)");
}

static void list(struct json_object *disks, const struct target *target)
{
	struct json_object *object = json_object_new_object();

	json_set_string(object, "target", target->name);
	json_set_string(object, "source", target->source);
	json_set_string(object, "mount", target->mount ? target->mount->point : NULL);
	json_set_string(object, "name", target->disk ? string_of(target->disk, "name", NULL) : NULL);
	json_set_string(object, "does", target->does);
	json_set_string(object, "sentence", target->sentence.text);
	json_object_array_add(disks, object);
}

/* ---- all of them */

static bool is_disk(const struct domain_disk *xml)
{
	return xml->target && (!xml->device || strcmp(xml->device, "disk") == 0 || strcmp(xml->device, "lun") == 0);
}

static void judge_all(const struct look *look, struct json_object *disks)
{
	for (size_t i = 0; i < look->domain->count; i++) {
		const struct domain_disk *xml = &look->domain->disks[i];
		struct target target = { .name = xml->target, .source = xml->path };

		if (!is_disk(xml))
			continue;
		target.mount = xml->path ? mounts_of_path(look->mounts, xml->path) : NULL;
		target.daemon = daemon_of(look, target.mount);
		if (target.mount && target.daemon && target.daemon->status)
			ask_find_disk(target.daemon->status, name_beneath(xml->path, target.mount->point), &target.disk,
				      NULL);
		judge(look, &target);
		list(disks, &target);
	}
}

/* The disk that a daemon has in a session or a hold of the domain, by its target. */
static void find_in_sessions(const struct look *look, struct target *target)
{
	struct json_object *disk;

	for (size_t i = 0; i < look->statuses.count; i++) {
		for (size_t k = 0; (disk = element_of(look->statuses.items[i].status, "disks", k)); k++) {
			struct json_object *session = object_of(disk, "session");

			if (!is_ours(look, session) || strcmp(string_of(session, "target", ""), target->name) != 0)
				continue;
			target->disk = disk;
			target->mount = look->statuses.items[i].mount;
		}
	}
}

/* Without libvirt: what the domain's file names. */
static void judge_entries(const struct look *look, struct json_object *disks)
{
	for (size_t i = 0; look->config && i < look->config->count; i++) {
		struct target target = { .name = look->config->disks[i].target };

		find_in_sessions(look, &target);
		judge(look, &target);
		list(disks, &target);
	}
}

static void look_ahead(const struct look *look, struct json_object *status)
{
	struct sentence refused = { "" };

	if (look->domain && look->config && look->state && strcmp(look->state, "off") == 0)
		defined_domain_ask_hook(look->domain, look->config, look->mounts, &refused);
	json_set_string(status, "refused", refused.text[0] ? refused.text : NULL);
}

int domain_status(const struct context *context, const char *word, struct json_object **ret_status,
		  struct sentence *error)
{
	CLEANUP(look_clear)
	struct look look = { .virsh = { .uri = context->connect, .timeout_s = PATIENCE_S }, .name = word };
	struct json_object *status, *disks;
	int r = look_at(&look, word, error);

	if (r < 0)
		return r;
	if (!look.domain && !look.config && !look.bad.text[0])
		return report(error, -ENOTCONN, "'%s' is no disk, and whether it is a domain is not known: %s", word,
			      look.why.text);
	status = json_object_new_object();
	disks = json_object_new_array();
	json_set_string(status, "domain", look.name);
	json_set_string(status, "uuid", look.domain ? look.domain->uuid : NULL);
	json_set_string(status, "state", look.state);
	json_set_string(status, "file", look.config ? look.config->shown : NULL);
	if (look.domain)
		judge_all(&look, disks);
	else
		judge_entries(&look, disks);
	json_object_object_add(status, "disks", disks);
	look_ahead(&look, status);
	json_set_string(status, "error", !look.state ? look.why.text : look.bad.text[0] ? look.bad.text : NULL);
	*ret_status = status;
	return 0;
}

/* ---- as text */

char *domain_status_text(struct json_object *status)
{
	const char *domain = string_of(status, "domain", "?"), *state = string_of(status, "state", NULL);
	const char *error = string_of(status, "error", NULL), *refused = string_of(status, "refused", NULL);
	struct json_object *disk;
	size_t length = 0;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &length);

	if (!stream)
		return NULL;
	if (state)
		fprintf(stream, "The domain '%s' is %s.\n", domain, state);
	else
		fprintf(stream, "Whether the domain '%s' runs is not known.\n", domain);
	for (size_t i = 0; (disk = element_of(status, "disks", i)); i++) {
		const char *name = string_of(disk, "name", string_of(disk, "source", NULL));

		fprintf(stream, "    %s%s%s%s: %s.\n", string_of(disk, "target", "?"), name ? " (" : "",
			name ? name : "", name ? ")" : "", string_of(disk, "sentence", ""));
	}
	if (refused)
		fprintf(stream, "    it does not start: %s\n", refused);
	if (error)
		fprintf(stream, "    %s\n", error);
	if (fclose(stream) == 0)
		return text;
	free(text);
	return NULL;
}
