/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A run is: fork and exec with just the given descriptors, then one poll loop over stdout, stderr and the stop descriptor, then wait.
 *
 * stdout is kept up to OUTPUT_MAX (the JSON of `info`) and scanned for the "(12.34/100%)" of -p; the last of stderr becomes the
 * sentence. Between fork and exec only async-signal-safe calls are made, since the daemon has threads.
 */
#include "qemu_img.h"

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

#include "json.h"
#include "log.h"

#define OUTPUT_MAX (1024 * 1024)
#define STDERR_KEPT 600
#define ARGUMENTS_MAX 16
#define FIRST_FD 3 /* the number that the first handed-over file has in the child */
#define CHAIN_MAX 256
#define TICK_MS 500  /* how often a silent child is looked at */
#define REAP_MS 5000 /* how long a killed child may take to go */
#define IOPRIO_IDLE (3 << 13)

struct run {
	const struct options *options;
	const char *arguments[ARGUMENTS_MAX];
	size_t count;
	const struct qemu_node *files;
	size_t file_count;
	const struct qemu_watch *watch;
	bool background;

	pid_t pid;
	int out_fd, err_fd;
	char *output;
	size_t output_length;
	char complaint[STDERR_KEPT + 1];
	size_t complaint_length;
	uint64_t last_progress_ms;
	unsigned long long work; /* what /proc said the child had done when last looked at */
};

static void run_clear(struct run *run)
{
	close_fdp(&run->out_fd);
	close_fdp(&run->err_fd);
	free(run->output);
}

static void add(struct run *run, const char *argument)
{
	run->arguments[run->count++] = argument;
}

/* Where the program is; the search is done before fork(), since execvp() may allocate. */
static char *find_program(const char *name)
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

