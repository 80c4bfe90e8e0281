/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Up to three questions are under way at a time: the command, the status that says how far it is,
 * and the cancel. Each has a child process (client.h). One poll loop listens to all of them and to
 * SIGINT, so that nothing that hangs keeps Ctrl-C from being answered. SIGTERM or SIGKILL ends
 * revertctl alone: the daemon goes on with the job.
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
#include "progress.h"
#include "status_json.h"
#include "terminal.h"

#define FIRST_LOOK_MS 200
#define LOOK_MS 500

/* A question and its child process. */
struct call {
	struct question question;
	struct inquiry inquiry;
	bool open; /* asked, and not settled */
};

struct run {
	const struct long_command *long_command;
	struct style style;
	struct call command, look, cancel;
	struct progress progress;
	const char *what, *what_last; /* the last step is a checksum */
	char *cancel_line;
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

/* Take what has come; true when that has settled the question. */
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

static struct json_object *find_job(const struct run *run, struct json_object *status)
{
	struct json_object *disk = NULL, *job;
	struct sentence ignored;

	if (ask_find_disk(status, run->long_command->name, &disk, &ignored) < 0)
		return NULL;
	for (size_t i = 0; (job = element_of(disk, "jobs", i)); i++)
		if (is_ours(run->long_command, job))
			return job;
	return NULL;
}

static void note_job(struct run *run, struct json_object *job)
{
	struct json_object *percent;

	run->number = number_of(job, "number");
	if (strcmp(string_of(job, "step", ""), "checksum") == 0)
		run->progress.what = run->what_last;
	if (strcmp(string_of(job, "state", ""), "running") != 0)
		run->progress.waits = true;
	else if (json_object_object_get_ex(job, "percent", &percent))
		progress_note(&run->progress, json_object_get_double(percent), number_of(job, "bytes_total"),
			      monotonic_ms());
}

static void paint(struct run *run)
{
	CLEANUP(freep) char *text = NULL;

	if (run->long_command->quiet)
		return;
	if (!run->style.is_terminal) {
		text = progress_line(&run->progress);
		if (text)
			fprintf(stderr, "%s\n", text);
		return;
	}
	run->style.width = terminal_width(STDERR_FILENO);
	text = progress_bar(&run->progress, &run->style);
	fprintf(stderr, "\r%s\033[K", text ? text : "");
	run->painted = true;
}

static void take_look(struct run *run)
{
	CLEANUP(json_putp) struct json_object *status = NULL;
	const char *answer = run->look.question.answer;
	struct json_object *job;

	if (answer && answer_parse(answer, &status) == 0) {
		job = find_job(run, status);
		if (job) {
			note_job(run, job);
			paint(run);
		}
	}
	free(run->look.question.answer);
	run->look.question.answer = NULL;
	run->look_at = monotonic_ms() + LOOK_MS;
}

/* ---- Ctrl-C */

/*
 * An export is cancelled by its number, so that other exports of the disk go on. The number is
 * known from the first look at the status that finds the job.
 */
static void ask_to_cancel(struct run *run)
{
	char number[24];
	int r;

	if (run->cancel.open || run->cancel_line || (run->long_command->to && !run->number))
		return;
	snprintf(number, sizeof(number), "%llu", (unsigned long long)run->number);
	run->cancel_line = strdup("cancel");
	r = run->cancel_line ? command_append(&run->cancel_line, NULL, run->long_command->name) : -ENOMEM;
	if (r == 0)
		r = command_append(&run->cancel_line, "job", run->long_command->to ? number : "fold");
	if (r == 0)
		start_call(&run->cancel, run->long_command->point, run->cancel_line, NULL);
}

static void take_signal(struct run *run)
{
	struct signalfd_siginfo info;

	if (read(run->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	run->interrupts++;
	if (run->style.is_terminal && run->painted)
		fputs("\r\033[K", stderr);
	run->painted = false;
	if (run->interrupts == 1)
		fputs("cancelling ... (once more: do not wait for that)\n", stderr);
}

/* ---- the loop */

static void wait_for_something(struct run *run)
{
	uint64_t now = monotonic_ms();
	struct pollfd polls[] = {
		{ .fd = run->signal_fd, .events = POLLIN },
		{ .fd = run->command.open ? run->command.inquiry.fd : -1, .events = POLLIN },
		{ .fd = run->look.open ? run->look.inquiry.fd : -1, .events = POLLIN },
		{ .fd = run->cancel.open ? run->cancel.inquiry.fd : -1, .events = POLLIN },
	};
	int timeout = run->look.open ? -1 : run->look_at > now ? (int)(run->look_at - now) : 0;

	if (poll(polls, ARRAY_SIZE(polls), timeout) > 0 && polls[0].revents)
		take_signal(run);
	ask_reap();
}

static void wait_for_answer(struct run *run)
{
	while (run->command.open && run->interrupts < 2) {
		if (!run->look.open && monotonic_ms() >= run->look_at)
			start_call(&run->look, run->long_command->point, NULL, "status.json");
		if (!run->look.open && monotonic_ms() >= run->look_at)
			run->look_at = monotonic_ms() + LOOK_MS; /* the question could not be asked */
		if (run->interrupts)
			ask_to_cancel(run);
		wait_for_something(run);
		take_call(&run->command);
		take_call(&run->cancel);
		if (take_call(&run->look))
			take_look(run);
	}
	if (run->painted)
		fputs("\r\033[K", stderr);
}

static int result_of(struct run *run, struct json_object **ret_answer, struct sentence *error)
{
	int r;

	if (run->command.open)
		return report(error, -EINTR, "%s is being cancelled", run->what);
	r = ask_result(&run->command.question, ret_answer, error);
	if (r < 0 && run->interrupts)
		return report(error, -EINTR, "%s was cancelled; %s", run->what,
			      run->long_command->to ? "nothing is left of it"
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
	CLEANUP(freep) char *what = format_text("%s %s", long_command->kind, long_command->name);
	CLEANUP(freep) char *what_last = format_text("%s %s, checksum", long_command->kind, long_command->name);
	struct run run = { .long_command = long_command, .look_at = monotonic_ms() + FIRST_LOOK_MS };
	sigset_t before;
	int r;

	terminal_look(STDERR_FILENO, &run.style);
	if (!what || !what_last)
		return report(error, -ENOMEM, "out of memory");
	run.what = what;
	run.what_last = what_last;
	run.progress = (struct progress){ .what = what, .shown_tenth = -1 };
	run.signal_fd = block_interrupt(&before);
	start_call(&run.command, long_command->point, long_command->line, NULL);
	wait_for_answer(&run);
	r = result_of(&run, ret_answer, error);
	end_call(&run.command);
	end_call(&run.look);
	end_call(&run.cancel);
	close_fdp(&run.signal_fd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	free(run.cancel_line);
	return r;
}
