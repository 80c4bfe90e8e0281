/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ctrl-C is for the program, as in a shell: this process ignores the signal while it waits, and
 * then says how the program ended.
 */
#include "post_hook.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

int post_hook_check(const char *program, struct sentence *error)
{
	CLEANUP(freep) char *path = program_find(program);

	if (!path || access(path, X_OK) < 0)
		return report(error, -ENOENT,
			      "--post-hook: '%s' is no program that can be run; it is one program, without arguments",
			      program);
	return 0;
}

static void set_variable(const char *name, const char *value)
{
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

static void become_hook(const char *path, const struct post_hook_file *file, const char *sidecar, bool stdout_is_taken)
{
	const char *arguments[] = { path, file->file, sidecar, NULL };

	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	set_variable("REVERTFS_FILE", file->file);
	set_variable("REVERTFS_SIDECAR", sidecar);
	set_variable("REVERTFS_DISK", file->disk);
	set_variable("REVERTFS_DOMAIN", file->domain);
	set_variable("REVERTFS_TARGET", file->target);
	set_variable("REVERTFS_POINT", file->snapshot);
	set_variable("REVERTFS_FORMAT", file->format);
	set_variable("REVERTFS_CONSISTENCY", file->consistency);
	set_variable("REVERTFS_SHA256", file->sha256);
	if (stdout_is_taken && dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(126);
	execv(path, (char *const *)arguments);
	_exit(127);
}

static int check_status(const char *program, const char *file, int status, struct sentence *error)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return report(error, -EIO, "'%s' is there, but '%s' could not be run, or ended with status 127", file,
			      program);
	if (WIFEXITED(status))
		return report(error, -EIO, "'%s' is there, but '%s' ended with status %d", file, program,
			      WEXITSTATUS(status));
	return report(error, -EIO, "'%s' is there, but '%s' was killed by signal %d", file, program, WTERMSIG(status));
}

int post_hook_run(const char *program, const struct post_hook_file *file, bool stdout_is_taken, struct sentence *error)
{
	CLEANUP(freep) char *path = program_find(program);
	CLEANUP(freep) char *sidecar = format_text("%s.json", file->file);
	int status = W_EXITCODE(1, 0); /* a failure, unless waitpid(2) says that it was none */
	void (*before)(int);
	pid_t pid;

	if (!path || !sidecar)
		return report(error, -EIO, "'%s' is there, but '%s' is not", file->file, program);
	before = signal(SIGINT, SIG_IGN);
	pid = fork();
	if (pid == 0)
		become_hook(path, file, sidecar, stdout_is_taken);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	signal(SIGINT, before);
	return pid < 0 ? report(error, -EIO, "'%s' is there, but no process could be started for '%s'", file->file,
				program)
		       : check_status(program, file->file, status, error);
}
