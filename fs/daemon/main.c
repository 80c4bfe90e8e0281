/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon from start to end; the only file that exits.
 *
 *   options     read, then the paths settled (paths.c), with the terminal still there for
 *               complaints
 *   background  unless -f: everything that follows happens in the child
 *   inherited   what an earlier daemon left in the descriptor store: then its mount is taken over
 *               (tree_restore.c)
 *   images      opened by descriptor: the mount may cover the very path
 *   disks       the state directory loaded and mended
 *   mount       the kernel's first message is answered; from here on requests queue
 *   work        background work started, `protect` globs applied
 *   ready       the threads run, so requests are answered: systemd and the waiting command are told
 *   end         SIGTERM, SIGINT or umount(8): requests are finished, then the mount goes, then the
 *               disks rest
 *   or          SIGUSR1: as after a SIGKILL, but with no request in hand; the mount and all that is
 *               open wait for the next daemon
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

#include "daemonize.h"
#include "channel.h"
#include "fdstore.h"
#include "handover.h"
#include "keeper.h"
#include "log.h"
#include "notify.h"
#include "ops.h"
#include "options.h"
#include "paths.h"
#include "state.h"
#include "autoprotect.h"
#include "tree.h"
#include "version.h"

#define OPEN_FILES 1048576
#define OPEN_FILES_LEAST 65536

