/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon from start to end, in this order:
 *
 *   options     are read
 *   keeper      with -o keeper: this process becomes the keeper, and the rest happens in its child
 *   inherited   what an earlier daemon left in the descriptor store is taken up, or dropped
 *   paths       are settled (paths.c), or are those of the mount that is taken over. The terminal
 *               is still there for complaints
 *   background  unless -f: everything that follows happens in the child
 *   images      are opened by descriptor: the mount may cover the very path (images_directory.c)
 *   scratches   how they are made is chosen by the QEMU there is (blank_options.c)
 *   disks       the state directory is loaded and mended (load.c)
 *   mount       the kernel's first message is answered, or an earlier daemon's mount is adopted and
 *               its nodes restored (tree_restore.c); from here on requests queue
 *   work        background work is started, and the `protect` globs are applied
 *   ready       systemd, the keeper and the waiting command are told; then requests are answered
 *   end         SIGTERM, SIGINT or umount(8): requests are finished, then the mount goes, then
 *               background work is stopped
 *   or          SIGUSR1, and SIGTERM where it is no order (ending.c): as after a SIGKILL, but the
 *               reading threads have answered what they had read. The kernel sends commands that
 *               still run again; where it cannot, they are interrupted and answered. The mount and
 *               all that is open wait for the next daemon
 *
 * Signals are blocked in all threads and read from a descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autoprotect.h"
#include "blank_options.h"
#include "channel.h"
#include "daemonize.h"
#include "drop_in.h"
#include "elsewhere_walk.h"
#include "ending.h"
#include "faults.h"
#include "fdstore.h"
#include "handover.h"
#include "images_directory.h"
#include "keeper.h"
#include "layout.h"
#include "locks.h"
#include "log.h"
#include "notify.h"
#include "ops.h"
#include "options.h"
#include "paths.h"
#include "program.h"
#include "qemu_run.h"
#include "state.h"
#include "tree.h"
#include "version.h"

#define OPEN_FILES 1048576
#define OPEN_FILES_LEAST 65536

