/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * revertfs-hook: what libvirt calls when a domain starts or ends, as
 * /etc/libvirt/hooks/qemu.d/revertfs.
 *
 * libvirt holds the domain's lock and waits, without a limit, for the end of this process and of
 * every process that has its stdout and stderr. So a call of libvirt from here would wait for ever.
 * stdout stays empty, since what stands there replaces the domain's XML at `restore` (act.c does so
 * in one case); stderr holds one sentence, which `virsh start` shows when the exit status is not 0.
 * libvirt kills a running guest whose `reconnect` hook fails: for an event that is not in the table
 * the hook exits with 0, and does not even read stdin.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "act.h"
#include "domain_file.h"
#include "hooklog.h"
#include "program.h"
#include "shown.h"

#define EVENT_ARGUMENTS 4

static const struct action {
	const char *op, *sub_op;
	int (*run)(const struct settings *settings, struct event *event, struct sentence *error);
	bool veto; /* a failure stops what libvirt is about to do */
} actions[] = {
	{ "prepare", "begin", act_prepare, true },
	{ "restore", "begin", act_restore, true },
	{ "migrate", "begin", act_migrate, true },
	{ "release", "end", act_release, false },
};

static const char usage[] = "Usage: revertfs-hook [OPTION...] DOMAIN OPERATION SUB-OPERATION EXTRA < domain.xml\n"
			    "libvirt calls it, as /etc/libvirt/hooks/qemu.d/revertfs, when a domain starts or ends.\n"
			    "\n"
			    "  --config-dir=DIR       where DOMAIN.json is (" DOMAIN_FILES ")\n"
			    "  --log=FILE             the hook's log (/var/log/libvirt/qemu/hooks.log)\n"
			    "  --save-dir=DIR         libvirt's managed saves (/var/lib/libvirt/qemu/save)\n"
			    "  --libvirt-log-dir=DIR  the domains' logs (/var/log/libvirt/qemu)\n"
			    "  --storage-dir=DIR      definitions of storage pools, instead of libvirt's own\n"
			    "  --mountinfo=FILE       the list of mounts (/proc/self/mountinfo)\n"
			    "  --deadline=SECONDS     how long a daemon may take to answer (30)\n"
			    "  --help                 this text\n";

static const struct settings defaults = {
	.config_dir = DOMAIN_FILES,
	.log = "/var/log/libvirt/qemu/hooks.log",
	.save_dir = "/var/lib/libvirt/qemu/save",
	.libvirt_log_dir = "/var/log/libvirt/qemu",
	.storage_dirs = { "/run/libvirt/storage", "/etc/libvirt/storage" },
	.mountinfo = "/proc/self/mountinfo",
	.deadline_s = 30,
};

static const struct option long_options[] = {
	{ "config-dir", required_argument, NULL, 'c' },
	{ "log", required_argument, NULL, 'l' },
	{ "save-dir", required_argument, NULL, 's' },
	{ "libvirt-log-dir", required_argument, NULL, 'L' },
	{ "storage-dir", required_argument, NULL, 'p' },
	{ "mountinfo", required_argument, NULL, 'm' },
	{ "deadline", required_argument, NULL, 'd' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int set_deadline(struct settings *settings, const char *text)
{
	uint64_t seconds;

	if (parse_size(text, &seconds) < 0 || seconds == 0 || seconds > 3600)
		return -EINVAL;
	settings->deadline_s = (unsigned)seconds;
	return 0;
}

static int set_option(struct settings *settings, int option, const char *value)
{
	switch (option) {
	case 'c':
		settings->config_dir = value;
		return 0;
	case 'l':
		settings->log = value;
		return 0;
	case 's':
		settings->save_dir = value;
		return 0;
	case 'L':
		settings->libvirt_log_dir = value;
		return 0;
	case 'p':
		settings->storage_dirs[0] = value;
		settings->storage_dirs[1] = NULL;
		return 0;
	case 'm':
		settings->mountinfo = value;
		return 0;
	case 'd':
		return set_deadline(settings, value);
	default:
		return -EINVAL;
	}
}

/*
 * Four arguments are an event, whatever they look like: libvirt passes names as they are, and a
 * domain may be called "--help". Returns the index of the domain, 0 when help was asked for, or
 * -EINVAL.
 */
static int parse_arguments(int argc, char **argv, struct settings *settings)
{
	int option;

	if (argc == 1 + EVENT_ARGUMENTS)
		return 1;
	while ((option = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		if (option == 'h')
			return 0;
		if (set_option(settings, option, optarg) < 0)
			return -EINVAL;
	}
	return argc - optind >= EVENT_ARGUMENTS ? optind : -EINVAL;
}

static const struct action *find_action(const char *op, const char *sub_op)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (strcmp(actions[i].op, op) == 0 && strcmp(actions[i].sub_op, sub_op) == 0)
			return &actions[i];
	return NULL;
}

static void say(const char *sentence)
{
	char shown[sizeof(struct sentence)];

	shown_text(sentence, shown, sizeof(shown));
	fprintf(stderr, "revertfs: %s\n", shown);
}

static int run(const struct settings *settings, char **arguments)
{
	const struct action *action = find_action(arguments[1], arguments[2]);
	struct sentence error = { "" };
	struct event event;

	if (!action)
		return EXIT_SUCCESS;
	event_new(arguments[0], arguments[3], &event);
	if (action->run(settings, &event, &error) == 0)
		return EXIT_SUCCESS;
	if (action->veto)
		hooklog(settings->log, event.shown, "%s refused: %s", action->op, error.text);
	say(error.text);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct settings settings = defaults;
	int first = parse_arguments(argc, argv, &settings);

	program_expect_children();
	if (first < 0) {
		fputs(usage, stderr);
		return 2;
	}
	if (first == 0) {
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	/* Where nobody reads stderr any more, the hook must not end in the middle. */
	signal(SIGPIPE, SIG_IGN);
	return run(&settings, argv + first);
}
