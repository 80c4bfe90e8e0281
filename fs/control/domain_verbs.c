/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hook's verbs, announce, prepare and release; check, which is the doctor's; and arm and
 * disarm, which revertctl writes for root.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arm.h"
#include "domain_request.h"
#include "image_look.h"
#include "reply.h"
#include "session.h"
#include "verb.h"

struct hook_request {
	struct session_request session;
	char **names; /* prepare: relative names, owned */
};

static void clear_hook_request(struct hook_request *hook)
{
	for (size_t i = 0; i < hook->session.count && hook->names; i++)
		free(hook->names[i]);
	free(hook->names);
	free(hook->session.items);
}

static int parse_session_setting(struct session_request *session, const struct command_word *word,
				 struct sentence *error)
{
	if (strcmp(word->key, "domain") == 0)
		session->domain = word->value;
	else if (strcmp(word->key, "config") == 0)
		session->config = word->value;
	else if (strcmp(word->key, "saved") == 0)
		return parse_flag(word, &session->saved, error);
	else if (strcmp(word->key, "reason") == 0 && end_reason_parse(word->value, &session->reason) == 0)
		return 0;
	else
		return report(error, -EINVAL, "'%s=%s' is not known here", word->key, word->value);
	return 0;
}

static int parse_item_setting(struct session_item *item, const struct command_word *word, struct sentence *error)
{
	if (strcmp(word->key, "target") == 0) {
		item->target = word->value;
	} else if (strcmp(word->key, "source") == 0) {
		item->source = word->value;
	} else if (strcmp(word->key, "format") == 0) {
		item->format = word->value;
	} else if (strcmp(word->key, "armed") == 0) {
		return parse_flag(word, &item->armed, error);
	} else if (strcmp(word->key, "unhooked") == 0) {
		return parse_flag(word, &item->unhooked, error);
	} else if (strcmp(word->key, "leftover") == 0) {
		if (strcmp(word->value, "keep") != 0 && strcmp(word->value, "discard") != 0)
			return report(error, -EINVAL, "leftover must be keep or discard");
		item->has_leftover = true;
		item->leftover_keep = strcmp(word->value, "keep") == 0;
	} else if (strcmp(word->key, "keep-revisions") == 0) {
		item->has_revisions = true;
		if (parse_size(word->value, &item->revisions) < 0)
			return report(error, -EINVAL, "keep-revisions must be a number");
	} else {
		return report(error, -EINVAL, "'%s' is not known here", word->key);
	}
	return 0;
}

/*
 * "UUID domain=.. config=.. ITEM key=value... ITEM ...": settings belong to the item before them,
 * or else to the session.
 */
static int parse_hook_request(const struct request *request, bool items_are_disks, struct hook_request *hook,
			      struct sentence *error)
{
	const struct command *command = request->command;
	struct session_request *session = &hook->session;
	int r = 0;

	session->domain = session->config = "";
	session->replay = request->caller->replay;
	session->line = request->line;
	session->items = calloc(command->count + 1, sizeof(*session->items));
	hook->names = calloc(command->count + 1, sizeof(*hook->names));
	if (!session->items || !hook->names)
		return report(error, -ENOMEM, "out of memory");
	if (command->count == 0 || command->words[0].key || !uuid_is_valid(command->words[0].value))
		return report(error, -EINVAL, "a domain's UUID must come first");
	session->uuid = command->words[0].value;
	for (size_t i = 1; i < command->count && r == 0; i++) {
		const struct command_word *word = &command->words[i];

		if (!word->key) {
			struct session_item *item = &session->items[session->count];

			if (items_are_disks)
				r = relative_name(request->disks, word->value, &hook->names[session->count], error);
			item->name = hook->names[session->count];
			item->target = items_are_disks ? "" : word->value;
			session->count += r == 0;
		} else if (session->count) {
			r = parse_item_setting(&session->items[session->count - 1], word, error);
		} else {
			r = parse_session_setting(session, word, error);
		}
	}
	for (size_t i = 0; i < session->count && r == 0; i++)
		if (strlen(session->items[i].target) >= TARGET_SIZE || !session->items[i].target[0])
			r = report(error, -EINVAL, "each disk wants a target of less than %d bytes", TARGET_SIZE);
	if (r == 0 && (strlen(session->domain) >= DOMAIN_SIZE || strlen(session->config) >= TOKEN_SIZE))
		r = report(error, -EINVAL, "domain or config is too long");
	return r;
}

