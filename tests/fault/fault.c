/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Failures on command, in the build of the daemon that is made for tests alone: io.c calls
 * fault_before() and fault_after() around each durable step.
 *
 * FAULT_PLAN names a file. Without it everything works; it is looked at before each step, and steps
 * are counted anew when it has changed, so that one daemon can be healthy, failing and recovered.
 * It holds one line:
 *
 *   kill N [WORDS]         SIGKILL to ourselves instead of the Nth step from now
 *   kill-after N [WORDS]   ... right after it
 *   fail N ERRNO [WORDS]   the Nth step fails without being done; N = 0: each
 *   crash N [WORDS]        the Nth step takes a fault; the plan stays, for each later daemon
 *   abort N [WORDS]        ... calls abort(3)
 *   hold N [WORDS]         the Nth step waits until the plan is another one or gone
 *
 * A plan that kills is removed before the step is done: the daemon that a keeper starts next lives,
 * and whoever finds it gone knows that the kill comes. One that somebody else removes first is off.
 * Where there is a file PLAN.next, that is the plan from then on: the next daemon's.
 *
 * With WORDS only steps whose description holds them count. FAULT_TRACE names a file that gets a
 * line for each step: its number (of all steps so far) and its description, such as "rename
 * /state/layers disk.json.new disk.json", and "failed" or "killed".
 *
 * FAULT_NO_XATTRS, if it is set, lets no xattr be set, as on a filesystem that has none.
 *
 * FAULT_STORE names the store (durable.h) that is to know what a power cut would leave.
 */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include "durable.h"
#include "io.h"

static const char *const event_names[] = {
	[IO_WRITE] = "write",
	[IO_SYNC] = "sync",
	[IO_SYNC_DIRECTORY] = "sync-directory",
	[IO_LINK] = "link",
	[IO_RENAME] = "rename",
	[IO_UNLINK] = "unlink",
	[IO_REMOVE_DIRECTORY] = "remove-directory",
	[IO_SET_XATTR] = "set-xattr",
	[IO_REMOVE_XATTR] = "remove-xattr",
};

enum action { HEALTHY, KILL, KILL_AFTER, FAIL, CRASH, ABORT, HOLD };

static const char *const action_names[] = {
	[HEALTHY] = "healthy", [KILL] = "kill", [KILL_AFTER] = "kill-after", [FAIL] = "fail", [CRASH] = "crash",
	[ABORT] = "abort",     [HOLD] = "hold",
};

/* All the state, guarded by one lock: while one step is noted, the steps of other threads wait. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	struct timespec read; /* the plan file's ctime when it was read */
	ino_t inode;
	enum action action;
	unsigned at;    /* the step it is about; 0: each */
	unsigned count; /* steps that matched since the plan was read */
	int error;
	char words[256];
} plan;
static unsigned steps;
static bool is_dying;                   /* a plan that kills has been taken */
static _Thread_local bool is_last_step; /* the one that the thread is doing, or one within that */

static int parse_error(const char *name)
{
	for (int error = 1; error < 134; error++) {
		const char *known = strerrorname_np(error);

		if (known && strcmp(known, name) == 0)
			return error;
	}
	return EIO;
}

static void parse_plan(FILE *file)
{
	char action[32] = "", error[32] = "";

	if (fscanf(file, "%31s %u", action, &plan.at) != 2)
		return;
	for (size_t i = 0; i < sizeof(action_names) / sizeof(action_names[0]); i++)
		if (strcmp(action, action_names[i]) == 0)
			plan.action = (enum action)i;
	if (plan.action == FAIL && fscanf(file, "%31s", error) == 1)
		plan.error = parse_error(error);
	if (fscanf(file, " %255[^\n]", plan.words) != 1)
		plan.words[0] = '\0';
}

