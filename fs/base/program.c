/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A run is: fork and exec with just the given descriptors, then one poll loop over stdout, stderr
 * and the stop descriptor, then wait.
 *
 * stdout is kept up to OUTPUT_MAX (the JSON of `qemu-img info`) and scanned for the "(12.34/100%)"
 * of qemu-img's -p; the end of stderr becomes the sentence. Between fork and exec only
 * async-signal-safe calls are made, since the daemon has threads.
 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define OUTPUT_MAX (1024 * 1024)
#define TICK_MS 500  /* how often a silent child is looked at */
#define REAP_MS 5000 /* how long a killed child may take to end */
#define IOPRIO_IDLE (3 << 13)
#define FILES_IN_CHILD (PROGRAM_FILES_MAX + PROGRAM_LOCKS_MAX)
#define NOT_BOXED 125 /* exit status of a child that could not enter its box */

void program_expect_children(void)
{
	signal(SIGCHLD, SIG_DFL);
}

void program_clear(struct program *program)
{
	free(program->output);
	program->output = NULL;
}

void program_add(struct program *program, const char *argument)
{
	if (program->count < PROGRAM_ARGUMENTS_MAX - 1)
		program->arguments[program->count++] = argument;
}

int program_hand_over(struct program *program, int fd)
{
	if (program->file_count == PROGRAM_FILES_MAX)
		return -E2BIG;
	program->files[program->file_count] = fd;
	return PROGRAM_FIRST_FD + (int)program->file_count++;
}

/* The path is looked for before fork(): the child must not allocate memory, as execvp() may. */
char *program_find(const char *name)
{
	const char *given = getenv("PATH");
	CLEANUP(freep) char *path = NULL;
	char *rest, *directory;

	if (strchr(name, '/'))
		return strdup(name);
	path = strdup(given ? given : "/usr/local/bin:/usr/bin:/bin");
	rest = path;
	while (rest && (directory = strsep(&rest, ":"))) {
		char *candidate = format_text("%s/%s", directory, name);

		if (candidate && access(candidate, X_OK) == 0)
			return candidate;
		free(candidate);
	}
	return NULL;
}

/* The daemon's unit protects it where memory runs out; what it starts is not to be protected. */
static void give_up_protection(void)
{
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	char sign;

	if (fd >= 0 && read(fd, &sign, 1) == 1 && sign == '-' && write(fd, "0", 1) < 0)
		_exit(126);
	close(fd);
}

/*
 * In the child: async-signal-safe calls only. The box is entered before the number of its ruleset
 * may be given to a file.
 */
