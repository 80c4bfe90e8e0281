/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines in, one JSON object out: each line is parsed, its verb found and its words checked against
 * what the verb takes; then the verb is run (disk_verbs.c, domain_verbs.c).
 *
 * A line that fails is logged once, here, with the process that wrote it. The same sentence becomes
 * the disk's last_error and part of the answer.
 */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "due.h"
#include "json.h"
#include "log.h"
#include "output.h"
#include "reply.h"
#include "state_directory.h"
#include "table.h"
#include "verb.h"

const char *control_help(void)
{
	return "Write one command a line; read the answer on the same descriptor. Names are relative to the mount.\n"
	       "A word with blanks goes in double quotes (\\\" and \\\\ inside).\n"
	       "\n"
	       "protect NAME [format=raw|qcow2] [force=yes]   serve the image as a disk that can be reset; force gives up\n"
	       "                                  commits that another state directory has on it\n"
	       "unprotect NAME [force=yes]        serve the image itself again; force gives up what is not folded into it\n"
	       "set NAME key=value ...            keep-revisions=N leftover=discard|keep durability=relaxed|strict reverts=yes|no size=BYTES image=unchanged|as-is|new|mine\n"
	       "reset NAME [force=yes]            discard what was written; force gives up a saved guest's state, and kept data\n"
	       "commit NAME [at=release] [note=TEXT]   keep what was written, now or when the session ends\n"
	       "undo NAME                         take the last commit back, as long as it is not folded\n"
	       "snapshot NAME POINT [note=TEXT]   keep what was written, and name it\n"
	       "snapshot NAME POINT live=yes [consistency=quiesced|crash-consistent|clean]\n"
	       "                                  the same of a running disk, whose guest is paused; the session goes on\n"
	       "revert NAME POINT [discard=yes]   go back to a snapshot; what was written since is kept aside\n"
	       "delete NAME POINT                 forget a snapshot\n"
	       "clone TEMPLATE NEW [point=POINT] [follow=no]   a new disk that begins where TEMPLATE is; rm removes it\n"
	       "clone TEMPLATE NEW full=yes [point=POINT] [format=qcow2|raw] [rate=BYTES] [wait=no]\n"
	       "                                  an independent one, an image of its own\n"
	       "fold NAME [wait=no]               move committed layers into the image; waits for the end\n"
	       "export NAME to=PATH [point=POINT|held=yes] [format=qcow2|raw] [compress=yes] [rate=BYTES] [replace=yes] [checksum=yes|no] [wait=no]\n"
	       "                                  a flat copy of the head, of a snapshot or of what a saved guest resumes on, and PATH.json, which describes it\n"
	       "cancel NAME [job=N|fold]          stop exports and full clones, and the fold, or just one; nothing is lost\n"
	       "arm UUID VERSION TARGET...        the domain's file, of this version, says that its running session is kept\n"
	       "disarm UUID VERSION TARGET...     ... that it is not; 'revertctl commit-once' and 'discard-next' say so\n"
	       "\n"
	       "announce, prepare, release, check what the libvirt hook says, and what the doctor asks\n";
}

static bool takes_key(const struct verb *verb, const char *key)
{
	for (const char *const *known = verb->keys; *known; known++)
		if (strcmp(*known, key) == 0)
			return true;
	return false;
}

static bool is_repeated(const struct command *command, size_t word)
{
	for (size_t i = 0; i < word; i++)
		if (command->words[i].key && strcmp(command->words[i].key, command->words[word].key) == 0)
			return true;
	return false;
}

static int check_setting(const struct verb *verb, const struct command *command, size_t word, struct sentence *error)
{
	const char *key = command->words[word].key;

	if (verb->keys && !takes_key(verb, key))
		return report(error, -EINVAL, "%s does not take '%s='", verb->name, key);
	if (verb->words != WORDS_ANY && is_repeated(command, word))
		return report(error, -EINVAL, "'%s=' is given twice", key);
	return 0;
}

/* Whether it is `count` names, and after them settings alone. */
static bool begins_with_names(const struct command *command, size_t count)
{
	for (size_t i = 0; i < command->count; i++)
		if ((command->words[i].key == NULL) != (i < count))
			return false;
	return command->count >= count;
}

static int check_words(const struct verb *verb, const struct command *command, struct sentence *error)
{
	int r = 0;

	for (size_t i = 0; i < command->count && r == 0; i++)
		if (command->words[i].key)
			r = check_setting(verb, command, i, error);
	if (r == 0 && verb->words != WORDS_ANY && !begins_with_names(command, verb->words))
		r = report(error, -EINVAL, "%s wants %s before any settings", verb->name,
			   verb->words == 1 ? "a name" : "two names");
	return r;
}

