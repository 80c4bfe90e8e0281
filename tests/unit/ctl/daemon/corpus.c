/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a daemon, or something else that is called so, tells revertctl.
 */
#include "corpus.h"

#include "ask.h"
#include "draw.h"
#include "status_json.h"
#include "verbs.h"

CORPUS(status, "status", any_status_is_refused_or_drawn_without_a_control_character)

/* Lines of clean text; the caller's text is consumed. */
static void check_drawn(char *text)
{
	check(text);
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		check(text_is_clean(line));
	}
	free(text);
}

static void feed_status(const void *data, size_t size)
{
	static const struct style narrow = { .width = 30 }, unicode = { .unicode = true };
	CLEANUP(json_putp) struct json_object *status = NULL;
	char *text = copy_of(data, size);
	struct json_object *disk;

	if (answer_parse(text, &status) == 0) {
		check_drawn(draw_status(status, &narrow));
		for (size_t i = 0; i < 3 && (disk = element_of(status, "disks", i)); i++) {
			check_drawn(draw_disk(disk, &unicode));
			check_drawn(draw_tree(disk, &narrow));
		}
	} else {
		check(!status);
	}
	free(text);
}

CORPUS(result, "answer", any_answer_is_a_result_or_a_refusal_with_a_sentence)

static void feed_result(const void *data, size_t size)
{
	struct question question = { .point = "/mnt", .answer = copy_of(data, size) };
	CLEANUP(json_putp) struct json_object *answer = NULL;
	struct sentence error = { "" };
	int r = ask_result(&question, &answer, &error);

	check(r == 0 ? answer != NULL : r < 0 && !answer && *error.text && text_is_clean(error.text));
	free(question.answer);
}
