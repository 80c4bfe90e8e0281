/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One qemu-io process, fed by a pipe, is every guest and reads every file.
 */
#include "model.h"

#include <fcntl.h>

static pid_t io_pid;
static int io_in, io_out;
static char *io_text;

void io_start(void)
{
	int in[2], out[2];

	check_system(pipe2(in, O_CLOEXEC), "pipe");
	check_system(pipe2(out, O_CLOEXEC), "pipe");
	io_pid = fork();
	check_system(io_pid, "fork");
	if (io_pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		execlp("qemu-io", "qemu-io", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	io_in = in[1];
	io_out = out[0];
}

#define PROMPT "qemu-io> "

/* Read what qemu-io prints until its prompt; appended to io_text. */
static void io_wait(size_t *length)
{
	static size_t room;

	for (;;) {
		size_t prompt = strlen(PROMPT);
		ssize_t n;

		if (room - *length < 8192)
			io_text = realloc(io_text, room = room * 2 + 65536);
		n = read(io_out, io_text + *length, room - *length - 1);
		if (n <= 0)
			fail("qemu-io has ended");
		*length += (size_t)n;
		io_text[*length] = '\0';
		if (*length >= prompt && strcmp(io_text + *length - prompt, PROMPT) == 0) {
			*length -= prompt;
			io_text[*length] = '\0';
			return;
		}
	}
}

/*
 * Feed lines to qemu-io; what it printed. One at a time: it waits with poll() for input that its
 * stdio has read already.
 */
const char *io(const char *lines)
{
	static bool greeted;
	size_t length = 0;

	if (!greeted)
		io_wait(&length);
	greeted = true;
	while (*lines) {
		size_t line = strcspn(lines, "\n") + 1;

		if (write(io_in, lines, line) != (ssize_t)line)
			fail("qemu-io has ended");
		io_wait(&length);
		lines += line;
	}
	return io_text;
}

/* Empty when the file reads like the content; else what qemu-io said. */
const char *compare(const char *path, bool qcow2, const struct content *content)
{
	struct text lines = { 0 };
	const char *said;
	unsigned end;

	add(&lines, "open -r -U -o driver=%s %s\n", qcow2 ? "qcow2" : "raw", path);
	for (unsigned i = 0; i < content->blocks; i = end) {
		for (end = i + 1; end < content->blocks && content->byte[end] == content->byte[i]; end++)
			;
		add(&lines, "read -q -P %u %u %u\n", content->byte[i], i * BLOCK, (end - i) * BLOCK);
	}
	add(&lines, "close\n");
	said = io(lines.bytes);
	free(lines.bytes);
	return said;
}