static void look_at_plan(void)
{
	const char *path = getenv("FAULT_PLAN");
	struct stat stat = { 0 };
	FILE *file = NULL;

	if (path)
		file = fopen(path, "re");
	if (file)
		fstat(fileno(file), &stat);
	if (stat.st_ino != plan.inode || stat.st_ctim.tv_sec != plan.read.tv_sec ||
	    stat.st_ctim.tv_nsec != plan.read.tv_nsec) {
		memset(&plan, 0, sizeof(plan));
		plan.inode = stat.st_ino;
		plan.read = stat.st_ctim;
		if (file)
			parse_plan(file);
	}
	if (file)
		fclose(file);
}

static void describe_fd(int fd, char *text, size_t size)
{
	char self[64];
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = fd < 0 ? -1 : readlink(self, text, size - 1);
	text[n < 0 ? 0 : n] = '\0';
}

static void describe(const struct io_step *step, char *text, size_t size)
{
	char file[1024], to[1024];

	describe_fd(step->directory >= 0 && step->event != IO_LINK ? step->directory : step->fd, file, sizeof(file));
	describe_fd(step->event == IO_LINK ? step->directory : step->to_directory, to, sizeof(to));
	snprintf(text, size, "%s %s %s %s %s", event_names[step->event], file, step->name ? step->name : "",
		 step->event == IO_RENAME || step->event == IO_LINK ? to : "", step->to_name ? step->to_name : "");
}

static void trace(const char *text, const char *what)
{
	const char *path = getenv("FAULT_TRACE");
	FILE *file = path ? fopen(path, "ae") : NULL;

	if (!file)
		return;
	fprintf(file, "%u %s%s\n", steps, text, what);
	fclose(file);
}

static void wait_for_another_plan(void)
{
	ino_t inode = plan.inode;
	struct timespec read = plan.read;

	while (plan.inode == inode && plan.read.tv_sec == read.tv_sec && plan.read.tv_nsec == read.tv_nsec) {
		pthread_mutex_unlock(&lock);
		usleep(5000);
		pthread_mutex_lock(&lock);
		look_at_plan();
	}
}

static bool take_plan(void)
{
	const char *path = getenv("FAULT_PLAN");
	char next[4096];

	snprintf(next, sizeof(next), "%s.next", path);
	is_dying = rename(next, path) == 0 || unlink(path) == 0;
	return is_dying;
}

/* In the middle of the step, as a bug would; the sanitizers would see it before it happens. */
__attribute__((no_sanitize("address", "undefined"))) static void take_fault(void)
{
	volatile int *volatile nowhere = NULL;

	*nowhere = 1;
}

int fault_before(const struct io_step *step)
{
	char text[4096];
	bool here;
	int r = 0;

	if (step->event == IO_SET_XATTR && getenv("FAULT_NO_XATTRS"))
		return -EOPNOTSUPP;
	pthread_mutex_lock(&lock);
	look_at_plan();
	describe(step, text, sizeof(text));
	steps++;
	here = !is_dying && plan.action != HEALTHY && strstr(text, plan.words) &&
	       (++plan.count == plan.at || plan.at == 0);
	if (plan.action == KILL || plan.action == KILL_AFTER)
		here = here && take_plan();
	trace(text, !here ? "" : plan.action == KILL ? ": killed" : plan.action == FAIL ? ": failed" : ": here");
	if (here && plan.action == KILL)
		kill(getpid(), SIGKILL);
	if (here && plan.action == CRASH)
		take_fault();
	if (here && plan.action == ABORT)
		abort();
	if (here && plan.action == HOLD)
		wait_for_another_plan();
	is_last_step = is_last_step || (here && plan.action == KILL_AFTER);
	r = here && plan.action == FAIL ? -plan.error : 0;
	pthread_mutex_unlock(&lock);
	return r;
}

void fault_after(const struct io_step *step, int result)
{
	const char *store = getenv("FAULT_STORE");
	int r = 0;

	pthread_mutex_lock(&lock);
	if (store && result == 0 && step->event == IO_SYNC)
		r = durable_note_file(store, step->fd);
	if (store && result == 0 && step->event == IO_SYNC_DIRECTORY)
		r = durable_note_directory(store, step->directory);
	if (r < 0)
		trace("the store cannot be written", "");
	if (is_last_step)
		kill(getpid(), SIGKILL);
	pthread_mutex_unlock(&lock);
}