/* Everything there is, in the order in which it is made. */
struct revertfs {
	struct options options;
	bool served;  /* it has come to that */
	bool quiet;   /* the keeper has no terminal, so neither have we once the mount answers */
	int ready_fd; /* where a waiting parent is told, or -1 */
	int stop_fd;  /* a signalfd: somebody wants the end */
	struct fdstore store;
	int fuse_fd; /* of the mount to be taken over, or -1 */
	struct handover *handover;
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
	sigaddset(&signals, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -errno;
	revertfs->stop_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return revertfs->stop_fd < 0 ? -errno : 0;
}

static void tell_ready(void *context)
{
	struct revertfs *revertfs = context;
	int r = notify("READY=1");

	revertfs->served = true;
	if (r < 0)
		log_warning("cannot tell systemd that the mount answers: %s", error_text(r));
	log_info("'%s' is served at '%s'", revertfs->options.images, revertfs->options.mount);
	if (revertfs->ready_fd >= 0)
		daemonize_ready(steal_fd(&revertfs->ready_fd));
	if (revertfs->quiet)
		daemonize_leave_terminal();
}

/*
 * An operator who wonders why the disks are gone finds who wanted it. Whether the mount is to stay
 * for a successor.
 */
static bool is_left(void *context)
{
	const struct revertfs *revertfs = context;
	struct signalfd_siginfo info;
	bool left;

	if (read(revertfs->stop_fd, &info, sizeof(info)) != sizeof(info))
		return false;
	left = info.ssi_signo == SIGUSR1 && notify_is_heard() &&
	       notify("STATUS=The mount is left to the next daemon.") == 0;
	log_info("ending: process %u (uid %u) sent %s%s", info.ssi_pid, info.ssi_uid, sigdescr_np((int)info.ssi_signo),
		 left                        ? "; the mount is left to the next daemon"
		 : info.ssi_signo == SIGUSR1 ? "; nobody would start another daemon, so the mount goes"
					     : "");
	return left;
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

/* By their names, so that whatever has these is not taken for what comes now. */
static void drop_left(struct revertfs *revertfs)
{
	static const char *const names[] = { FDSTORE_FUSE, FDSTORE_HANDOVER, FDSTORE_IMAGES };

	for (size_t i = 0; revertfs->store.count && i < ARRAY_SIZE(names); i++)
		fdstore_drop(names[i]);
	fdstore_drop_rest(&revertfs->store);
}

/*
 * What an earlier daemon left, if it can be used; else a mount of its is replaced, since who has
 * files open there may still write to them.
 */
static int inherit(struct revertfs *revertfs, struct sentence *error)
{
	CLEANUP(close_fdp) int fuse_fd = fdstore_take(&revertfs->store, FDSTORE_FUSE);
	int fd = fdstore_take(&revertfs->store, FDSTORE_HANDOVER), r;
	struct sentence why;

	revertfs->images_fd = fdstore_take(&revertfs->store, FDSTORE_IMAGES);
	if (fuse_fd >= 0 && fd >= 0 && revertfs->images_fd >= 0) {
		r = handover_adopt(fd, &revertfs->handover, &why);
		if (r == 0) {
			revertfs->fuse_fd = steal_fd(&fuse_fd);
			return 0;
		}
		log_error(
			"what an earlier daemon left cannot be taken over: %s. Whoever has files open there gets errors",
			why.text);
		fd = -1;
	}
	if (fuse_fd >= 0) {
		paths_detach(revertfs->options.mount);
	}
	close_fdp(&fd);
	close_fdp(&revertfs->images_fd);
	drop_left(revertfs);
	r = handover_new(&revertfs->handover);
	return r < 0 ? report(error, r, "no memory for what outlives the daemon: %s", error_text(r)) : 0;
}

/*
 * Nothing may look into a mount whose requests nobody answers yet: its paths are the ones that were
 * settled when it was made.
 */
static int settle_paths(struct revertfs *revertfs, struct sentence *error)
{
	struct options *options = &revertfs->options;
	const struct handover_header *mount = handover_mount(revertfs->handover);
	char *images, *mountpoint;
	int r;

	if (revertfs->fuse_fd < 0)
		return paths_settle(options, error);
	images = strdup(mount->images);
	mountpoint = strdup(mount->mount);
	if (!images || !mountpoint) {
		free(images);
		free(mountpoint);
		return report(error, -ENOMEM, "out of memory");
	}
	free(options->images);
	free(options->mount);
	options->images = images;
	options->mount = mountpoint;
	r = paths_settle_others(options, error);
	if (r == 0 && strcmp(options->state, mount->state) != 0)
		return report(
			error, -EINVAL,
			"the mount on '%s' was made with the state directory '%s', not '%s': put that back into the "
			"configuration, or unmount first",
			mount->mount, mount->state, options->state);
	return r;
}

static int load_disks(struct revertfs *revertfs, struct sentence *error)
{
	struct options *options = &revertfs->options;

	if (revertfs->images_fd < 0)
		revertfs->images_fd = open(options->images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (revertfs->images_fd < 0)
		return report(error, -errno, "cannot open the images directory '%s': %m", options->images);
	return disks_new(options, revertfs->images_fd, revertfs->handover, &revertfs->disks, error);
}

/* The order of storing counts: with /dev/fuse alone nobody could go on. */
static void store_descriptors(const struct revertfs *revertfs)
{
	fdstore_put(FDSTORE_HANDOVER, handover_fd(revertfs->handover));
	fdstore_put(FDSTORE_IMAGES, revertfs->images_fd);
	fdstore_put(FDSTORE_FUSE, channel_fd(revertfs->channel));
}

static int connect_to_kernel(struct revertfs *revertfs, struct sentence *error)
{
	const struct options *options = &revertfs->options;
	struct wishes wishes;
	int r;

	if (revertfs->fuse_fd >= 0)
		return channel_adopt(options, steal_fd(&revertfs->fuse_fd), revertfs->ops, revertfs->handover,
				     &revertfs->channel, error);
	wishes = handshake_wishes(options, tree_has_acls(revertfs->tree));
	r = channel_mount(options, &wishes, revertfs->ops, revertfs->handover, &revertfs->channel, error);
	if (r == 0)
		store_descriptors(revertfs);
	return r;
}

static int start_mount(struct revertfs *revertfs, struct sentence *error)
{
	const struct options *options = &revertfs->options;
	bool adopts = revertfs->fuse_fd >= 0;
	int r = tree_new(options, revertfs->images_fd, revertfs->disks, revertfs->handover, &revertfs->tree);

	if (r == 0)
		r = ops_new(revertfs->tree, revertfs->disks, &revertfs->ops);
	if (r < 0)
		return report(error, r, "cannot serve '%s': %s", options->images, error_text(r));
	r = connect_to_kernel(revertfs, error);
	if (r < 0)
		return r;
	tree_connect(revertfs->tree, channel_fd(revertfs->channel), channel_has_passthrough(revertfs->channel));
	if (adopts)
		tree_restore(revertfs->tree, &revertfs->store);
	return 0;
}

static int start_work(struct revertfs *revertfs, struct sentence *error)
{
	int r = disks_start(revertfs->disks, error);

	if (r == 0)
		protect_matching(&revertfs->options, revertfs->images_fd, revertfs->disks);
	return r;
}

/* 1 when the mount was left to a successor. */
static int serve(struct revertfs *revertfs, struct sentence *error)
{
	const struct channel_events events = {
		.stop_fd = revertfs->stop_fd, .ready = tell_ready, .leaves = is_left, .context = revertfs
	};
	int r = load_disks(revertfs, error);

	if (r == 0)
		r = start_mount(revertfs, error);
	if (r == 0)
		r = start_work(revertfs, error);
	if (r == 0) {
		r = channel_run(revertfs->channel, &events, error);
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
		tree_connect(revertfs->tree, -1, false);
	channel_free(revertfs->channel);
	ops_free(revertfs->ops);
	tree_free(revertfs->tree);
	disks_free(revertfs->disks);
	handover_free(revertfs->handover);
	close_fdp(&revertfs->fuse_fd);
	close_fdp(&revertfs->images_fd);
	close_fdp(&revertfs->stop_fd);
	close_fdp(&revertfs->ready_fd);
	options_free(&revertfs->options);
}

/*
 * Everything stays as it is, in the handover and in the state directory, as if we were killed here.
 * A kernel that does not send again what is not answered gets its answers first: commands that wait
 * are interrupted.
 */
static int leave(struct revertfs *revertfs)
{
	if (!channel_can_resend(revertfs->channel))
		ops_stop(revertfs->ops);
	fflush(NULL);
	_exit(KEEPER_AGAIN);
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

/* Whether to go on in this process; else *ret_status is what to exit with. */
static bool go_into_background(struct revertfs *revertfs, struct sentence *error, int *ret_status)
{
	int r = daemonize_enter(&revertfs->ready_fd, ret_status);

	if (r == 0)
		return true;
	if (r < 0) {
		report(error, r, "cannot go into the background: %s", error_text(r));
		*ret_status = complain(error, false);
	}
	return false;
}

static int be_keeper(struct revertfs *revertfs, char **argv, struct sentence *error)
{
	CLEANUP(close_fdp) int directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool in_background = !revertfs->options.foreground;
	int status;

	if (directory < 0) {
		report(error, -errno, "the current directory cannot be opened: %m");
		return complain(error, false);
	}
	if (in_background && !go_into_background(revertfs, error, &status))
		return status;
	return keeper_run(argv, steal_fd(&directory), in_background, steal_fd(&revertfs->ready_fd));
}

static int be_daemon(struct revertfs *revertfs, bool has_keeper, struct sentence *error)
{
	struct options *options = &revertfs->options;
	bool logged = revertfs->quiet || !options->foreground;
	int r, status;

	fdstore_inherit(&revertfs->store);
	if (inherit(revertfs, error) < 0 || settle_paths(revertfs, error) < 0)
		return complain(error, revertfs->quiet);
	if (!options->foreground && !go_into_background(revertfs, error, &status))
		return status;
	if (has_keeper && chdir("/") < 0)
		log_warning("cannot change to '/': %s", error_text(-errno));
	r = prepare_process(revertfs, error);
	if (r == 0)
		r = serve(revertfs, error);
	if (r > 0)
		return leave(revertfs);
	if (r < 0) {
		complain(error, logged);
		/*
		 * What an earlier daemon has left stays as it is, for the next try: nothing is
		 * given back in order.
		 */
		if (handover_mount(revertfs->handover)->restarts && !revertfs->served)
			_exit(EXIT_FAILURE);
	}
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run(struct revertfs *revertfs, char **argv)
{
	struct options *options = &revertfs->options;
	bool has_keeper = keeper_is_parent(&revertfs->quiet);
	struct sentence error = { "" };

	if (options->help)
		return print_and_free(options_help());
	if (options->version)
		return print_and_free(format_text("revertfs " REVERTFS_VERSION ", libfuse %s\n", fuse_pkgversion()));
	if (options->debug)
		setenv("REVERTFS_DEBUG", "all", 0);
	if (options->keeper && !has_keeper)
		return be_keeper(revertfs, argv, &error);
	return be_daemon(revertfs, has_keeper, &error);
}

int main(int argc, char **argv)
{
	struct revertfs revertfs = { .ready_fd = -1, .stop_fd = -1, .images_fd = -1, .fuse_fd = -1 };
	struct sentence error = { "" };
	int status;

	if (options_read(argc, argv, &revertfs.options, &error) < 0)
		status = complain(&error, false);
	else
		status = run(&revertfs, argv);
	stop(&revertfs);
	return status;
}