static void become_program(const struct program *program, const char *path, struct box *box, int out_fd, int err_fd,
			   const int *files, pid_t parent)
{
	static const char *const bare[] = { "LC_ALL=C",
					    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	const char *const *environment = program->environment ? program->environment : bare;
	struct rlimit no_core = { 0, 0 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), count = 0;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	setrlimit(RLIMIT_CORE, &no_core);
	give_up_protection();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (program->background) {
		setpriority(PRIO_PROCESS, 0, 10);
		syscall(SYS_ioprio_set, 1, 0, IOPRIO_IDLE);
	}
	if (box && box_enter(box) < 0)
		_exit(NOT_BOXED);
	if (dup2(program->input_fd > 0 ? program->input_fd : null, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(err_fd, 2) < 0)
		_exit(126);
	for (; files[count] >= 0; count++)
		if (dup2(files[count], PROGRAM_FIRST_FD + count) < 0)
			_exit(126);
	syscall(SYS_close_range, (unsigned)(PROGRAM_FIRST_FD + count), ~0U, 0);
	if (box && box_limit(box) < 0)
		_exit(NOT_BOXED);
	execve(path, (char *const *)program->arguments, (char *const *)environment);
	_exit(127);
}

static void close_files(const int *files)
{
	for (; *files >= 0; files++)
		close(*files);
}

/*
 * The descriptors for the child are first copied above all the numbers that they are to have in it,
 * so that dup2(2) to one of those numbers cannot overwrite another. The last is followed by -1.
 */
static int copy_files(const struct program *program, int *ret_files)
{
	size_t count = 0;

	for (size_t i = 0; i < program->file_count + PROGRAM_LOCKS_MAX; i++) {
		bool is_file = i < program->file_count;
		int fd = is_file ? program->files[i] : program->lock_fds[i - program->file_count];

		if (!is_file && fd <= 0)
			continue;
		ret_files[count] = fcntl(fd, F_DUPFD_CLOEXEC, PROGRAM_FIRST_FD + FILES_IN_CHILD);
		if (ret_files[count] < 0) {
			int r = -errno;

			close_files(ret_files);
			return r;
		}
		ret_files[++count] = -1;
	}
	return 0;
}

static int start(struct program *program, const char *path, struct box *box)
{
	int out[2], err[2], files[FILES_IN_CHILD + 1] = { -1 }, r;
	pid_t self = getpid();

	if (pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	if (pipe2(err, O_CLOEXEC | O_NONBLOCK) < 0) {
		r = -errno;
		close(out[0]);
		close(out[1]);
		return r;
	}
	fcntl(out[1], F_SETFL, 0);
	fcntl(err[1], F_SETFL, 0);
	r = copy_files(program, files);
	if (r == 0) {
		program->pid = fork();
		if (program->pid == 0)
			become_program(program, path, box, out[1], err[1], files, self);
		r = program->pid < 0 ? -errno : 0;
		close_files(files);
	}
	close(out[1]);
	close(err[1]);
	program->out_fd = out[0];
	program->err_fd = err[0];
	program->started_ms = program->last_progress_ms = monotonic_ms();
	return r;
}

/* Report the last "(12.34/100%)" of a chunk of output. */
static void report_progress(const struct program *program, const char *text)
{
	const char *open = strrchr(text, '(');
	double percent;

	if (program->watch && program->watch->progress && open && sscanf(open, "(%lf/100%%)", &percent) == 1)
		program->watch->progress(program->watch->context, percent);
}

static int take_output(struct program *program)
{
	char chunk[4096];
	ssize_t n = read(program->out_fd, chunk, sizeof(chunk) - 1);
	char *larger;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
	chunk[n] = '\0';
	report_progress(program, chunk);
	if (program->output_length + (size_t)n > OUTPUT_MAX)
		return 0;
	larger = realloc(program->output, program->output_length + (size_t)n + 1);
	if (!larger)
		return -ENOMEM;
	program->output = larger;
	memcpy(larger + program->output_length, chunk, (size_t)n + 1);
	program->output_length += (size_t)n;
	return 0;
}

/*
 * The end of stderr says why the program failed: where there is too much, its beginning is dropped.
 */
static int take_complaint(struct program *program)
{
	char chunk[PROGRAM_COMPLAINT_MAX];
	ssize_t n = read(program->err_fd, chunk, sizeof(chunk));
	size_t excess;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
	excess = program->complaint_length + (size_t)n;
	excess = excess > PROGRAM_COMPLAINT_MAX ? excess - PROGRAM_COMPLAINT_MAX : 0;
	memmove(program->complaint, program->complaint + excess, program->complaint_length - excess);
	program->complaint_length -= excess;
	memcpy(program->complaint + program->complaint_length, chunk, (size_t)n);
	program->complaint_length += (size_t)n;
	program->complaint[program->complaint_length] = '\0';
	return 0;
}

/*
 * The child's CPU time and the bytes it moved: a sum that grows as long as the child is not stuck.
 */
static unsigned long long work_done(pid_t pid)
{
	unsigned long long user = 0, system = 0, read_bytes = 0, written = 0;
	char path[64], line[1024];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (file) {
		char *end = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;

		if (end)
			sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system);
		fclose(file);
	}
	snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "rchar: %llu wchar: %llu", &read_bytes, &written) != 2)
			read_bytes = written = 0;
		fclose(file);
	}
	return user + system + read_bytes + written;
}

static bool is_late(const struct program *program, uint64_t now)
{
	return program->deadline_s && now - program->started_ms >= (uint64_t)program->deadline_s * 1000;
}

