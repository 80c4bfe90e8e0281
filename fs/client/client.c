/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One child for each question; the parent never touches a mount.
 *
 * A process that waits for a hung FUSE daemon sleeps in the kernel and cannot be killed. libvirt
 * waits for the hook without a limit, with the domain locked, and not only for the hook's own end:
 * it waits until no process holds the hook's stdout and stderr any more. So the child has /dev/null
 * as 0, 1 and 2 and nothing else but its pipe, and a child that is late is abandoned: it is never
 * waited for, also not when it has ended, since the asking program ends soon and init reaps the
 * child.
 *
 * The pipe carries a header and the answer's text, and then its end. A child that dies without a
 * header (it was killed) is an error as well.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define RESULT_FD 3 /* the child's end of the pipe */

enum stage { STAGE_OPEN, STAGE_WRITE, STAGE_READ };

struct header {
	enum stage stage; /* the last step that was tried */
	int error;        /* 0: the answer follows */
};

/* ---- in the child */

static void shed_descriptors(int result)
{
	int high = fcntl(result, F_DUPFD, RESULT_FD + 1);
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < RESULT_FD; fd++)
		if (dup2(null, fd) < 0)
			close(fd);
	dup2(high, RESULT_FD);
	close_range(RESULT_FD + 1, ~0U, 0);
}

/* One write(2): a line that comes in two could be taken for two commands. */
static int write_line(int control, const char *line)
{
	CLEANUP(freep) char *text = format_text("%s\n", line);
	ssize_t n = text ? write(control, text, strlen(text)) : -1;

	if (n < 0)
		return text ? -errno : -ENOMEM;
	return (size_t)n == strlen(text) ? 0 : -EIO;
}

/* The write fails when the daemon refuses the command; the answer has its sentence all the same. */
static int converse(const char *point, const char *line, enum stage *stage, char **ret_answer)
{
	CLEANUP(freep) char *path = format_text("%s/.revertfs/control", point);
	CLEANUP(freep) char *answer = NULL;
	int control, written, r;

	*stage = STAGE_OPEN;
	control = path ? open(path, O_RDWR | O_CLOEXEC | O_NOCTTY) : -1;
	if (control < 0)
		return -errno;
	*stage = STAGE_WRITE;
	written = write_line(control, line);
	r = read_all(control, ANSWER_MAX, &answer, NULL);
	if (written < 0 && (r < 0 || !*answer))
		return written;
	*stage = STAGE_READ;
	if (r == 0)
		*ret_answer = steal_pointer(&answer);
	return r; /* the descriptor stays open: close(2) would wait for the daemon, too */
}

static int read_file(const char *point, const char *file, enum stage *stage, char **ret_answer)
{
	CLEANUP(freep) char *path = format_text("%s/.revertfs/%s", point, file);
	int fd;

	*stage = STAGE_OPEN;
	fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
	if (fd < 0)
		return -errno;
	*stage = STAGE_READ;
	return read_all(fd, FILE_ANSWER_MAX, ret_answer, NULL);
}

static int look_for(const char *point, const char *name, enum stage *stage, char **ret_answer)
{
	CLEANUP(freep) char *path = format_text("%s/%s", point, name);
	struct stat stat;

	*stage = STAGE_READ;
	if (!path)
		return -ENOMEM;
	if (lstat(path, &stat) < 0)
		return errno == ENOTDIR || errno == ENAMETOOLONG ? -ENOENT : -errno;
	*ret_answer = strdup("");
	return *ret_answer ? 0 : -ENOMEM;
}

/*
 * The child has a session of its own: Ctrl-C on the parent's terminal does not reach the child, and
 * so does not interrupt what the daemon was asked to do.
 */
static void run_child(const struct question *question, int result)
{
	struct header header = { 0 };
	char *answer = NULL;

	setsid();
	shed_descriptors(result);
	if (question->file)
		header.error = read_file(question->point, question->file, &header.stage, &answer);
	else if (question->named)
		header.error = look_for(question->point, question->named, &header.stage, &answer);
	else
		header.error = converse(question->point, question->line, &header.stage, &answer);
	if (write_all(RESULT_FD, &header, sizeof(header)) == 0 && answer)
		write_all(RESULT_FD, answer, strlen(answer));
	close(RESULT_FD);
	_exit(0);
}

/* ---- in the parent */

static int start_child(const struct question *question, struct inquiry *child)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	child->pid = fork();
	if (child->pid == 0) {
		/* Only the parent's end is non-blocking. */
		fcntl(ends[1], F_SETFL, 0);
		run_child(question, ends[1]);
	}
	close(ends[1]);
	if (child->pid < 0) {
		int r = -errno;

		close(ends[0]);
		return r;
	}
	child->fd = ends[0];
	child->deadline = monotonic_ms() + question->timeout_ms;
	return 0;
}

static bool is_gone(enum stage stage, int error)
{
	return error == -ENOTCONN || error == -ECONNABORTED || (stage == STAGE_OPEN && error == -ENOENT);
}

