/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt looks for hooks when it starts, or is sent SIGHUP. If it found any for QEMU then, it
 * lists qemu.d anew at each event. So a libvirt that was started when any QEMU hook was there sees
 * ours. A libvirt whose hook has written to its log since the start has seen it, too.
 */
#include "host.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX ".json"

/* The processes that run QEMU domains and call hooks. */
static const char *const daemons[] = { "libvirtd", "virtqemud" };

/* ---- when libvirt was started */

static bool is_daemon(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++)
		if (strcmp(name, daemons[i]) == 0)
			return true;
	return false;
}

/*
 * "PID (COMM) S ..." of /proc/PID/stat: the start is the 22nd field, in clock ticks since the boot.
 * 0 where the process is none of the daemons.
 */
static unsigned long long start_ticks(const char *pid)
{
	CLEANUP(freep) char *path = format_text("/proc/%s/stat", pid);
	FILE *file = path ? fopen(path, "re") : NULL;
	unsigned long long ticks = 0;
	char line[1024], *open, *close;

	if (!file)
		return 0;
	open = fgets(line, sizeof(line), file) ? strchr(line, '(') : NULL;
	close = open ? strrchr(open, ')') : NULL;
	if (close) {
		*close = '\0';
		if (!is_daemon(open + 1) ||
		    sscanf(close + 1,
			   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			   &ticks) != 1)
			ticks = 0;
	}
	fclose(file);
	return ticks;
}

static double now_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/*
 * When libvirt was started, in seconds since 1970, and its process id: of the later one where both
 * daemons run, 0 where none runs.
 */
static double libvirt_start(char pid[16])
{
	double boot = now_of(CLOCK_REALTIME) - now_of(CLOCK_BOOTTIME), latest = 0;
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		unsigned long long ticks = isdigit((unsigned char)entry->d_name[0]) ? start_ticks(entry->d_name) : 0;
		double start = boot + (double)ticks / (double)sysconf(_SC_CLK_TCK);

		if (ticks && start > latest) {
			latest = start;
			snprintf(pid, 16, "%.15s", entry->d_name);
		}
	}
	if (proc)
		closedir(proc);
	return latest;
}

/* ---- what was there then */

static double seconds_of(struct timespec when)
{
	return (double)when.tv_sec + (double)when.tv_nsec / 1e9;
}

static bool was_there(const char *path, double when)
{
	struct stat stat_of;

	return stat(path, &stat_of) == 0 && S_ISREG(stat_of.st_mode) && (stat_of.st_mode & 0111) &&
	       seconds_of(stat_of.st_ctim) <= when;
}

static bool any_hook_was_there(double when)
{
	DIR *directory = opendir(HOST_HOOKS "/qemu.d");
	struct dirent *entry;
	bool any = was_there(HOST_HOOKS "/qemu", when);

	while (directory && !any && (entry = readdir(directory))) {
		CLEANUP(freep) char *path = format_text(HOST_HOOKS "/qemu.d/%s", entry->d_name);

		any = path && was_there(path, when);
	}
	if (directory)
		closedir(directory);
	return any;
}

static bool was_called_since(double when)
{
	struct stat log;

	return stat(HOST_HOOK_LOG, &log) == 0 && seconds_of(log.st_mtim) > when;
}

int host_check_hook(struct sentence *error)
{
	char pid[16] = "";
	struct stat hook;
	double start;

	if (stat(HOST_HOOK, &hook) < 0)
		return report(
			error, -ENOENT,
			"the hook '%s' cannot be found (%s): install it with 'make install', and restart libvirtd",
			HOST_HOOK, error_text(-errno));
	if (!S_ISREG(hook.st_mode) || !(hook.st_mode & 0100))
		return report(
			error, -EACCES,
			"the hook '%s' is not executable, and libvirt ignores it without a word: chmod 755 '%s', and restart libvirtd",
			HOST_HOOK, HOST_HOOK);
	start = libvirt_start(pid);
	if (start > 0 && !any_hook_was_there(start) && !was_called_since(start))
		return report(
			error, -ESTALE,
			"libvirt (pid %s) was started before the hook '%s' was installed, and may not have seen it: "
			"restart libvirtd (virtqemud, where libvirt is split), which running domains do not mind",
			pid, HOST_HOOK);
	return 0;
}

void host_visit_files(void (*visit)(void *context, const char *domain), void *context)
{
	DIR *directory = opendir(HOST_CONFIG_DIR);
	struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		size_t length = strlen(entry->d_name);
		CLEANUP(freep) char *name = NULL;

		if (entry->d_name[0] == '.' || length <= strlen(SUFFIX) ||
		    strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX) != 0)
			continue;
		name = strndup(entry->d_name, length - strlen(SUFFIX));
		if (name)
			visit(context, name);
	}
	if (directory)
		closedir(directory);
}

char *host_user(void)
{
	const char *sudo = getenv("SUDO_USER");
	struct passwd *user = getpwuid(getuid());

	if (sudo && *sudo && text_is_clean(sudo))
		return format_text("%s (sudo)", sudo);
	return user ? strdup(user->pw_name) : format_text("uid %u", (unsigned)getuid());
}