/* Whether an earlier daemon did this line, and was killed before it answered. */
static bool was_done(const struct request *request, const struct verb *verb)
{
	const struct command *command = request->command;
	bool is_clone = verb->words == 2 && verb->effect == EFFECT_MAKES_DISK;
	struct once_command once = {
		.effect = verb->effect, .line = request->line, .name = request->name, .caller = request->caller
	};
	CLEANUP(freep) char *new_name = NULL;
	struct once_result result;
	bool is_live = false;

	if (!request->caller->replay)
		return false;
	if (verb->words == 2 && !is_clone)
		once.snapshot = command->words[1].value;
	if (is_clone && relative_name(request->disks, command->words[1].value, &new_name, NULL) == 0)
		once.name = new_name;
	once.file = verb->effect == EFFECT_MAKES_FILE ? find_setting(command, "to") : NULL;
	if (request->caller->replay->again && (is_clone || once.file))
		output_await_clean_up(request->disks);
	if (!once_was_done(request->disks, request->caller->replay, &once, &result))
		return false;
	find_flag(command, "live", &is_live, NULL);
	reply_restarted(request->answer, &result, is_live);
	return true;
}

/* What `-o protect=` names is a disk for every verb, though its turn may not have come yet. */
static int settle(const struct request *request, struct sentence *error)
{
	int r = due_settle(request->disks, request->name);

	return r < 0 ? report(error, r, "'%s' is still being protected: %s", request->name, error_text(r)) : 0;
}

static int run_command(struct request *request, struct sentence *error)
{
	const struct command *command = request->command;
	const struct verb *verb = verb_find(command->verb);
	int r;

	if (!verb)
		return report(error, -EINVAL, "'%s' is no command; read the control file for the list", command->verb);
	r = check_words(verb, command, error);
	if (r == 0 && verb->words != WORDS_ANY)
		r = relative_name(request->disks, command->words[0].value, &request->name, error);
	if (r == 0)
		r = state_check(request->disks, error);
	if (r == 0 && request->name)
		r = settle(request, error);
	if (r < 0)
		return r;
	r = was_done(request, verb) ? 0 : verb->run(request, error);
	/* It was lost meanwhile: that says more than where it was noticed. */
	if (r == -ESTALE)
		state_check(request->disks, error);
	return r;
}

static void note_outcome(const struct request *request, int result, const struct sentence *error)
{
	struct disk *disk = request->name ? disks_find(request->disks, request->name) : NULL;

	if (result < 0)
		log_error("%s (asked by uid %u, pid %d)", error->text, (unsigned)request->caller->who.uid,
			  (int)request->caller->pid);
	if (disk && (result < 0 || strcmp(request->command->verb, "cancel") != 0))
		disk_set_last_error(disk, result < 0 ? error : &(struct sentence){ "" });
	disk_put(disk);
}

static void set_outcome(struct json_object *answer, int r, const struct sentence *error)
{
	json_set_bool(answer, "ok", r == 0);
	if (r == 0)
		return;
	json_set_string(answer, "errno", error_name(r));
	json_set_string(answer, "error", error->text);
}

static int run_line(struct disks *disks, struct caller *caller, unsigned number, const char *line, size_t length,
		    struct json_object *answer)
{
	CLEANUP(command_freep) struct command *command = NULL;
	struct request request = { .disks = disks, .caller = caller, .answer = answer, .line = number };
	struct sentence error = { "" };
	int r = command_parse(line, length, &command, &error);

	if (r == 0 && command) {
		log_debug("control", "uid %u, pid %d: %.*s", (unsigned)caller->who.uid, (int)caller->pid, (int)length,
			  line);
		request.command = command;
		r = run_command(&request, &error);
		note_outcome(&request, r, &error);
		free(request.name);
	} else if (r < 0) {
		log_error("control: %s (asked by uid %u, pid %d)", error.text, (unsigned)caller->who.uid,
			  (int)caller->pid);
	}
	set_outcome(answer, r, &error);
	return r;
}

static char *text_of(struct json_object *answer)
{
	return format_text("%s\n", json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN |
										  JSON_C_TO_STRING_NOSLASHESCAPE));
}

int control_run(struct disks *disks, struct caller *caller, const char *text, size_t length, char **ret_answer)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	const char *line = text, *end = text + length;
	unsigned done = caller->replay ? once_lines_done(disks, caller->replay) : 0, number = 0;
	int r = 0;

	do {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *stop = newline ? newline : end;

		json_object_put(answer);
		answer = json_object_new_object();
		if (!answer)
			return -ENOMEM;
		if (number >= done)
			r = run_line(disks, caller, number, line, (size_t)(stop - line), answer);
		number++;
		line = newline ? newline + 1 : end;
	} while (r == 0 && line < end);
	*ret_answer = text_of(answer);
	return r;
}

int control_refuse(const struct caller *caller, int r, const struct sentence *error, char **ret_answer)
{
	CLEANUP(json_putp) struct json_object *answer = json_object_new_object();

	log_error("control: %s (written by uid %u, pid %d)", error->text, (unsigned)caller->who.uid, (int)caller->pid);
	if (!answer)
		return -ENOMEM;
	set_outcome(answer, r, error);
	*ret_answer = text_of(answer);
	return r;
}

void control_wake(struct disks *disks)
{
	pthread_mutex_lock(&disks->lock);
	pthread_cond_broadcast(&disks->changed);
	pthread_mutex_unlock(&disks->lock);
}
