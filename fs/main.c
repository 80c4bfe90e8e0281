/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon from start to end; the only file that exits.
 *
 *   options     read, then the paths settled (place.c), with the terminal still there for complaints
 *   background  unless -f: everything that follows happens in the child
 *   images      opened by descriptor: the mount may cover the very path
 *   disks       the state directory loaded and mended, background work started, `protect` globs applied
 *   mount       the kernel's first message is answered; from here on requests queue
 *   ready       the threads run, so requests are answered: systemd and the waiting command are told
 *   end         SIGTERM, SIGINT or umount(8): requests are finished, then the mount goes, then the disks rest
 *
 * Signals are blocked in all threads and read from a descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "background.h"
#include "channel.h"
#include "disk.h"
#include "log.h"
#include "notify.h"
#include "ops.h"
#include "options.h"
#include "place.h"
#include "protect.h"
#include "tree.h"
#include "version.h"

#define OPEN_FILES 1048576
#define OPEN_FILES_LEAST 65536

/* Everything there is, in the order in which it is made. */
struct revertfs {
	struct options options;
	int ready_fd; /* where a waiting parent is told, or -1 */
	int stop_fd;  /* a signalfd: somebody wants the end */
	int images_fd;
	struct disks *disks;
	struct tree *tree;
	struct ops *ops;
	struct channel *channel;
};

/* libfuse's own complaints, such as options that it does not know. */
static void log_libfuse(enum fuse_log_level level, const char *format, va_list arguments)
{
	char text[1024];

	vsnprintf(text, sizeof(text), format, arguments);
	text[strcspn(text, "\n")] = '\0';
	if (level >= FUSE_LOG_DEBUG)
		log_debug("fuse", "%s", text);
	else if (level <= FUSE_LOG_ERR)
		log_error("%s", text);
	else
		log_info("%s", text);
}