int verb_announce(const struct request *request, struct sentence *error)
{
	const struct command_word *word = request->command->count ? &request->command->words[0] : NULL;
	int r;

	if (!word || word->key || !uuid_is_valid(word->value))
		return report(error, -EINVAL, "announce wants a domain's UUID");
	r = session_announce(request->disks, word->value);
	return r < 0 ? report(error, r, "out of memory") : 0;
}

static int parse_prepare(const struct request *request, struct hook_request *hook, struct sentence *error)
{
	int r = parse_hook_request(request, true, hook, error);

	return r == 0 && !hook->session.count ? report(error, -EINVAL, "%s wants a disk", request->command->verb) : r;
}

static int check_prepare(const struct request *request, struct sentence *error)
{
	CLEANUP(session_result_clear) struct session_result result = { 0 };
	CLEANUP(clear_hook_request) struct hook_request hook = { 0 };
	int r = parse_prepare(request, &hook, error);

	hook.session.only_check = true;
	return r == 0 ? session_prepare(request->disks, &hook.session, &result, error) : r;
}

static int look_at_disk(const struct request *request, const char *word, struct sentence *error)
{
	CLEANUP(freep) char *name = NULL;
	struct disk *disk = NULL;
	int r = relative_name(request->disks, word, &name, error);

	if (r < 0)
		return r;
	disk = disks_find(request->disks, name);
	if (!disk)
		return report(error, -ENOENT, "there is no disk '%s'", name);
	image_look(disk);
	disk_put(disk);
	return 0;
}

/* "check", "check NAME", or else the words of a prepare, which wants more. */
int verb_check(const struct request *request, struct sentence *error)
{
	const struct command *command = request->command;

	if (command->count > 1 || (command->count && command->words[0].key))
		return check_prepare(request, error);
	if (command->count)
		return look_at_disk(request, command->words[0].value, error);
	images_look(request->disks);
	return 0;
}

int verb_prepare(const struct request *request, struct sentence *error)
{
	CLEANUP(session_result_clear) struct session_result result = { 0 };
	CLEANUP(clear_hook_request) struct hook_request hook = { 0 };
	int r = parse_prepare(request, &hook, error);

	if (r == 0)
		r = session_prepare(request->disks, &hook.session, &result, error);
	if (r == 0)
		reply_session(request->answer, &result);
	return r;
}

int verb_release(const struct request *request, struct sentence *error)
{
	CLEANUP(session_result_clear) struct session_result result = { 0 };
	CLEANUP(clear_hook_request) struct hook_request hook = { 0 };
	int r = parse_hook_request(request, false, &hook, error);

	if (r < 0)
		return r;
	r = session_release(request->disks, &hook.session, &result, error);
	reply_session(request->answer, &result);
	return r;
}

static void clear_items(struct session_request *session)
{
	free(session->items);
}

/* What a session keeps is an administrator's to say: he alone may edit the domain's file. */
int verb_arm(const struct request *request, struct sentence *error)
{
	CLEANUP(session_result_clear) struct session_result result = { 0 };
	CLEANUP(clear_items) struct session_request session = { 0 };
	const struct command *command = request->command;
	int r;

	if (request->caller->who.uid != 0)
		return report(error, -EPERM, "root alone may arm a session");
	if (command->count < 3 || !uuid_is_valid(command->words[0].value) ||
	    strlen(command->words[1].value) >= TOKEN_SIZE)
		return report(error, -EINVAL, "%s wants a domain's UUID, a version of its file, and targets",
			      command->verb);
	session.uuid = command->words[0].value;
	session.config = command->words[1].value;
	session.items = calloc(command->count, sizeof(*session.items));
	if (!session.items)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 2; i < command->count; i++)
		session.items[session.count++] = (struct session_item){ .target = command->words[i].value,
									.armed = strcmp(command->verb, "arm") == 0 };
	r = session_arm(request->disks, &session, &result, error);
	reply_session(request->answer, &result);
	return r;
}
