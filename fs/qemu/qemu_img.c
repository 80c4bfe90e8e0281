/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One function for each subcommand of qemu-img that is used; qemu_run.c runs it.
 */
#include "qemu_img.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "json.h"

_Static_assert(LOCKS_MAX == PROGRAM_LOCKS_MAX, "each qemu-img inherits all locks");

#define ONLY_FILE "/proc/self/fd/3" /* PROGRAM_FIRST_FD */
#define QEMU_CHAIN_MAX 256
#define VERSION_DEADLINE_S 5
#define CHECK_FOUND_LEAKS 3 /* exit status of qemu-img check: leaked clusters and nothing else */

static struct program new_run(const struct options *options, const char *title)
{
	struct program run = {
		.name = options->qemu_img,
		.title = title,
		.hint = "install qemu-utils, or set qemu-img=",
		.timeout_s = options->qemu_timeout,
		.discreet = true,
	};

	memcpy(run.lock_fds, options->lock_fds, sizeof(run.lock_fds));
	program_add(&run, "qemu-img");
	program_add(&run, strchr(title, ' ') + 1);
	return run;
}

/*
 * An enemy's tables may lie on one another, and what only looks at them do so as often as each is
 * named, for hours. Those of other files grow with the file, and take far less than this.
 */
static unsigned look_cpu_s(const struct options *options, const struct qemu_node *chain, size_t length)
{
	uint64_t bytes = 0;
	struct stat stat;

	for (size_t i = 0; i < length; i++)
		if (fstat(chain[i].fd, &stat) == 0)
			bytes += (uint64_t)stat.st_blocks * 512;
	return options->qemu_timeout + (unsigned)(bytes >> 30);
}

int qemu_img_version(const struct options *options, unsigned *ret_major, unsigned *ret_minor, struct sentence *error)
{
	CLEANUP(program_clear) struct program run = new_run(options, "qemu-img --version");
	int r;

	run.deadline_s = VERSION_DEADLINE_S;
	r = qemu_run(options, &run, NULL, 0, NULL, options->qemu_timeout, error);
	if (r < 0)
		return r;
	if (sscanf(run.output ? run.output : "", "qemu-img version %u.%u", ret_major, ret_minor) != 2)
		return report(error, -EBADMSG, "qemu-img --version gave no version");
	return 0;
}

int qemu_img_create(const struct options *options, int fd, const char *backing, const char *backing_format,
		    uint64_t virtual_size, struct sentence *error)
{
	CLEANUP(program_clear) struct program run = new_run(options, "qemu-img create");
	const struct qemu_node made = { .fd = fd, .format = "qcow2" };
	char size[32];

	snprintf(size, sizeof(size), "%llu", (unsigned long long)virtual_size);
	program_hand_over(&run, fd);
	program_add(&run, "-q");
	program_add(&run, "-u");
	program_add(&run, "-f");
	program_add(&run, "qcow2");
	if (options->template_options && options->template_options[0]) {
		program_add(&run, "-o");
		program_add(&run, options->template_options);
	}
	program_add(&run, "-b");
	program_add(&run, backing);
	program_add(&run, "-F");
	program_add(&run, backing_format);
	program_add(&run, ONLY_FILE);
	program_add(&run, size);
	return qemu_run(options, &run, NULL, 0, &made, options->qemu_timeout, error);
}

/*
 * Hand a chain over and describe it, so that no header decides which files are opened:
 * {"driver":"qcow2","file":{"driver":"file","filename":"/proc/self/fd/3"},"backing":{...}}. The
 * caller frees the text.
 */