/* All that the daemon has, in the order in which it is made; the root of everything. */
struct revertfs {
	struct options options;
	bool served;  /* the mount has answered requests */
	bool quiet;   /* the keeper has no terminal, so the daemon leaves its own once the mount answers */
	int ready_fd; /* where a waiting parent is told that the mount answers, or -1 */
	int stop_fd;  /* a signalfd of SIGTERM, SIGINT and SIGUSR1 */
	struct fdstore store;
	int fuse_fd; /* /dev/fuse of the mount that is taken over, or -1 */
	struct handover *handover;
	int images_fd;
	int left_lock;          /* the lock on the images directory that an earlier daemon has left, or -1 */
	bool images_are_others; /* than those that the store has */
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

/*
 * Those of the shell that started the daemon: what they allow would be allowed to everybody for
 * whom it asks the kernel.
 */
static void drop_groups(void)
{
	if (setgroups(0, NULL) < 0)
		log_warning("the daemon's supplementary groups cannot be dropped: %s", error_text(-errno));
}

/*
 * Any of many threads may list a large directory: what it had for that shall not stay with the
 * thread. So there are few arenas, and large pieces go back to the kernel at once, however often
 * there were such.
 */
static void keep_memory_small(void)
{
	mallopt(M_ARENA_MAX, 4);
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
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

static bool is_left(void *context)
{
	const struct revertfs *revertfs = context;
	struct signalfd_siginfo info;

	if (read(revertfs->stop_fd, &info, sizeof(info)) != sizeof(info))
		return false;
	return ending_leaves_mount(&info, revertfs->handover);
}

static void warn_openers(void *context)
{
	const struct revertfs *revertfs = context;

	ending_warn(revertfs->disks);
}

static int prepare_process(struct revertfs *revertfs, struct sentence *error)
{
	int r;

	fuse_set_log_func(log_libfuse);
	umask(0);
	drop_groups();
	raise_open_files();
	keep_memory_small();
	r = catch_signals(revertfs);
	return r < 0 ? report(error, r, "cannot set up signals: %s", error_text(r)) : 0;
}

/* Empty the store, so that nothing in it is taken for what this daemon stores by the same names. */
static void drop_left(struct revertfs *revertfs)
{
	static const char *const names[] = { FDSTORE_FUSE, FDSTORE_HANDOVER, FDSTORE_IMAGES };

	for (size_t i = 0; revertfs->store.count && i < ARRAY_SIZE(names); i++)
		fdstore_drop(names[i]);
	fdstore_drop_rest(&revertfs->store);
}

static void say_lost(const struct sentence *why)
{
	log_error("what an earlier daemon left cannot be taken over: %s. Whoever has files open there gets errors",
		  why->text);
}

/* Take the mount of an earlier daemon over; what it left is consumed either way. */
static bool take_over(struct revertfs *revertfs, int fuse_fd, int handover_fd)
{
	struct sentence why = { "" };

	if (handover_adopt(handover_fd, &revertfs->handover, &why) == 0) {
		revertfs->fuse_fd = fuse_fd;
		log_debug("disk", "start: a mount is taken over, after %u daemons",
			  handover_mount(revertfs->handover)->restarts);
		return true;
	}
	say_lost(&why);
	return false;
}

/* A mount that cannot be taken over is replaced. */
static int begin_anew(struct revertfs *revertfs, bool has_mount, struct sentence *error)
{
	int r;

	if (has_mount)
		paths_detach(revertfs->options.mount);
	close_fdp(&revertfs->images_fd);
	drop_left(revertfs);
	log_debug("disk", "start: a new mount");
	r = handover_new(&revertfs->handover);
	return r < 0 ? report(error, r, "no memory for what outlives the daemon: %s", error_text(r)) : 0;
}

/*
 * Take over what an earlier daemon left. Where that cannot be done, its mount is replaced, since
 * whoever has files open there may still write to them. Where it cannot be done for now, for want
 * of memory, the start fails, and all stays for the next try.
 */
static int inherit(struct revertfs *revertfs, struct sentence *error)
{
	CLEANUP(close_fdp) int fuse_fd = fdstore_take(&revertfs->store, FDSTORE_FUSE);
	CLEANUP(close_fdp) int handover_fd = layout_take(&revertfs->store, error);

	revertfs->images_fd = fdstore_take(&revertfs->store, FDSTORE_IMAGES);
	revertfs->left_lock = fdstore_take(&revertfs->store, FDSTORE_LOCK);
	if (fuse_fd >= 0 && handover_fd < 0 && handover_fd != -ENOENT && handover_fd != -EPROTO)
		return handover_fd;
	if (fuse_fd >= 0 && handover_fd == -EPROTO)
		say_lost(error);
	if (fuse_fd >= 0 && handover_fd >= 0 && revertfs->images_fd >= 0 &&
	    take_over(revertfs, fuse_fd, steal_fd(&handover_fd))) {
		steal_fd(&fuse_fd);
		return 0;
	}
	return begin_anew(revertfs, fuse_fd >= 0, error);
}

/* The images and mount options become what they were when the mount was made. */
static int keep_paths(struct options *options, const struct handover_header *mount, struct sentence *error)
{
	char *images = strdup(mount->images), *mountpoint = strdup(mount->mount);

	if (!images || !mountpoint) {
		free(images);
		free(mountpoint);
		return report(error, -ENOMEM, "out of memory");
	}
	free(options->images);
	free(options->mount);
	options->images = images;
	options->mount = mountpoint;
	return 0;
}

/*
 * Nothing may look into a mount whose requests nobody answers yet, so the paths of a mount that is
 * taken over are not settled again.
 */
static int settle_paths(struct revertfs *revertfs, struct sentence *error)
{
	struct options *options = &revertfs->options;
	const struct handover_header *mount = handover_mount(revertfs->handover);
	int r;

	if (revertfs->fuse_fd < 0)
		return paths_settle(options, error);
	r = keep_paths(options, mount, error);
	if (r == 0)
		r = paths_settle_others(options, error);
	if (r == 0 && strcmp(options->state, mount->state) != 0)
		return report(
			error, -EINVAL,
			"the mount on '%s' was made with the state directory '%s', not '%s': put that back into the configuration, or unmount first",
			mount->mount, mount->state, options->state);
	return r;
}

/* At once: a mount that another daemon left waits, and so the next one may be needed soon. */
static void store_lock(const struct revertfs *revertfs)
{
	int lock = locks_images(revertfs->disks);

	if (lock == revertfs->left_lock)
		return;
	if (revertfs->left_lock >= 0)
		fdstore_drop(FDSTORE_LOCK);
	if (lock >= 0)
		fdstore_put(FDSTORE_LOCK, lock);
}

static int load_disks(struct revertfs *revertfs, struct sentence *error)
{
	struct options *options = &revertfs->options;
	int r = images_directory_open(options, &revertfs->images_fd, error);

	if (r < 0)
		return r;
	revertfs->images_are_others = r;
	blank_options_choose(options);
	r = disks_new(options, revertfs->images_fd, revertfs->left_lock, revertfs->handover, &revertfs->disks, error);
	if (r == 0)
		store_lock(revertfs);
	return r;
}

/* /dev/fuse last: with that alone in the store, a successor could not take the mount over. */
static void store_descriptors(const struct revertfs *revertfs)
{
	fdstore_put_marked(FDSTORE_HANDOVER, handover_fd(revertfs->handover));
	fdstore_put(FDSTORE_IMAGES, revertfs->images_fd);
	fdstore_put(FDSTORE_FUSE, channel_fd(revertfs->channel));
}

static int connect_to_kernel(struct revertfs *revertfs, struct sentence *error)
{
	const struct options *options = &revertfs->options;
	struct wishes wishes;
	int r;

	if (revertfs->fuse_fd >= 0) {
		r = channel_adopt(options, steal_fd(&revertfs->fuse_fd), revertfs->ops, revertfs->handover,
				  &revertfs->channel, error);
		if (r == 0 && revertfs->images_are_others) {
			fdstore_drop(FDSTORE_IMAGES);
			fdstore_put(FDSTORE_IMAGES, revertfs->images_fd);
		}
		return r;
	}
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

	faults_watch(revertfs->handover);
	if (r == 0)
		r = ops_new(revertfs->tree, revertfs->disks, revertfs->handover, &revertfs->ops);
	if (r < 0)
		return report(error, r, "cannot serve '%s': %s", options->images, error_text(r));
	r = connect_to_kernel(revertfs, error);
	if (r < 0)
		return r;
	r = tree_connect(revertfs->tree, channel_fd(revertfs->channel), channel_has_passthrough(revertfs->channel));
	if (r < 0)
		return report(error, r, "cannot start a thread: %s", error_text(r));
	if (adopts)
		tree_restore(revertfs->tree, &revertfs->store);
	return 0;
}

static int start_work(struct revertfs *revertfs, struct sentence *error)
{
	int r = disks_start(revertfs->disks, error);

	qemu_log_box(&revertfs->options);
	if (r < 0)
		return r;
	/* Guests that run through a restart need no new disk, and are not made to wait. */
	r = autoprotect_start(revertfs->disks, !handover_mount(revertfs->handover)->restarts);
	if (r < 0)
		return report(error, r, "'-o protect' cannot be started: %s", error_text(r));
	elsewhere_walk_start(revertfs->disks);
	return 0;
}

/* Until the daemon is to end: 0, or 1 when the mount is left to a successor. */
static int serve(struct revertfs *revertfs, struct sentence *error)
{
	const struct channel_events events = {
		.stop_fd = revertfs->stop_fd,
		.ready = tell_ready,
		.leaves = is_left,
		.ends = warn_openers,
		.context = revertfs,
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

/*
 * Take apart in the opposite order; what was never made is NULL or -1. False when a thread hangs,
 * and may use what is left.
 */
static bool stop(struct revertfs *revertfs)
{
	bool left_behind = tree_left_behind(revertfs->tree);

	/* The end of the connection also ends passthrough, so the tree need not. */
	if (revertfs->tree)
		tree_disconnect(revertfs->tree);
	channel_free(revertfs->channel);
	ops_free(revertfs->ops);
	tree_free(revertfs->tree);
	if (!disks_stop(revertfs->disks) || left_behind)
		return false;
	disks_free(revertfs->disks);
	handover_free(revertfs->handover);
	close_fdp(&revertfs->fuse_fd);
	close_fdp(&revertfs->images_fd);
	close_fdp(&revertfs->stop_fd);
	close_fdp(&revertfs->ready_fd);
	options_free(&revertfs->options);
	return true;
}

/*
 * End as if the daemon were killed here: everything stays as it is, in the handover and in the
 * state directory.
 */
static int leave(void)
{
	fflush(NULL);
	_exit(KEEPER_AGAIN);
}

/* On stderr, where the command was typed; also in the log when nobody may read stderr any more. */
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

/* Fork. True in the child, which goes on; else *ret_status is what to exit with. */
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

/*
 * A start that failed before it served an inherited mount must leave that for the next try, so
 * nothing is taken apart.
 */
static int fail(struct revertfs *revertfs, const struct sentence *error)
{
	int status = complain(error, revertfs->quiet || !revertfs->options.foreground);

	if (handover_mount(revertfs->handover)->restarts && !revertfs->served)
		_exit(status);
	return status;
}

static int be_daemon(struct revertfs *revertfs, bool has_keeper, struct sentence *error)
{
	int r, status;

	fdstore_inherit(&revertfs->store);
	if (inherit(revertfs, error) < 0 || settle_paths(revertfs, error) < 0)
		return complain(error, revertfs->quiet);
	if (!revertfs->options.foreground && !go_into_background(revertfs, error, &status))
		return status;
	if (has_keeper && chdir("/") < 0)
		log_warning("cannot change to '/': %s", error_text(-errno));
	r = prepare_process(revertfs, error);
	if (r == 0)
		r = serve(revertfs, error);
	if (r > 0)
		return leave();
	return r < 0 ? fail(revertfs, error) : EXIT_SUCCESS;
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
	if (options->drop_in)
		return print_and_free(drop_in_text(options));
	if (options->debug)
		setenv("REVERTFS_DEBUG", "all", 0);
	if (options->keeper && !has_keeper)
		return be_keeper(revertfs, argv, &error);
	return be_daemon(revertfs, has_keeper, &error);
}

int main(int argc, char **argv)
{
	struct revertfs revertfs = { .ready_fd = -1, .stop_fd = -1, .images_fd = -1, .left_lock = -1, .fuse_fd = -1 };
	struct sentence error = { "" };
	int status;

	program_expect_children();
	if (options_read(argc, argv, &revertfs.options, &error) < 0)
		status = complain(&error, false);
	else
		status = run(&revertfs, argv);
	if (channel_hangs(revertfs.channel) || !stop(&revertfs)) {
		fflush(NULL);
		_exit(status);
	}
	return status;
}
