/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three questions may be under way at a time: the work itself, the status that says how far it is,
 * and the cancel. Each is a child (hook/client.h); one poll loop listens to all of them and to
 * SIGINT, so nothing that hangs keeps Ctrl-C from being answered. A SIGTERM or SIGKILL ends
 * revertctl alone: the daemon goes on with the work.
 */
#include "long_command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "command.h"
#include "draw.h"
#include "progress.h"
#include "terminal.h"

#define FIRST_LOOK_MS 200
#define LOOK_MS 500

/* A question and its child. */
struct call {
	struct question question;
	struct inquiry inquiry;
	bool open; /* asked, and not settled */
};

struct state {
	const struct long_command *long_command;
	struct style style;
	struct call main, look, cancel;
	struct progress progress;
	char *what, *cancel_line;
	uint64_t look_at; /* when to look at the status next */
	uint64_t number;  /* the job's, once it is known */
	unsigned interrupts;
	int signal_fd;
	bool painted; /* there is a bar on the terminal */
};

static void start_call(struct call *call, const char *point, const char *line, const char *file)
{
	call->question = (struct question){ .point = point, .line = line, .file = file };
	call->open = client_begin(&call->question, &call->inquiry) == 0;
}

/* Whether it has just been settled. */
static bool take_call(struct call *call)
{
	if (!call->open || !client_take(&call->question, &call->inquiry))
		return false;
	call->open = false;
	client_endp(&call->inquiry);
	return true;
}

static void end_call(struct call *call)
{
	if (call->open)
		client_endp(&call->inquiry);
	free(call->question.answer);
}

/* ---- how far it is */

static bool is_ours(const struct long_command *long_command, struct json_object *job)
{
	if (strcmp(string_of(job, "kind", ""), long_command->kind) != 0)
		return false;
	return !long_command->to || strcmp(string_of(job, "to", ""), long_command->to) == 0;
}

static struct json_object *find_job(const struct state *state, struct json_object *status)
{
	struct json_object *disk = NULL, *jobs = NULL;
	struct sentence ignored;

	if (ask_find_disk(status, state->long_command->name, &disk, &ignored) < 0)
		return NULL;
	json_get_array(disk, "jobs", &jobs);
	for (size_t i = 0; jobs && i < json_object_array_length(jobs); i++)
		if (is_ours(state->long_command, json_object_array_get_idx(jobs, i)))
			return json_object_array_get_idx(jobs, i);
	return NULL;
}

static void note_job(struct state *state, struct json_object *job)
{
	struct json_object *percent;

	state->number = number_of(job, "number");
	if (strcmp(string_of(job, "state", ""), "running") != 0)
		state->progress.waits = true;
	else if (json_object_object_get_ex(job, "percent", &percent))
		progress_note(&state->progress, json_object_get_double(percent), number_of(job, "bytes_total"),
			      monotonic_ms());
}

static void paint(struct state *state)
{
	CLEANUP(freep) char *text = NULL;

	if (state->long_command->quiet)
		return;
	if (!state->style.is_terminal) {
		text = progress_line(&state->progress);
		if (text)
			fprintf(stderr, "%s\n", text);
		return;
	}
	state->style.width = terminal_width(STDERR_FILENO);
	text = progress_bar(&state->progress, &state->style);
	fprintf(stderr, "\r%s\033[K", text ? text : "");
	state->painted = true;
}

static void take_look(struct state *state)
{
	CLEANUP(json_putp) struct json_object *status = NULL;
	const char *answer = state->look.question.answer;
	struct json_object *job;

	if (answer && json_parse(answer, strlen(answer), &status, NULL) == 0) {
		job = find_job(state, status);
		if (job) {
			note_job(state, job);
			paint(state);
		}
	}
	free(state->look.question.answer);
	state->look.question.answer = NULL;
	state->look_at = monotonic_ms() + LOOK_MS;
}

/* ---- Ctrl-C */

/*
 * An export has a number, by which others of the disk are left alone; until it is known the next
 * look is waited for.
 */