static void explain(struct question *question, enum stage stage, int error)
{
	const char *point = question->point, *why = error_text(error);

	question->error = is_gone(stage, error) ? -ENOTCONN : error;
	if (is_gone(stage, error))
		report(&question->why, error,
		       "the revertfs daemon of '%s' does not run (%s): start the revertfs service", point, why);
	else if (stage == STAGE_OPEN)
		report(&question->why, error, "cannot open the control file of the revertfs in '%s': %s", point, why);
	else
		report(&question->why, error, "the revertfs daemon of '%s' gave no answer: %s; see its log", point,
		       why);
}

/* The pipe has ended: take what the child sent for the outcome. */
static void settle(struct question *question, struct inquiry *child)
{
	struct header header;

	close(child->fd);
	child->fd = -1;
	if (child->length < sizeof(header)) {
		explain(question, STAGE_WRITE, -EIO);
		return;
	}
	memcpy(&header, child->received, sizeof(header));
	if (header.error) {
		explain(question, header.stage, header.error);
		return;
	}
	question->answer = strndup(child->received + sizeof(header), child->length - sizeof(header));
	if (!question->answer)
		explain(question, STAGE_READ, -ENOMEM);
}

static int receive(struct question *question, struct inquiry *child)
{
	char *larger = realloc(child->received, child->length + 4096);
	ssize_t n;

	if (!larger)
		return -ENOMEM;
	child->received = larger;
	n = read(child->fd, larger + child->length, 4096);
	if (n > 0)
		child->length += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		settle(question, child);
	return 0;
}

static void abandon(struct question *question, struct inquiry *child, bool withdraw)
{
	if (withdraw)
		kill(child->pid, SIGKILL);
	close(child->fd);
	child->fd = -1;
	question->error = report(&question->why, -ETIMEDOUT,
				 "the revertfs daemon of '%s' did not answer within %u s: see its log, "
				 "and restart the revertfs service if it hangs",
				 question->point, (question->timeout_ms + 999) / 1000);
}

/*
 * Abandon the children whose deadline has passed, and fill in `polls` for the others. Returns how
 * many milliseconds to wait for them, or -1 when none is left.
 */
static int prepare_to_wait(struct question *questions, struct inquiry *children, struct pollfd *polls, size_t count,
			   bool withdraw)
{
	uint64_t now = monotonic_ms(), next = UINT64_MAX;

	for (size_t i = 0; i < count; i++) {
		if (children[i].fd >= 0 && now >= children[i].deadline)
			abandon(&questions[i], &children[i], withdraw);
		if (children[i].fd >= 0 && children[i].deadline < next)
			next = children[i].deadline;
		polls[i] = (struct pollfd){ .fd = children[i].fd, .events = POLLIN };
	}
	return next == UINT64_MAX ? -1 : (int)(next - now);
}

static void receive_all(struct question *questions, struct inquiry *children, struct pollfd *polls, size_t count,
			bool withdraw)
{
	for (;;) {
		int wait_ms = prepare_to_wait(questions, children, polls, count, withdraw);

		if (wait_ms < 0)
			return;
		if (poll(polls, count, wait_ms) <= 0)
			continue; /* a signal, or a deadline has passed: the next turn sees which */
		for (size_t i = 0; i < count; i++)
			if (polls[i].revents && receive(&questions[i], &children[i]) < 0)
				children[i].deadline = 0; /* out of memory: abandoned by the next turn */
	}
}

int client_begin(struct question *question, struct inquiry *inquiry)
{
	int r;

	*inquiry = (struct inquiry){ .fd = -1 };
	r = start_child(question, inquiry);
	if (r < 0)
		explain(question, STAGE_WRITE, r);
	return r;
}

bool client_take(struct question *question, struct inquiry *inquiry)
{
	if (inquiry->fd < 0)
		return true;
	if (receive(question, inquiry) < 0)
		abandon(question, inquiry, false);
	return inquiry->fd < 0;
}

void client_endp(struct inquiry *inquiry)
{
	close_fdp(&inquiry->fd);
	free(inquiry->received);
	inquiry->received = NULL;
}

void client_ask(struct question *questions, size_t count, bool withdraw)
{
	CLEANUP(freep) struct inquiry *children = calloc(count + 1, sizeof(*children));
	CLEANUP(freep) struct pollfd *polls = calloc(count + 1, sizeof(*polls));

	for (size_t i = 0; i < count; i++) {
		int r = children && polls ? 0 : -ENOMEM;

		if (children)
			children[i].fd = -1;
		if (r == 0)
			r = start_child(&questions[i], &children[i]);
		if (r < 0)
			explain(&questions[i], STAGE_WRITE, r);
	}
	if (!children || !polls)
		return;
	receive_all(questions, children, polls, count, withdraw);
	for (size_t i = 0; i < count; i++)
		free(children[i].received);
}
