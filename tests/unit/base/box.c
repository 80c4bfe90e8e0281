/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program in a box reaches what it was handed, and nothing else; tests/tools/boxed.c is that
 * program.
 */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"
#include "program.h"

static int make_file(const char *name, const char *text, mode_t mode)
{
	int fd = chdir(TEST_DIR) < 0 ? -1 : open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	check(fd >= 0);
	check_int(write(fd, text, strlen(text)), (int)strlen(text));
	return fd;
}

static int run(const char *program, const char *what, const struct box_limits *box, struct sentence *error)
{
	CLEANUP(program_clear)
	struct program run = { .name = program, .title = "it", .hint = "build it", .timeout_s = 60, .box = box };
	CLEANUP(close_fdp) int written = make_file("written", "1", 0600);
	CLEANUP(close_fdp) int reader = -1;
	CLEANUP(freep) char *victim = NULL;
	char here[1024];

	close(make_file("read", "2", 0600));
	reader = open("read", O_RDONLY | O_CLOEXEC);
	check(reader >= 0);
	close(make_file("victim", "#!/bin/sh\nexit 1\n", 0700));
	check(getcwd(here, sizeof(here)) != NULL);
	victim = format_text("%s/victim", here);
	/* Of another owner, as images are. */
	if (geteuid() == 0)
		check_int(fchown(written, 1, 1), 0);
	program_add(&run, "boxed");
	program_add(&run, what);
	program_add(&run, victim);
	program_hand_over(&run, written);
	program_hand_over(&run, reader);
	return program_run(&run, error);
}

static int run_boxed(const char *what, const struct box_limits *box, struct sentence *error)
{
	CLEANUP(freep) char *program = format_text("%s/tools/boxed", getenv("BUILD"));

	return run(program, what, box, error);
}

static const struct box_limits no_limits = { 0 };

/* As an older kernel has it. */
static const struct box_limits landlock_1 = { .landlock = 1 }, landlock_2 = { .landlock = 2 };

static bool has_landlock(void)
{
	if (box_landlock() > 0)
		return true;
	printf("skip what the box denies: this kernel has no Landlock\n");
	return false;
}

TEST(what_was_not_handed_over_is_denied_and_so_are_others_processes_and_the_network)
{
	struct sentence error = { "" };

	if (!has_landlock())
		return;
	run_boxed("denied", &no_limits, &error);
	check_str(error.text, "");
}

TEST(by_an_older_landlock_as_much_is_denied)
{
	struct sentence error = { "" };

	if (!has_landlock())
		return;
	run_boxed("denied", &landlock_2, &error);
	check_str(error.text, "");
	run_boxed("denied", &landlock_1, &error);
	check_str(error.text, "");
	run_boxed("works", &landlock_1, &error);
	check_str(error.text, "");
}

TEST(without_a_box_the_same_program_is_allowed_most_of_it)
{
	struct sentence error = { "" };

	check_int(run_boxed("denied", NULL, &error), -EIO);
	check_contains(error.text, "read what is the system's");
	check_contains(error.text, "open a device");
}

TEST(what_qemu_img_needs_works)
{
	struct sentence error = { "" };

	run_boxed("works", &no_limits, &error);
	check_str(error.text, "");
}

TEST(a_script_has_its_interpreter)
{
	CLEANUP(freep) char *program = format_text("%s/tools/boxed", getenv("BUILD"));
	CLEANUP(freep) char *text = format_text("#! /bin/sh -e\ntest \"$1\" = works\n");
	struct sentence error = { "" };
	CLEANUP(freep) char *interpreter = format_text("#!%s works\n", program);

	close(make_file("script", text, 0700));
	check_int(run("./script", "works", &no_limits, &error), 0);
	/* Of which the system's directories do not have all. */
	close(make_file("script", interpreter, 0700));
	check_int(run("./script", "works", &no_limits, &error), 0);
}

TEST(it_can_end_itself)
{
	struct sentence error = { "" };

	check_int(run_boxed("aborts", &no_limits, &error), -EIO);
	check_contains(error.text, "was killed by signal 6");
}

TEST(what_it_leaves_behind_ends_with_it_and_so_do_its_locks)
{
	CLEANUP(freep) char *name = format_text("%s/tools/boxed", getenv("BUILD"));
	CLEANUP(program_clear)
	struct program run = { .name = name, .title = "it", .hint = "", .timeout_s = 60, .box = &no_limits };
	struct sentence error = { "" };
	int ends[2];

	check_int(pipe2(ends, O_CLOEXEC), 0);
	run.lock_fds[0] = ends[1];
	program_add(&run, "boxed");
	program_add(&run, "leaves");
	check_int(program_run(&run, &error), 0);
	close(ends[1]);
	check_int(poll(&(struct pollfd){ .fd = ends[0] }, 1, 20000), 1);
	close(ends[0]);
}

TEST(it_is_no_less_likely_to_be_killed_for_memory_than_others)
{
	CLEANUP(program_clear) struct program run = { .name = "/bin/sh", .title = "it", .hint = "", .timeout_s = 60 };
	CLEANUP(close_fdp) int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	struct sentence error = { "" };
	/* As in the daemon's unit; where even root may not do that, what is above 0 stays. */
	bool is_protected = write(fd, "-900", 4) == 4;

	check(is_protected || write(fd, "500", 3) == 3);
	program_add(&run, "sh");
	program_add(&run, "-c");
	program_add(&run, "cat /proc/self/oom_score_adj");
	check_int(program_run(&run, &error), 0);
	check_int(write(fd, "0", 1), 1);
	check_str(run.output, is_protected ? "0\n" : "500\n");
}

TEST(memory_and_processor_time_are_limited)
{
	struct sentence error = { "" };

	check_int(run_boxed("eats", &(struct box_limits){ .memory = 512 << 20 }, &error), 0);
	check_int(run_boxed("eats", &(struct box_limits){ .memory = 128 << 20 }, &error), -EIO);
	check_contains(error.text, "memory");
	check_int(run_boxed("spins", &(struct box_limits){ .cpu_s = 1 }, &error), -EIO);
	check_contains(error.text, "used more than 1 s of processor time and was killed");
}

TEST(what_a_discreet_program_says_is_in_no_sentence)
{
	CLEANUP(program_clear)
	struct program run = { .name = "/bin/sh", .title = "it", .hint = "", .timeout_s = 60, .discreet = true };
	struct sentence error = { "" };

	program_add(&run, "sh");
	program_add(&run, "-c");
	program_add(&run, "echo /root/secret: No space left on device >&2; exit 1");
	check_int(program_run(&run, &error), -ENOSPC);
	check_str(error.text, "it failed: No space left on device (the log has what it said)");
}