static void ask_to_cancel(struct state *state)
{
	char number[24];
	int r;

	if (state->cancel.open || state->cancel_line || (state->long_command->to && !state->number))
		return;
	snprintf(number, sizeof(number), "%llu", (unsigned long long)state->number);
	state->cancel_line = strdup("cancel");
	r = state->cancel_line ? command_append(&state->cancel_line, NULL, state->long_command->name) : -ENOMEM;
	if (r == 0)
		r = command_append(&state->cancel_line, "job", state->long_command->to ? number : "fold");
	if (r == 0)
		start_call(&state->cancel, state->long_command->point, state->cancel_line, NULL);
}

static void take_signal(struct state *state)
{
	struct signalfd_siginfo info;

	if (read(state->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	state->interrupts++;
	if (state->style.is_terminal && state->painted)
		fputs("\r\033[K", stderr);
	state->painted = false;
	if (state->interrupts == 1)
		fputs("cancelling ... (once more: do not wait for that)\n", stderr);
}

/* ---- the loop */

static void wait_for_something(struct state *state)
{
	uint64_t now = monotonic_ms();
	struct pollfd polls[] = {
		{ .fd = state->signal_fd, .events = POLLIN },
		{ .fd = state->main.open ? state->main.inquiry.fd : -1, .events = POLLIN },
		{ .fd = state->look.open ? state->look.inquiry.fd : -1, .events = POLLIN },
		{ .fd = state->cancel.open ? state->cancel.inquiry.fd : -1, .events = POLLIN },
	};
	int timeout = state->look.open ? -1 : state->look_at > now ? (int)(state->look_at - now) : 0;

	if (poll(polls, ARRAY_SIZE(polls), timeout) > 0 && polls[0].revents)
		take_signal(state);
	ask_reap();
}

static void attend(struct state *state)
{
	while (state->main.open && state->interrupts < 2) {
		if (!state->look.open && monotonic_ms() >= state->look_at)
			start_call(&state->look, state->long_command->point, NULL, "status.json");
		if (!state->look.open && monotonic_ms() >= state->look_at)
			state->look_at = monotonic_ms() + LOOK_MS; /* it could not be asked */
		if (state->interrupts)
			ask_to_cancel(state);
		wait_for_something(state);
		take_call(&state->main);
		take_call(&state->cancel);
		if (take_call(&state->look))
			take_look(state);
	}
	if (state->painted)
		fputs("\r\033[K", stderr);
}

static int judge(struct state *state, struct json_object **ret_answer, struct sentence *error)
{
	int r;

	if (state->main.open)
		return report(error, -EINTR, "%s is being cancelled", state->what);
	r = ask_result(&state->main.question, ret_answer, error);
	if (r < 0 && state->interrupts)
		return report(error, -EINTR, "%s was cancelled; %s", state->what,
			      state->long_command->to ? "nothing is left of it"
						      : "nothing is lost, and it can go on later");
	return r;
}

static int block_interrupt(sigset_t *ret_before)
{
	sigset_t interrupt;

	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, ret_before);
	return signalfd(-1, &interrupt, SFD_CLOEXEC | SFD_NONBLOCK);
}

int long_command_run(const struct long_command *long_command, struct json_object **ret_answer, struct sentence *error)
{
	struct state state = { .long_command = long_command, .look_at = monotonic_ms() + FIRST_LOOK_MS };
	sigset_t before;
	int r;

	terminal_look(STDERR_FILENO, &state.style);
	state.what = format_text("%s %s", long_command->kind, long_command->name);
	if (!state.what)
		return report(error, -ENOMEM, "out of memory");
	state.progress = (struct progress){ .what = state.what, .shown_tenth = -1 };
	state.signal_fd = block_interrupt(&before);
	start_call(&state.main, long_command->point, long_command->line, NULL);
	attend(&state);
	r = judge(&state, ret_answer, error);
	end_call(&state.main);
	end_call(&state.look);
	end_call(&state.cancel);
	close_fdp(&state.signal_fd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	free(state.cancel_line);
	free(state.what);
	return r;
}
