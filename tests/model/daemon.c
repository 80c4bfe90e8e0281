/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon, started and ended, and what it is told and says.
 */
#include "model.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *program;
static char control[PATH_MAX + 64];
static pid_t daemon_pid = -1;

struct json_object *answer;

void daemon_setup(const char *path)
{
	program = path;
	snprintf(control, sizeof(control), "%s/.revertfs/control", mnt);
}

bool daemon_answers(void)
{
	return access(control, F_OK) == 0;
}

void daemon_start(void)
{
	double deadline = now() + 60;

	daemon_pid = fork();
	check_system(daemon_pid, "fork");
	if (daemon_pid == 0) {
		const char *passthrough = getenv("PASSTHROUGH");
		char option[PATH_MAX + 64], file[PATH_MAX + 16];
		int fd;

		setpgid(0, 0);
		snprintf(option, sizeof(option), "state=%s,passthrough=%s,keeper=%s", state,
			 passthrough ? passthrough : "auto", strikes ? "yes" : "no");
		snprintf(file, sizeof(file), "%s/daemon.log", top);
		fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
		dup2(fd, 1);
		dup2(fd, 2);
		execl(program, program, "-f", "-o", option, images, mnt, (char *)NULL);
		_exit(127);
	}
	while (!daemon_answers()) {
		if (waitpid(daemon_pid, NULL, WNOHANG) == daemon_pid)
			fail("the daemon has ended instead of mounting");
		if (now() > deadline)
			fail("the daemon does not mount");
		usleep(2000);
	}
}

void daemon_end(int signal)
{
	int status;

	if (daemon_answers())
		strike_end();
	/* A keeper ends its daemon in order; killed alone, it would leave it behind. */
	kill(signal == SIGKILL ? -daemon_pid : daemon_pid, signal);
	while (waitpid(daemon_pid, &status, 0) < 0)
		check_system(errno == EINTR ? 0 : -1, "waitpid");
	if (signal == SIGTERM && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		fail("the daemon ended with status %#x", (unsigned)status);
	umount2(mnt, MNT_DETACH);
	daemon_pid = -1;
}

/* A command's errno, 0 when it is done; its answer is in `answer`. */
__attribute__((format(printf, 1, 2))) int command(const char *format, ...)
{
	static char line[8192], text[65536];
	int fd = open(control, O_RDWR | O_CLOEXEC), r = 0;
	ssize_t n;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	check_system(fd, "opening the control file");
	if (write(fd, line, strlen(line)) < 0)
		r = errno;
	n = r ? 0 : pread(fd, text, sizeof(text) - 1, (off_t)strlen(line)); /* behind what was written */
	if (n <= 0)
		n = pread(fd, text, sizeof(text) - 1, 0);
	check_system((int)n, "reading the answer");
	text[n] = '\0';
	close(fd);
	json_object_put(answer);
	answer = json_tokener_parse(text);
	note("%u: %s -> %s %.300s", step, line, r ? strerrorname_np(r) : "0", r ? text : "");
	return r;
}

struct json_object *read_status(void)
{
	static char text[1 << 20];
	char path[PATH_MAX + 48];
	struct json_object *object;
	size_t length = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/.revertfs/status.json", mnt);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check_system(fd, "opening status.json");
	while ((n = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t)n;
	close(fd);
	text[length] = '\0';
	object = json_tokener_parse(text);
	if (!object)
		fail("status.json is not valid: %s", text);
	return object;
}