static bool is_stuck(struct program *program)
{
	unsigned long long work = work_done(program->pid);
	uint64_t now = monotonic_ms();

	if (is_late(program, now))
		return true;
	if (work != program->work) {
		program->work = work;
		program->last_progress_ms = now;
	}
	return now - program->last_progress_ms > (uint64_t)program->timeout_s * 1000;
}

static void signal_all(const struct program *program, int signal)
{
	kill(program->pid, signal);
	if (program->box)
		kill(-program->pid, signal);
}

/* As the watch's `check` says; negative: the run is to be stopped. */
static int let_go_on(struct program *program)
{
	int r = program->watch && program->watch->check ? program->watch->check(program->watch->context) : 0;

	if (r < 0)
		return -ECANCELED;
	if ((r > 0) != program->stands_still) {
		program->stands_still = r > 0;
		log_debug("job", "%s (%d) %s", program->title, (int)program->pid, r > 0 ? "stands still" : "goes on");
		signal_all(program, r > 0 ? SIGSTOP : SIGCONT);
	}
	if (program->stands_still)
		program->last_progress_ms = monotonic_ms();
	return 0;
}

/*
 * Read the child's stdout and stderr until it has closed both: 0. After -ECANCELED, -ETIMEDOUT,
 * -ENOMEM or an error of poll(2) the caller must kill the child.
 */
static int attend(struct program *program)
{
	struct pollfd polled[] = {
		{ .fd = program->out_fd, .events = POLLIN },
		{ .fd = program->err_fd, .events = POLLIN },
		{ .fd = program->watch ? program->watch->stop_fd : -1, .events = POLLIN },
	};

	while (polled[0].fd >= 0 || polled[1].fd >= 0) {
		if (poll(polled, ARRAY_SIZE(polled), TICK_MS) < 0 && errno != EINTR)
			return -errno;
		if (polled[2].revents & POLLIN)
			return -ECANCELED;
		if (polled[0].revents) {
			int r = take_output(program);

			if (r == -ENOMEM)
				return r;
			if (r < 0)
				polled[0].fd = -1;
		}
		if (polled[1].revents && take_complaint(program) < 0)
			polled[1].fd = -1;
		if (let_go_on(program) < 0)
			return -ECANCELED;
		if (is_stuck(program))
			return -ETIMEDOUT;
	}
	return 0;
}

/*
 * Whether the child has ended, and how. What it has left behind ends here: nobody else's process
 * group has the child's number as long as the child has not been waited for.
 */
static bool has_ended(const struct program *program, bool wait, int *ret_status)
{
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_PID, (id_t)program->pid, &info, WEXITED | WNOWAIT | (wait ? 0 : WNOHANG)) < 0)
		return errno != EINTR;
	if (info.si_pid == 0)
		return false;
	signal_all(program, SIGKILL);
	return waitpid(program->pid, ret_status, 0) == program->pid;
}

/*
 * Wait for the child's end, but not for ever: a child that is stuck in the kernel (a dead disk)
 * cannot even be killed. `patient`: it has not been killed yet, and has as long as it makes
 * progress.
 */
static int reap(struct program *program, bool patient, int *ret_status)
{
	uint64_t deadline = monotonic_ms() + REAP_MS;
	int pidfd = (int)syscall(SYS_pidfd_open, program->pid, 0);

	for (;;) {
		struct pollfd polled = { .fd = pidfd, .events = POLLIN };

		if (has_ended(program, pidfd < 0 && patient, ret_status))
			break;
		if (!patient && monotonic_ms() > deadline)
			break;
		if (patient && is_stuck(program)) {
			signal_all(program, SIGKILL);
			patient = false;
			deadline = monotonic_ms() + REAP_MS;
		}
		poll(&polled, pidfd >= 0, TICK_MS);
	}
	if (pidfd >= 0)
		close(pidfd);
	return patient || monotonic_ms() <= deadline ? 0 : -ETIMEDOUT;
}

static int complaint_errno(const char *complaint)
{
	static const int known[] = { -ENOSPC, -EIO, -EDQUOT, -EROFS, -EFBIG };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strstr(complaint, error_text(known[i])))
			return known[i];
	return -EIO;
}

