/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks without a kernel: those of a directory, written and read by qemu-io on the scratch's own
 * file. model_world.h lets tests call the verbs of fs/disk, control_lines.h writes control lines
 * and reads the status, daemon_world.h has what only a daemon does.
 *
 * No mount is there, so that what headers name is made of symlinks: MOUNT/.revertfs/images is the
 * images directory, and MOUNT/.revertfs/layers leads to each layer's file, or image. A world is
 * a directory of its own, which stays when its test fails.
 *
 * Content is counted in blocks of 4 KiB, each filled with one byte.
 */
#ifndef WORLD_H
#define WORLD_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk.h"
#include "io.h"
#include "model.h"
#include "record.h"
#include "state_directory.h"
#include "table.h"
#include "test.h"

#define BLOCK 4096
#define BLOCKS 256 /* of an image: 1 MiB */
#define UUID1 "0f7f9e1c-2d6b-4c1e-9a53-6f1b0c7d8e90"
#define UUID2 "11111111-2d6b-4c1e-9a53-6f1b0c7d8e90"

struct world {
	struct options options;
	char *top, *run;
	int images_fd;
	struct handover *handover;
	struct disks *disks; /* NULL while nothing serves them */
};

static struct world *world; /* the one of the test that runs */

/* A path in the world's directory; good until some more are made. */
__attribute__((format(printf, 1, 2), unused)) static const char *in_world(const char *format, ...)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 8];
	int n = snprintf(path, PATH_MAX, "%s/", world->top);
	va_list args;

	va_start(args, format);
	vsnprintf(path + n, (size_t)(PATH_MAX - n), format, args);
	va_end(args);
	return path;
}

