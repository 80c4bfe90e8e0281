/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the administrator chose, from the command line and the JSON configuration.
 *
 * main.c fills it before any thread runs, and no thread changes it, so every thread may read it
 * without a lock.
 */
#ifndef REVERTFS_CONFIG_OPTIONS_H
#define REVERTFS_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util.h"

enum passthrough_mode { PASSTHROUGH_AUTO, PASSTHROUGH_NO, PASSTHROUGH_REQUIRE };

struct text_list {
	char **items;
	size_t count;
};

/* A share of each filesystem: disk/reserve.c says which. */
#define RESERVE_BY_DEFAULT UINT64_MAX

#define LOCKS_MAX 3

struct options {
	char *images;                 /* IMAGES, absolute and free of symlinks */
	char *mount;                  /* MOUNTPOINT, absolute and free of symlinks */
	char *state;                  /* layers, scratches, records */
	char *scratch;                /* another directory for scratches alone, or NULL */
	char *config;                 /* the JSON file; NULL when there is none */
	char *qemu_img;               /* the program, found in PATH unless it has a slash */
	char *template_options;       /* `qemu-img create -o` of a scratch; NULL: as qemu/blank_options.h chooses */
	bool renew_blanks;            /* those with subclusters are made anew; as qemu/blank_options.h chooses */
	struct text_list protect;     /* globs of names to protect at start */
	struct text_list export_dirs; /* where callers other than root may export to */
	gid_t group;                  /* may use the control file; 0 when only root may */
	uint64_t reserve;             /* bytes that folds and copies leave free, or RESERVE_BY_DEFAULT; 0: none */
	mode_t status_mode;           /* of what names disks and domains: the status, directories of views */
	unsigned max_jobs;            /* folds at the same time, and as many exports and full clones */
	unsigned max_layers;          /* unfolded layers of a disk, from which on its commits warn */
	unsigned reader_patience;     /* seconds that a fold waits for onlookers (onlookers.h) */
	unsigned qemu_timeout;        /* seconds a qemu-img may go without any progress */
	enum passthrough_mode passthrough;
	bool keeper;          /* without systemd: have a process that starts a new daemon where one ends unasked */
	bool unboxed;         /* qemu-img runs with all rights of the daemon (base/box.h) */
	bool images_are_mine; /* no other host uses the images, whatever filesystem they lie on */
	bool foreground;
	bool debug;

	unsigned long mount_flags;     /* MS_RDONLY and the like, as mount(2) takes them */
	char *mount_data;              /* SELinux contexts, as mount(2) takes them; NULL: none */
	struct text_list fuse_options; /* all other options, for libfuse to know or to refuse */
	const char *run; /* root's directory for the locks of images directories; nobody chooses it, but a unit test */
	/* Locks on state and images, which each qemu-img inherits; of disks_new(); 0: none. */
	int lock_fds[LOCKS_MAX];
	bool help;    /* -h: print options_help() and end */
	bool version; /* -V: print the version and end */
	bool drop_in; /* --drop-in: print that (drop_in.h) and end */
};

/*
 * Read the command line, then the configuration for what the command line leaves open, then the
 * defaults. Paths stay as they were written: paths.c makes them absolute. On failure -EINVAL, or
 * what reading the configuration failed with, and a sentence.
 */
int options_read(int argc, char **argv, struct options *ret_options, struct sentence *error);
void options_free(struct options *options); /* also after options_read() has failed */

/* What `revertfs -h` prints; the caller frees. NULL when out of memory. */
char *options_help(void);

#endif