/* In the child: async-signal-safe calls only. */
static void become_qemu_img(const struct run *run, const char *program, int out_fd, int err_fd, const int *files)
{
	static const char *const environment[] = { "LC_ALL=C",
						   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
						   NULL };
	struct rlimit no_core = { 0, 0 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &no_core);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (run->background) {
		setpriority(PRIO_PROCESS, 0, 10);
		syscall(SYS_ioprio_set, 1, 0, IOPRIO_IDLE);
	}
	if (dup2(null, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(err_fd, 2) < 0)
		_exit(126);
	for (size_t i = 0; i < run->file_count; i++)
		if (dup2(files[i], FIRST_FD + (int)i) < 0)
			_exit(126);
	syscall(SYS_close_range, FIRST_FD + (unsigned)run->file_count, ~0U, 0);
	execve(program, (char *const *)run->arguments, (char *const *)environment);
	_exit(127);
}

/*
 * The descriptors a child gets are first copied above all the numbers they are to have, so that placing one cannot overwrite another.
 */
static int copy_files(const struct run *run, int *ret_files)
{
	for (size_t i = 0; i < run->file_count; i++) {
		ret_files[i] = fcntl(run->files[i].fd, F_DUPFD_CLOEXEC, FIRST_FD + CHAIN_MAX);
		if (ret_files[i] < 0) {
			int r = -errno;

			while (i--)
				close(ret_files[i]);
			return r;
		}
	}
	return 0;
}

static int start_child(struct run *run, const char *program)
{
	int out[2], err[2], files[CHAIN_MAX], r;

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
	r = copy_files(run, files);
	if (r == 0) {
		run->pid = fork();
		if (run->pid == 0)
			become_qemu_img(run, program, out[1], err[1], files);
		r = run->pid < 0 ? -errno : 0;
		for (size_t i = 0; i < run->file_count; i++)
			close(files[i]);
	}
	close(out[1]);
	close(err[1]);
	run->out_fd = out[0];
	run->err_fd = err[0];
	run->last_progress_ms = monotonic_ms();
	return r;
}

/* The newest "(12.34/100%)" in what came. */
static void report_progress(const struct run *run, const char *text)
{
	const char *open = strrchr(text, '(');
	double percent;

	if (run->watch && run->watch->progress && open && sscanf(open, "(%lf/100%%)", &percent) == 1)
		run->watch->progress(run->watch->context, percent);
}

static int take_output(struct run *run)
{
	char chunk[4096];
	ssize_t n = read(run->out_fd, chunk, sizeof(chunk) - 1);
	char *larger;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
	chunk[n] = '\0';
	report_progress(run, chunk);
	if (run->output_length + (size_t)n > OUTPUT_MAX)
		return 0;
	larger = realloc(run->output, run->output_length + (size_t)n + 1);
	if (!larger)
		return -ENOMEM;
	run->output = larger;
	memcpy(larger + run->output_length, chunk, (size_t)n + 1);
	run->output_length += (size_t)n;
	return 0;
}

/* The end of stderr says why; what came first is dropped when it is long. */
static int take_complaint(struct run *run)
{
	char chunk[STDERR_KEPT];
	ssize_t n = read(run->err_fd, chunk, sizeof(chunk));
	size_t excess;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
	excess = run->complaint_length + (size_t)n;
	excess = excess > STDERR_KEPT ? excess - STDERR_KEPT : 0;
	memmove(run->complaint, run->complaint + excess, run->complaint_length - excess);
	run->complaint_length -= excess;
	memcpy(run->complaint + run->complaint_length, chunk, (size_t)n);
	run->complaint_length += (size_t)n;
	run->complaint[run->complaint_length] = '\0';
	return 0;
}

/* The child's CPU time and the bytes it moved: what grows as long as it is not stuck. */
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

static bool is_stuck(struct run *run)
{
	unsigned long long work = work_done(run->pid);
	uint64_t now = monotonic_ms();

	if (work != run->work) {
		run->work = work;
		run->last_progress_ms = now;
	}
	return now - run->last_progress_ms > (uint64_t)run->options->qemu_timeout * 1000;
}

/* Read what the child says until it has closed both ends. 0, -ECANCELED, -ETIMEDOUT or -ENOMEM: the child must then be killed. */
static int attend(struct run *run)
{
	struct pollfd polled[] = {
		{ .fd = run->out_fd, .events = POLLIN },
		{ .fd = run->err_fd, .events = POLLIN },
		{ .fd = run->watch ? run->watch->stop_fd : -1, .events = POLLIN },
	};

	while (polled[0].fd >= 0 || polled[1].fd >= 0) {
		if (poll(polled, ARRAY_SIZE(polled), TICK_MS) < 0 && errno != EINTR)
			return -errno;
		if (polled[2].revents & POLLIN)
			return -ECANCELED;
		if (polled[0].revents) {
			int r = take_output(run);

			if (r == -ENOMEM)
				return r;
			if (r < 0)
				polled[0].fd = -1;
		}
		if (polled[1].revents && take_complaint(run) < 0)
			polled[1].fd = -1;
		if (is_stuck(run))
			return -ETIMEDOUT;
	}
	return 0;
}

/* Wait for the child's end, but not for ever: one that is stuck in the kernel (a dead disk) cannot even be killed. */
static int reap(struct run *run, bool patient, int *ret_status)
{
	uint64_t deadline = monotonic_ms() + REAP_MS;
	int pidfd = (int)syscall(SYS_pidfd_open, run->pid, 0);

	for (;;) {
		struct pollfd polled = { .fd = pidfd, .events = POLLIN };
		pid_t done = waitpid(run->pid, ret_status, pidfd >= 0 || !patient ? WNOHANG : 0);

		if (done == run->pid || (done < 0 && errno != EINTR))
			break;
		if (!patient && monotonic_ms() > deadline)
			break;
		if (patient && is_stuck(run)) {
			kill(run->pid, SIGKILL);
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

static int judge(struct run *run, int status, struct sentence *error)
{
	size_t length = strlen(run->complaint);

	while (length && run->complaint[length - 1] == '\n')
		run->complaint[--length] = '\0';
	for (char *p = run->complaint; *p; p++)
		if ((unsigned char)*p < 0x20)
			*p = ' ';
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127 && !length)
		return report(error, -ENOENT,
			      "'%s' cannot be started; install qemu-utils, or set qemu-img=", run->options->qemu_img);
	if (WIFSIGNALED(status))
		return report(error, -EIO, "qemu-img %s was killed by signal %d", run->arguments[1], WTERMSIG(status));
	return report(error, complaint_errno(run->complaint), "qemu-img %s failed: %s", run->arguments[1],
		      length ? run->complaint : "it did not say why");
}

static int run_qemu_img(struct run *run, struct sentence *error)
{
	CLEANUP(freep) char *program = find_program(run->options->qemu_img);
	int r, status = 0;

	run->out_fd = run->err_fd = -1;
	run->arguments[0] = "qemu-img";
	run->arguments[run->count] = NULL;
	if (!program)
		return report(error, -ENOENT,
			      "'%s' is not there; install qemu-utils, or set qemu-img=", run->options->qemu_img);
	r = start_child(run, program);
	if (r < 0)
		return report(error, r, "qemu-img cannot be started: %s", error_text(r));
	log_debug("job", "qemu-img %s runs as %d", run->arguments[1], (int)run->pid);
	r = attend(run);
	if (r < 0)
		kill(run->pid, SIGKILL);
	if (reap(run, r == 0, &status) < 0)
		return report(error, -ETIMEDOUT,
			      "qemu-img %s (pid %d) hangs and cannot be killed; look at the storage below it",
			      run->arguments[1], (int)run->pid);
	if (r == -ETIMEDOUT)
		return report(error, r, "qemu-img %s made no progress for %u s and was killed", run->arguments[1],
			      run->options->qemu_timeout);
	if (r == -ECANCELED)
		return report(error, r, "qemu-img %s was stopped", run->arguments[1]);
	return r < 0 ? report(error, r, "qemu-img %s was lost: %s", run->arguments[1], error_text(r))
		     : judge(run, status, error);
}

static int parse_info(const char *text, size_t length, struct qemu_image_info *ret_info, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *root = NULL;
	struct json_object *specific = NULL, *data = NULL;
	const char *format = NULL, *word = NULL;
	struct qemu_image_info info = { 0 };
	int r = json_parse(text, length, &root, error);

	if (r < 0)
		return r;
	if (json_get_string(root, "format", &format) <= 0 ||
	    json_get_u64(root, "virtual-size", &info.virtual_size) <= 0)
		return report(error, -EBADMSG, "qemu-img info gave no format or size");
	snprintf(info.format, sizeof(info.format), "%s", format);
	info.has_backing = json_get_string(root, "backing-filename", &word) != 0;
	json_get_bool(root, "encrypted", &info.is_encrypted);
	if (json_get_object(root, "format-specific", &specific) > 0 && json_get_object(specific, "data", &data) > 0)
		info.has_data_file = json_get_string(data, "data-file", &word) != 0;
	*ret_info = info;
	return 0;
}

int qemu_img_info(const struct options *options, int fd, const char *format, struct qemu_image_info *ret_info,
		  struct sentence *error)
{
	struct qemu_node file = { .fd = fd };
	CLEANUP(run_clear) struct run run = { .options = options, .files = &file, .file_count = 1, .count = 1 };
	int r;

	add(&run, "info");
	add(&run, "--output=json");
	if (format) {
		add(&run, "-f");
		add(&run, format);
	}
	add(&run, "/proc/self/fd/3");
	r = run_qemu_img(&run, error);
	return r < 0 ? r : parse_info(run.output ? run.output : "", run.output_length, ret_info, error);
}

int qemu_img_create(const struct options *options, int fd, const char *backing, const char *backing_format,
		    uint64_t virtual_size, struct sentence *error)
{
	struct qemu_node file = { .fd = fd };
	CLEANUP(run_clear) struct run run = { .options = options, .files = &file, .file_count = 1, .count = 1 };
	char size[32];

	snprintf(size, sizeof(size), "%llu", (unsigned long long)virtual_size);
	add(&run, "create");
	add(&run, "-q");
	add(&run, "-u");
	add(&run, "-f");
	add(&run, "qcow2");
	if (options->template_options && options->template_options[0]) {
		add(&run, "-o");
		add(&run, options->template_options);
	}
	add(&run, "-b");
	add(&run, backing);
	add(&run, "-F");
	add(&run, backing_format);
	add(&run, "/proc/self/fd/3");
	add(&run, size);
	return run_qemu_img(&run, error);
}

/* {"driver":"qcow2","file":{"driver":"file","filename":"/proc/self/fd/3"},"backing":{...}}: nothing is left to the headers. */
static struct json_object *describe_chain(const struct qemu_node *chain, size_t length)
{
	struct json_object *below = NULL;

	for (size_t i = length; i-- > 0;) {
		struct json_object *node = json_object_new_object();
		struct json_object *file = json_object_new_object();
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", FIRST_FD + (int)i);
		json_set_string(file, "driver", "file");
		json_set_string(file, "filename", path);
		json_set_string(node, "driver", chain[i].format);
		json_object_object_add(node, "file", file);
		if (strcmp(chain[i].format, "raw") != 0)
			json_object_object_add(node, "backing", below);
		below = node;
	}
	return below;
}

int qemu_img_commit(const struct options *options, const struct qemu_node *chain, size_t length,
		    const struct qemu_watch *watch, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *description = describe_chain(chain, length);
	CLEANUP(freep)
	char *image =
		format_text("json:%s", json_object_to_json_string_ext(description, JSON_C_TO_STRING_NOSLASHESCAPE));
	CLEANUP(run_clear)
	struct run run = {
		.options = options, .files = chain, .file_count = length, .watch = watch, .background = true, .count = 1
	};

	if (length > CHAIN_MAX)
		return report(error, -E2BIG, "a chain of %zu layers is too long for qemu-img", length);
	if (!image)
		return report(error, -ENOMEM, "out of memory");
	add(&run, "commit");
	add(&run, "-d");
	add(&run, "-p");
	add(&run, image);
	return run_qemu_img(&run, error);
}

int qemu_img_rebase(const struct options *options, int fd, const char *backing, const char *backing_format,
		    struct sentence *error)
{
	struct qemu_node file = { .fd = fd };
	CLEANUP(run_clear) struct run run = { .options = options, .files = &file, .file_count = 1, .count = 1 };

	add(&run, "rebase");
	add(&run, "-q");
	add(&run, "-u");
	add(&run, "-f");
	add(&run, "qcow2");
	add(&run, "-b");
	add(&run, backing);
	add(&run, "-F");
	add(&run, backing_format);
	add(&run, "/proc/self/fd/3");
	return run_qemu_img(&run, error);
}