__attribute__((format(printf, 1, 2), unused)) static int shell(const char *format, ...)
{
	char *command = NULL;
	va_list args;
	int status;

	va_start(args, format);
	if (vasprintf(&command, format, args) < 0)
		abort();
	va_end(args);
	status = system(command);
	free(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int remove_entry(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
	(void)stat, (void)flag, (void)ftw;
	return remove(path);
}

/* The options as the daemon has them, defaults included. */
static void read_options(void)
{
	char *arguments[] = { (char *)"revertfs",
			      (char *)"-o",
			      format_text("state=%s,config=%s", in_world("state"), in_world("config")),
			      strdup(in_world("images")),
			      strdup(in_world("mount")),
			      NULL };
	int fd = open(in_world("config"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct sentence error;

	if (write_all(fd, "{}", 2) < 0 || options_read(5, arguments, &world->options, &error) < 0)
		abort();
	close(fd);
	for (size_t i = 2; i < 5; i++)
		free(arguments[i]);
}

/* images/, mount/ and no state/ yet. */
static void world_make(void)
{
	static int number;

	world = calloc(1, sizeof(*world));
	if (!world || asprintf(&world->top, "%s/world%d", TEST_DIR, ++number) < 0 ||
	    asprintf(&world->run, "%s/run", world->top) < 0)
		abort();
	nftw(world->top, remove_entry, 20, FTW_DEPTH | FTW_PHYS);
	mkdir(world->top, 0755);
	read_options();
	world->options.run = world->run;
	mkdir(world->options.images, 0755);
	mkdir(world->options.mount, 0755);
	mkdir(in_world("mount/.revertfs"), 0755);
	mkdir(in_world("mount/.revertfs/layers"), 0755);
	if (symlink(world->options.images, in_world("mount/.revertfs/images")) < 0)
		abort();
	world->images_fd = open(world->options.images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (handover_new(&world->handover) < 0)
		abort();
}

__attribute__((unused)) static void world_remove(void)
{
	close(world->images_fd);
	handover_free(world->handover);
	nftw(world->top, remove_entry, 20, FTW_DEPTH | FTW_PHYS);
	options_free(&world->options);
	free(world->top);
	free(world->run);
	free(world);
	world = NULL;
}

/* Serve no disk yet, over an empty state directory: nothing is loaded, no thread is started. */
__attribute__((unused)) static void world_open(void)
{
	struct sentence error = { "" };

	if (model_new(&world->options, world->images_fd, world->handover, &world->disks, &error) != 0 ||
	    model_open_directories(world->disks, &error) != 0)
		test_fail(__FILE__, __LINE__, "the state directory: %s", error.text);
}

/* ---- content */

__attribute__((unused)) static void make_raw(const char *name, int pattern)
{
	char block[BLOCK];
	int fd;

	for (char *p = strchr(name, '/'); p; p = strchr(p + 1, '/'))
		mkdir(in_world("images/%.*s", (int)(p - name), name), 0755);
	fd = open(in_world("images/%s", name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	memset(block, pattern, sizeof(block));
	check(fd >= 0);
	for (int i = 0; i < BLOCKS; i++)
		check_int(pwrite_all(fd, block, sizeof(block), (off_t)i * BLOCK), 0);
	close(fd);
}

__attribute__((unused)) static void make_qcow2(const char *name, int pattern)
{
	check_int(shell("qemu-img create -q -f qcow2 '%s' 1M && qemu-io -f qcow2 -c 'write -q -P %d 0 1M' '%s' >&2",
			in_world("images/%s", name), pattern, in_world("images/%s", name)),
		  0);
}

static void link_layer(const struct layer_record *record)
{
	char *path = format_text("%s/.revertfs/layers/%s%s", world->options.mount, record->id,
				 record->image ? ".backing_file.img" : ".qcow2");
	char *file = record->image ? format_text("%s/%s", world->options.images, record->image)
				   : strdup(in_world("state/layers/%s.qcow2", record->id));

	if (symlink(file, path) < 0)
		check(errno == EEXIST);
	free(path);
	free(file);
}

static void link_layers(void)
{
	DIR *layers = opendir(in_world("state/layers"));
	struct dirent *entry;

	while (layers && (entry = readdir(layers))) {
		struct layer_record record = { 0 };

		if (strstr(entry->d_name, ".json") && record_load_layer(dirfd(layers), entry->d_name, &record) == 0)
			link_layer(&record);
		record_clear_layer(&record);
	}
	closedir(layers);
}

static const char *scratch_path(const char *name)
{
	char *directory = disk_directory_name(name);
	const char *path = in_world("state/disks/%s/scratch.qcow2", directory);

	free(directory);
	return path;
}

static int qemu_io(const char *file, const char *format, const char *io_command)
{
	link_layers();
	return shell("qemu-io %s -f %s -c '%s' '%s' >'%s' 2>&1 && ! grep -q 'verification failed\\|rror' '%s'",
		     io_command[0] == 'r' ? "-U -r" : "", format, io_command, file, in_world("io.out"),
		     in_world("io.out"));
}

/* A guest's descriptor: with the scratch that was open. */
__attribute__((unused)) static struct scratch *open_scratch(const char *name, bool writer)
{
	struct disk *disk = disks_find(world->disks, name);
	struct scratch *scratch = disk ? disk_scratch(disk) : NULL;
	int r = scratch ? scratch_open(scratch, writer) : -EIO;

	disk_put(disk);
	check_int(r, 0);
	return scratch;
}

__attribute__((unused)) static void close_scratch(struct scratch *scratch, bool writer)
{
	scratch_close(scratch, writer);
	scratch_put(scratch);
}

__attribute__((unused)) static void guest_write(const char *name, int first, int count, int pattern)
{
	struct scratch *scratch = open_scratch(name, true);
	const char *path = scratch_path(name);
	char io_command[128];

	scratch_mark_written(scratch);
	snprintf(io_command, sizeof(io_command), "write -q -P %d %d %d", pattern, first * BLOCK, count * BLOCK);
	check_int(qemu_io(path, "qcow2", io_command), 0);
	close_scratch(scratch, true);
}

__attribute__((unused)) static bool file_reads(const char *path, const char *format, int first, int count, int pattern)
{
	char io_command[128];

	snprintf(io_command, sizeof(io_command), "read -q -P %d %d %d", pattern, first * BLOCK, count * BLOCK);
	return qemu_io(path, format, io_command) == 0;
}

__attribute__((unused)) static bool disk_reads(const char *name, int first, int count, int pattern)
{
	return file_reads(scratch_path(name), "qcow2", first, count, pattern);
}

#define check_reads(name, first, count, pattern) \
	(disk_reads(name, first, count, pattern) \
		 ? (void)0                       \
		 : test_fail(__FILE__, __LINE__, "%s does not read %d at %d", name, pattern, first))

__attribute__((unused)) static bool image_reads(const char *name, int first, int count, int pattern)
{
	char block[BLOCK];
	int fd = open(in_world("images/%s", name), O_RDONLY | O_CLOEXEC);
	bool is_so = fd >= 0;

	for (int i = first; i < first + count && is_so; i++) {
		is_so = pread_all(fd, block, sizeof(block), (off_t)i * BLOCK) == 0;
		for (int k = 0; k < BLOCK && is_so; k++)
			is_so = block[k] == (char)pattern;
	}
	close(fd);
	return is_so;
}

/* Nothing lies in a directory of the state but what has this suffix. */
__attribute__((unused)) static int count_files(const char *directory, const char *suffix)
{
	DIR *stream = opendir(in_world("%s", directory));
	struct dirent *entry;
	int n = 0;

	while (stream && (entry = readdir(stream))) {
		size_t length = strlen(entry->d_name), tail = strlen(suffix);

		n += entry->d_name[0] != '.' && length >= tail && strcmp(entry->d_name + length - tail, suffix) == 0;
	}
	if (stream)
		closedir(stream);
	return n;
}

#endif