/* A descriptor for each file that the kernel knows of, and one for each that is open. */
static void raise_open_files(void)
{
	struct rlimit limit = { OPEN_FILES, OPEN_FILES };

	if (setrlimit(RLIMIT_NOFILE, &limit) == 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("cannot raise the limit of open files: %s", error_text(-errno));
	else if (limit.rlim_cur < OPEN_FILES_LEAST)
		log_warning(
			"only %llu files may be open, or known to the kernel, at a time; raise the limit (ulimit -Hn)",
			(unsigned long long)limit.rlim_cur);
}

static int catch_signals(struct revertfs *revertfs)
{
	sigset_t signals;

	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit fails instead */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -errno;
	revertfs->stop_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return revertfs->stop_fd < 0 ? -errno : 0;
}

static void tell_ready(void *context)
{
	struct revertfs *revertfs = context;
	int r = notify("READY=1");

	if (r < 0)
		log_warning("cannot tell systemd that the mount answers: %s", error_text(r));
	log_info("'%s' is served at '%s'", revertfs->options.images, revertfs->options.mount);
	if (revertfs->ready_fd >= 0)
		background_ready(steal_fd(&revertfs->ready_fd));
}

static int prepare_process(struct revertfs *revertfs, struct sentence *error)
{
	int r;

	fuse_set_log_func(log_libfuse);
	umask(0);
	raise_open_files();
	r = catch_signals(revertfs);
	return r < 0 ? report(error, r, "cannot set up signals: %s", error_text(r)) : 0;
}

static int start_disks(struct revertfs *revertfs, struct sentence *error)
{
	struct options *options = &revertfs->options;
	int r;

	revertfs->images_fd = open(options->images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (revertfs->images_fd < 0)
		return report(error, -errno, "cannot open the images directory '%s': %m", options->images);
	r = disks_new(options, revertfs->images_fd, &revertfs->disks, error);
	if (r == 0)
		r = disks_start(revertfs->disks, error);
	if (r == 0)
		protect_matching(options, revertfs->images_fd, revertfs->disks);
	return r;
}

static int start_mount(struct revertfs *revertfs, struct sentence *error)
{
	const struct options *options = &revertfs->options;
	struct wishes wishes;
	int r = tree_new(options, revertfs->images_fd, revertfs->disks, &revertfs->tree);

	if (r == 0)
		r = ops_new(revertfs->tree, revertfs->disks, &revertfs->ops);
	if (r < 0)
		return report(error, r, "cannot serve '%s': %s", options->images, error_text(r));
	wishes = handshake_wishes(options, tree_has_acls(revertfs->tree));
	r = channel_mount(options, &wishes, revertfs->ops, &revertfs->channel, error);
	if (r == 0)
		tree_allow_passthrough(revertfs->tree, channel_passthrough_fd(revertfs->channel));
	return r;
}

/* An operator who wonders why the disks are gone finds who wanted it. */
static void log_signal(const struct revertfs *revertfs)
{
	struct signalfd_siginfo info;

	if (read(revertfs->stop_fd, &info, sizeof(info)) == sizeof(info))
		log_info("ending: process %u (uid %u) sent %s", info.ssi_pid, info.ssi_uid,
			 sigdescr_np((int)info.ssi_signo));
}

static int serve(struct revertfs *revertfs, struct sentence *error)
{
	int r = prepare_process(revertfs, error);

	if (r == 0)
		r = start_disks(revertfs, error);
	if (r == 0)
		r = start_mount(revertfs, error);
	if (r == 0) {
		r = channel_run(revertfs->channel, revertfs->stop_fd, tell_ready, revertfs, error);
		log_signal(revertfs);
		notify("STOPPING=1");
	}
	return r;
}

/* In the opposite order; what was never made is NULL or -1. */
static void stop(struct revertfs *revertfs)
{
	if (revertfs->ops)
		ops_stop(revertfs->ops);
	/* With the connection the kernel gives up all that was passed through. */
	if (revertfs->tree)
		tree_allow_passthrough(revertfs->tree, -1);
	channel_free(revertfs->channel);
	ops_free(revertfs->ops);
	tree_free(revertfs->tree);
	disks_free(revertfs->disks);
	close_fdp(&revertfs->images_fd);
	close_fdp(&revertfs->stop_fd);
	close_fdp(&revertfs->ready_fd);
	options_free(&revertfs->options);
}

/* Where the command was typed, and, once there is nobody at the terminal any more, in the log. */
static int complain(const struct sentence *error, bool logged)
{
	fprintf(stderr, "revertfs: %s\n", error->text);
	if (logged)
		log_error("%s", error->text);
	return EXIT_FAILURE;
}

static int print_and_free(char *text)
{
	if (!text)
		return EXIT_FAILURE;
	fputs(text, stdout);
	free(text);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run(struct revertfs *revertfs)
{
	struct options *options = &revertfs->options;
	struct sentence error = { "" };
	int r, status;

	if (options->help)
		return print_and_free(options_help());
	if (options->version)
		return print_and_free(format_text("revertfs " REVERTFS_VERSION ", libfuse %s\n", fuse_pkgversion()));
	if (options->debug)
		setenv("REVERTFS_DEBUG", "all", 0);
	if (place_settle(options, &error) < 0)
		return complain(&error, false);
	if (!options->foreground) {
		r = background_enter(&revertfs->ready_fd, &status);
		if (r > 0)
			return status;
		if (r < 0) {
			report(&error, r, "cannot go into the background: %s", error_text(r));
			return complain(&error, false);
		}
	}
	r = serve(revertfs, &error);
	return r < 0 ? complain(&error, !options->foreground) : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct revertfs revertfs = { .ready_fd = -1, .stop_fd = -1, .images_fd = -1 };
	struct sentence error = { "" };
	int status;

	if (options_read(argc, argv, &revertfs.options, &error) < 0)
		status = complain(&error, false);
	else
		status = run(&revertfs);
	stop(&revertfs);
	return status;
}