static int add_chain(struct program *run, const struct qemu_node *chain, size_t length, char **ret_text,
		     struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *below = NULL;

	if (length > QEMU_CHAIN_MAX)
		return report(error, -E2BIG, "a chain of %zu layers is too long for qemu-img", length);
	for (size_t i = length; i-- > 0;) {
		struct json_object *node = json_object_new_object();
		struct json_object *file = json_object_new_object();
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", program_hand_over(run, chain[i].fd));
		json_set_string(file, "driver", "file");
		json_set_string(file, "filename", path);
		json_set_string(node, "driver", chain[i].format);
		json_object_object_add(node, "file", file);
		if (strcmp(chain[i].format, "raw") != 0)
			json_object_object_add(node, "backing", below);
		below = node;
	}
	*ret_text = format_text("json:%s", json_object_to_json_string_ext(
						   below, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	return *ret_text ? 0 : report(error, -ENOMEM, "out of memory");
}

int qemu_img_commit(const struct options *options, const struct qemu_node *chain, size_t length,
		    const struct program_watch *watch, struct sentence *error)
{
	CLEANUP(program_clear) struct program run = new_run(options, "qemu-img commit");
	CLEANUP(freep) char *image = NULL;
	int r = add_chain(&run, chain, length, &image, error);

	if (r < 0)
		return r;
	run.watch = watch;
	run.background = true;
	program_add(&run, "-d");
	program_add(&run, "-p");
	program_add(&run, image);
	return qemu_run(options, &run, chain, length, NULL, 0, error);
}

int qemu_img_convert(const struct options *options, const struct qemu_node *chain, size_t length, int fd,
		     const struct qemu_conversion *conversion, const struct program_watch *watch,
		     struct sentence *error)
{
	CLEANUP(program_clear) struct program run = new_run(options, "qemu-img convert");
	CLEANUP(freep) char *image = NULL;
	const struct qemu_node made = { .fd = fd, .format = conversion->format };
	char target[64], rate[32];
	int r = add_chain(&run, chain, length, &image, error);

	if (r < 0)
		return r;
	run.watch = watch;
	run.background = true;
	snprintf(target, sizeof(target), "/proc/self/fd/%d", program_hand_over(&run, fd));
	program_add(&run, "-p");
	program_add(&run, "-O");
	program_add(&run, conversion->format);
	if (conversion->compress)
		program_add(&run, "-c");
	if (conversion->rate) {
		snprintf(rate, sizeof(rate), "%llu", (unsigned long long)conversion->rate);
		program_add(&run, "-r");
		program_add(&run, rate);
	}
	program_add(&run, image);
	program_add(&run, target);
	return qemu_run(options, &run, chain, length, &made, 0, error);
}

int qemu_img_measure(const struct options *options, const struct qemu_node *chain, size_t length, const char *format,
		     uint64_t *ret_bytes, struct sentence *error)
{
	CLEANUP(program_clear) struct program run = new_run(options, "qemu-img measure");
	CLEANUP(json_putp) struct json_object *root = NULL;
	CLEANUP(freep) char *image = NULL;
	int r = add_chain(&run, chain, length, &image, error);

	if (r < 0)
		return r;
	program_add(&run, "--output=json");
	program_add(&run, "-O");
	program_add(&run, format);
	program_add(&run, image);
	r = qemu_run(options, &run, chain, length, NULL, look_cpu_s(options, chain, length), error);
	if (r == 0)
		r = json_parse(run.output ? run.output : "", run.output_length, &root, error);
	if (r == 0 && json_get_u64(root, "required", ret_bytes) <= 0)
		r = report(error, -EBADMSG, "qemu-img measure gave no size");
	return r;
}

int qemu_img_check(const struct options *options, int fd, struct sentence *error)
{
	CLEANUP(program_clear) struct program run = new_run(options, "qemu-img check");
	const struct qemu_node alone = { .fd = fd, .format = "qcow2" };
	CLEANUP(freep) char *image = NULL;
	int r = add_chain(&run, &alone, 1, &image, error);

	if (r < 0)
		return r;
	run.also_fine = CHECK_FOUND_LEAKS;
	program_add(&run, "-q");
	program_add(&run, image);
	return qemu_run(options, &run, &alone, 1, NULL, look_cpu_s(options, &alone, 1), error);
}

/* What changes the file of chain[0] alone, with the arguments that the caller has added. */
static int change(const struct options *options, struct program *run, const struct qemu_node *chain, size_t length,
		  const struct program_watch *watch, struct sentence *error)
{
	CLEANUP(freep) char *image = NULL;
	int r = add_chain(run, chain, length, &image, error);

	if (r < 0)
		return r;
	run->watch = watch;
	run->background = true;
	program_add(run, image);
	return qemu_run(options, run, chain, length, NULL, look_cpu_s(options, chain, 1), error);
}

int qemu_img_modernize(const struct options *options, const struct qemu_node *chain, size_t length,
		       const struct program_watch *watch, struct sentence *error)
{
	CLEANUP(program_clear) struct program run = new_run(options, "qemu-img amend");

	program_add(&run, "-q");
	program_add(&run, "-o");
	program_add(&run, "compat=1.1");
	return change(options, &run, chain, length, watch, error);
}

int qemu_img_repair(const struct options *options, const struct qemu_node *chain, size_t length, const char *what,
		    const struct program_watch *watch, struct sentence *error)
{
	CLEANUP(program_clear) struct program run = new_run(options, "qemu-img check");

	program_add(&run, "-q");
	program_add(&run, "-r");
	program_add(&run, what);
	return change(options, &run, chain, length, watch, error);
}

int qemu_img_rebase(const struct options *options, int fd, const char *backing, const char *backing_format,
		    struct sentence *error)
{
	CLEANUP(program_clear) struct program run = new_run(options, "qemu-img rebase");
	const struct qemu_node alone = { .fd = fd, .format = "qcow2" };

	program_hand_over(&run, fd);
	program_add(&run, "-q");
	program_add(&run, "-u");
	program_add(&run, "-f");
	program_add(&run, "qcow2");
	program_add(&run, "-b");
	program_add(&run, backing);
	program_add(&run, "-F");
	program_add(&run, backing_format);
	program_add(&run, ONLY_FILE);
	return qemu_run(options, &run, &alone, 1, NULL, options->qemu_timeout, error);
}
