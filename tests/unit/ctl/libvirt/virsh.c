/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virsh is given its words as they are, in no language, is not waited for without end, and what it
 * complains of is a sentence. A script stands in for it.
 */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "virsh.h"

/* PATH leads to this virsh first, which writes its process id to the file `pid`. */
static void virsh_is(const char *script)
{
	CLEANUP(freep) char *path = format_text("%s:/usr/bin:/bin", TEST_DIR);
	CLEANUP(freep) char *text = format_text("#!/bin/sh\necho $$ >pid\n%s\n", script);
	CLEANUP(close_fdp) int fd = -1;

	check_int(chdir(TEST_DIR), 0);
	fd = open("virsh", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	check(fd >= 0);
	check_int(write_all(fd, text, strlen(text)), 0);
	check_int(setenv("PATH", path, 1), 0);
}

static char *output_of(const struct virsh *virsh, const char *const *words)
{
	struct sentence error = { "" };
	char *output = NULL;

	check_int(virsh_run(virsh, words, &output, &error), 0);
	return output;
}

TEST(words_are_handed_over_as_they_are)
{
	const char *words[] = { "suspend", "--domain", "a 'b' $(c); \"d\"\\", NULL };
	struct virsh plain = { 0 }, connected = { .uri = "test:///x y" };
	CLEANUP(freep) char *output = NULL, *also = NULL;

	virsh_is("printf '[%s]' \"$@\"");
	output = output_of(&plain, words);
	check_str(output, "[-q][suspend][--domain][a 'b' $(c); \"d\"\\]");
	also = output_of(&connected, words);
	check_str(also, "[-q][-c][test:///x y][suspend][--domain][a 'b' $(c); \"d\"\\]");
}

TEST(it_has_its_callers_environment_but_no_language)
{
	const char *words[] = { "x", NULL };
	struct virsh virsh = { 0 };
	CLEANUP(freep) char *output = NULL;

	setenv("LC_ALL", "de_DE.UTF-8", 1);
	setenv("LIBVIRT_DEFAULT_URI", "qemu:///session", 1);
	virsh_is("printf '%s' \"$LC_ALL $LIBVIRT_DEFAULT_URI\"");
	output = output_of(&virsh, words);
	check_str(output, "C qemu:///session");
}

TEST(a_state_is_one_line)
{
	struct virsh virsh = { 0 };
	struct sentence error = { "" };
	CLEANUP(freep) char *state = NULL;

	virsh_is("printf 'shut off\\n\\n'");
	check_int(virsh_domain_state(&virsh, "web1", &state, &error), 0);
	check_str(state, "shut off");
}

TEST(a_definition_is_read_from_a_file)
{
	struct virsh virsh = { 0 };
	struct sentence error = { "" };
	CLEANUP(freep) char *text = NULL;
	CLEANUP(close_fdp) int fd = -1;

	virsh_is("shift; [ \"$1 $2\" = 'define --file' ] && cat \"$3\" >defined");
	check_int(virsh_define(&virsh, "<domain type='kvm'/>", &error), 0);
	fd = open("defined", O_RDONLY | O_CLOEXEC);
	check_int(read_all(fd, 1000, &text, NULL), 0);
	check_str(text, "<domain type='kvm'/>");
}

TEST(a_refusal_is_one_sentence)
{
	struct virsh virsh = { 0 };
	struct sentence error = { "" };

	virsh_is("printf 'error: no\\nerror: domain is not running\\n' >&2; exit 1");
	check_int(virsh_domain_do(&virsh, "suspend", "web1", &error), -EIO);
	check_str(error.text, "virsh suspend failed: error: no error: domain is not running");
}

TEST(without_it_the_sentence_says_what_to_install)
{
	struct virsh virsh = { 0 };
	struct sentence error = { "" };

	unlink("virsh");
	setenv("PATH", "/nowhere", 1);
	check_int(virsh_domain_do(&virsh, "suspend", "web1", &error), -ENOENT);
	check_str(error.text, "'virsh' is not there; install libvirt-clients");
}

static bool is_alive(void)
{
	CLEANUP(close_fdp) int fd = open("pid", O_RDONLY | O_CLOEXEC);
	CLEANUP(freep) char *text = NULL;

	check_int(read_all(fd, 100, &text, NULL), 0);
	return kill(atoi(text), 0) == 0;
}

/* One that is busy makes progress: only the deadline ends it. */
TEST(one_that_is_late_is_killed)
{
	struct virsh virsh = { .timeout_s = 1 };
	struct sentence error = { "" };

	virsh_is("while :; do :; done");
	check_int(virsh_domain_do(&virsh, "suspend", "web1", &error), -ETIMEDOUT);
	check_str(error.text, "virsh suspend did not end within 1 s and was killed");
	check(!is_alive());
}