/* The complaint becomes one line. */
static void trim_complaint(struct program *program)
{
	size_t length = strlen(program->complaint);

	while (length && program->complaint[length - 1] == '\n')
		program->complaint[--length] = '\0';
	program->complaint_length = length;
	for (char *p = program->complaint; *p; p++)
		if ((unsigned char)*p < 0x20)
			*p = ' ';
}

static int judge_signal(const struct program *program, int signal, struct sentence *error)
{
	if (signal == SIGXCPU && program->box)
		return report(error, -EIO, "%s used more than %u s of processor time and was killed", program->title,
			      program->box->cpu_s);
	return report(error, -EIO, "%s was killed by signal %d", program->title, signal);
}

static int judge_complaint(const struct program *program, struct sentence *error)
{
	int r = complaint_errno(program->complaint);

	if (!program->complaint_length)
		return report(error, r, "%s failed: it did not say why", program->title);
	if (!program->discreet)
		return report(error, r, "%s failed: %s", program->title, program->complaint);
	log_warning("%s failed: %s", program->title, program->complaint);
	return report(error, r, "%s failed: %s (the log has what it said)", program->title, error_text(r));
}

static int judge(struct program *program, int status, struct sentence *error)
{
	trim_complaint(program);
	if (WIFSIGNALED(status))
		return judge_signal(program, WTERMSIG(status), error);
	if (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == program->also_fine)
		return 0;
	if (WEXITSTATUS(status) == 127 && !program->complaint_length)
		return report(error, -ENOENT, "'%s' cannot be started; %s", program->name, program->hint);
	if (WEXITSTATUS(status) == NOT_BOXED && program->box)
		return report(error, -EPERM, "%s cannot be put into its box", program->title);
	return judge_complaint(program, error);
}

static int attend_to_the_end(struct program *program, struct sentence *error)
{
	/* A failure, unless waitpid(2) says that it was none. */
	int r = attend(program), status = W_EXITCODE(1, 0);

	if (r < 0)
		signal_all(program, SIGKILL);
	if (reap(program, r == 0, &status) < 0)
		return report(error, -ETIMEDOUT, "%s (pid %d) hangs and cannot be killed; look at the storage below it",
			      program->title, (int)program->pid);
	if (r == -ETIMEDOUT && is_late(program, monotonic_ms()))
		return report(error, r, "%s did not end within %u s and was killed", program->title,
			      program->deadline_s);
	if (r == -ETIMEDOUT)
		return report(error, r, "%s made no progress for %u s and was killed", program->title,
			      program->timeout_s);
	if (r == -ECANCELED)
		return report(error, r, "%s was stopped", program->title);
	return r < 0 ? report(error, r, "%s was killed, its output cannot be read: %s", program->title, error_text(r))
		     : judge(program, status, error);
}

static int start_boxed(struct program *program, const char *path, struct sentence *error)
{
	CLEANUP(box_clear) struct box box = { .ruleset = -1 };
	struct sentence why;
	int r = 0;

	if (program->box)
		r = box_make(&box, path, program->files, program->file_count, program->box, &why);
	if (r < 0)
		return report(error, r, "%s cannot be started: %s", program->title, why.text);
	r = start(program, path, program->box ? &box : NULL);
	return r < 0 ? report(error, r, "%s cannot be started: %s", program->title, error_text(r)) : 0;
}

int program_run(struct program *program, struct sentence *error)
{
	CLEANUP(freep) char *path = program_find(program->name);
	int r;

	if (!path)
		return report(error, -ENOENT, "'%s' is not there; %s", program->name, program->hint);
	program->arguments[program->count] = NULL;
	program->out_fd = program->err_fd = -1;
	r = start_boxed(program, path, error);
	if (r == 0) {
		log_debug("job", "%s runs as %d", program->title, (int)program->pid);
		r = attend_to_the_end(program, error);
	}
	close_fdp(&program->out_fd);
	close_fdp(&program->err_fd);
	return r;
}
