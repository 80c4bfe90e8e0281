/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What there is, once, or every second with --watch; and tree, which shows a disk so.
 *
 * Without --mount and a name, all mounts are shown. Where there are several, each has a heading (in
 * JSON: they are a list). A mount that does not answer has its sentence in its place, and the exit
 * status says so.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "arguments.h"
#include "ask.h"
#include "show.h"
#include "subcommands.h"
#include "terminal.h"

#define WATCH_MS 1000
#define JSON_LINE (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
#define JSON_PAGE (JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE)

/* ---- one disk, one mount */

static int show_disk(const struct view *view, FILE *out, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *status = NULL;
	CLEANUP(freep) char *point = NULL;
	CLEANUP(freep) char *name = NULL;
	CLEANUP(freep) char *text = NULL;
	struct json_object *disk = NULL;
	int r = ask_find_mount(view->context, view->word, &point, &name, error);

	if (r == 0 && view->looks)
		ask_look(point, name);
	if (r == 0)
		r = ask_status(point, &status, error);
	if (r == 0)
		r = ask_find_disk(status, name, &disk, error);
	if (r < 0)
		return r;
	if (view->context->json) {
		fprintf(out, "%s\n", json_object_to_json_string_ext(disk, view->json_flags));
		return 0;
	}
	text = view->draw(disk, &view->style);
	fputs(text ? text : "", out);
	return text ? 0 : report(error, -ENOMEM, "out of memory");
}

static int show_mount(const struct view *view, const char *point, FILE *out, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *status = NULL;
	CLEANUP(freep) char *text = NULL;
	int r = ask_status(point, &status, error);

	if (r < 0)
		return r;
	if (view->context->json) {
		fprintf(out, "%s\n", json_object_to_json_string_ext(status, view->json_flags));
		return 0;
	}
	text = draw_status(status, &view->style);
	fputs(text ? text : "", out);
	return text ? 0 : report(error, -ENOMEM, "out of memory");
}

/* ---- all of them */

/* The daemons' own objects in one. A daemon that does not answer has an object that says why. */
static int show_all_json(const struct view *view, const struct mounts *mounts, FILE *out)
{
	CLEANUP(json_putp) struct json_object *all = json_object_new_object();
	struct json_object *list = json_object_new_array();
	int result = 0;

	for (const struct mount *m = mounts_next(mounts, NULL); m; m = mounts_next(mounts, m)) {
		struct json_object *status = NULL;
		struct sentence why;

		if (ask_status(m->point, &status, &why) < 0) {
			result = EXIT_UNREACHABLE;
			status = json_object_new_object();
			json_set_string(status, "mount", m->point);
			json_set_string(status, "error", why.text);
		}
		json_object_array_add(list, status);
	}
	json_object_object_add(all, "mounts", list);
	fprintf(out, "%s\n", json_object_to_json_string_ext(all, view->json_flags));
	return result;
}

static int show_all_text(const struct view *view, const struct mounts *mounts, FILE *out)
{
	int result = 0;

	for (const struct mount *m = mounts_next(mounts, NULL); m; m = mounts_next(mounts, m)) {
		struct sentence why;

		fprintf(out, "%s%s%s\n", colour_on(DIM, &view->style), m->point, colour_off(DIM, &view->style));
		if (show_mount(view, m->point, out, &why) < 0) {
			fprintf(out, "    %s\n", why.text);
			result = EXIT_UNREACHABLE;
		}
	}
	return result;
}

static int show_all(const struct view *view, FILE *out, struct sentence *error)
{
	CLEANUP(mounts_freep) struct mounts *mounts = NULL;
	int r = ask_mounts(&mounts, error);

	if (r < 0)
		return r;
	if (!mounts_next(mounts, mounts_next(mounts, NULL)))
		return show_mount(view, mounts_next(mounts, NULL)->point, out, error);
	return view->context->json ? show_all_json(view, mounts, out) : show_all_text(view, mounts, out);
}

/* A name that is both is the disk's. */
static int show_word(const struct view *view, FILE *out, struct sentence *error)
{
	int r = view->is_no_disk ? -ENOENT : show_disk(view, out, error), other;

	if (r >= 0 || !view->show_other || (r != -ENOENT && r != -ENOTCONN && r != -ETIMEDOUT))
		return r;
	other = view->show_other(view, out, error);
	return *view->other_shown || other < 0 ? other : r;
}

int show(const struct view *view, FILE *out, struct sentence *error)
{
	CLEANUP(freep) char *point = NULL;
	int r;

	if (view->word)
		return show_word(view, out, error);
	if (!view->context->mount)
		return show_all(view, out, error);
	r = ask_find_mount(view->context, NULL, &point, NULL, error);
	return r < 0 ? r : show_mount(view, point, out, error);
}

/* ---- again and again */

static unsigned terminal_height(void)
{
	struct winsize size = { 0 };

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2 ? size.ws_row : 24;
}

/*
 * Paint over the old text: clearing the screen first would flicker. What is too long for the screen
 * is cut.
 */
static void repaint(const char *text)
{
	unsigned lines = terminal_height() - 1;

	fputs("\033[H", stdout);
	while (*text && lines--) {
		size_t length = strcspn(text, "\n");

		printf("%.*s\033[K\n", (int)length, text);
		text += length + (text[length] == '\n');
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

static void paint(const struct view *view, const char *text, const char *last)
{
	if (view->style.is_terminal && !view->context->json)
		repaint(text);
	else if (strcmp(text, last) != 0)
		printf("%s", text);
	fflush(stdout);
}

/* Until Ctrl-C. A daemon that does not answer, as while it is restarted, is asked again. */
static int watch(struct view *view)
{
	char *last = strdup("");

	while (last) {
		struct sentence why = { "" };
		size_t length = 0;
		char *text = NULL;
		FILE *out = open_memstream(&text, &length);

		if (!out)
			break;
		view->style.width = terminal_width(STDOUT_FILENO);
		if (show(view, out, &why) < 0)
			fprintf(out, "%s\n", why.text);
		fclose(out);
		paint(view, text, last);
		free(last);
		last = text;
		if (ferror(stdout))
			break;
		poll(NULL, 0, WATCH_MS); /* or until SIGWINCH */
		ask_reap();
	}
	free(last);
	return EXIT_REFUSED;
}

/* Without a handler, SIGWINCH would not end a poll(). */
static void ignore(int signal)
{
	(void)signal;
}

int show_watch(struct view *view)
{
	struct sigaction resized = { .sa_handler = ignore };

	sigaction(SIGWINCH, &resized, NULL);
	view->json_flags = JSON_LINE;
	if (view->style.is_terminal && !view->context->json)
		fputs("\033[2J", stdout);
	return watch(view);
}

struct view view_of(const struct context *context, const struct arguments *arguments)
{
	struct view view = { .context = context,
			     .word = arguments->word_count ? arguments->words[0] : NULL,
			     .draw = draw_disk,
			     .json_flags = JSON_PAGE };

	terminal_look(STDOUT_FILENO, &view.style);
	return view;
}

static int run_tree(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	struct view view = view_of(context, arguments);

	view.draw = draw_tree;
	return show(&view, stdout, error);
}

const struct subcommand tree_subcommand = {
	"tree", "NAME", "a disk's layers and snapshots, as a tree", NULL, run_tree, NULL,
};
