/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line and the configuration: what is read, what wins, what is refused in which words.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "options.h"

#define ARGUMENTS_MAX 16

/* Words of a command line, without the program's name. */
static int read_words(struct options *options, struct sentence *error, const char *const *words)
{
	char *arguments[ARGUMENTS_MAX] = { (char *)"revertfs" };
	int count = 1, r;

	for (; *words; words++)
		arguments[count++] = strdup(*words);
	*error = (struct sentence){ "" };
	r = options_read(count, arguments, options, error);
	while (--count > 0)
		free(arguments[count]);
	return r;
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static struct options good(const char *const *words)
{
	struct sentence error;
	struct options options;

	if (read_words(&options, &error, words) < 0)
		test_fail(__FILE__, __LINE__, "%s", error.text);
	return options;
}

static void bad(const char *const *words, const char *sentence)
{
	struct sentence error;
	struct options options;

	check(read_words(&options, &error, words) < 0);
	check_contains(error.text, sentence);
	options_free(&options);
}

static const char *config(const char *text)
{
	static char option[512];
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/config.json", TEST_DIR);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	check(fd >= 0);
	check_int(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	snprintf(option, sizeof(option), "config=%s", path);
	return option;
}

TEST(defaults_are_those_of_the_manual)
{
	struct options options = good(WORDS("-o", config("{}"), "/i", "/m"));

	check_str(options.images, "/i");
	check_str(options.mount, "/m");
	check_str(options.state, "/var/lib/revertfs");
	check_str(options.qemu_img, "qemu-img");
	check_str(options.template_options, NULL);
	check(!options.scratch && !options.protect.count && !options.export_dirs.count);
	check_int(options.group, 0);
	check_int(options.max_jobs, 2);
	check_int(options.qemu_timeout, 60);
	check(options.reserve == RESERVE_BY_DEFAULT);
	check(!options.foreground && !options.debug);
	options_free(&options);
}

TEST(options_stand_before_between_or_behind_the_places)
{
	struct options options = good(WORDS("-f", "/i", "-ostate=/s,max-jobs=7", "/m", "-o", "qemu-timeout=9"));

	check_str(options.images, "/i");
	check_str(options.mount, "/m");
	check_str(options.state, "/s");
	check_int(options.max_jobs, 7);
	check_int(options.qemu_timeout, 9);
	check(options.foreground);
	options_free(&options);
}

TEST(a_reserve_is_a_size_or_nothing)
{
	struct options options = good(WORDS("-o", "reserve=3G", "/i", "/m"));

	check(options.reserve == 3ULL << 30);
	options_free(&options);
	options = good(WORDS("-o", "reserve=0", "/i", "/m"));
	check(options.reserve == 0);
	options_free(&options);
	options = good(WORDS("-o", config("{\"reserve\": \"512M\"}"), "/i", "/m"));
	check(options.reserve == 512ULL << 20);
	options_free(&options);
}

TEST(an_escaped_comma_belongs_to_the_value)
{
	struct options options = good(WORDS("-o", "state=/a\\,b,template=x=1\\,y=2,qemu-img=/q\\\\r", "/i", "/m"));

	check_str(options.state, "/a,b");
	check_str(options.template_options, "x=1,y=2");
	check_str(options.qemu_img, "/q\\r");
	options_free(&options);
}

TEST(lists_are_repeated_or_separated)
{
	struct options options =
		good(WORDS("-o", "protect=*.img,protect=a b", "-o", "export-dirs=/a::/b:", "/i", "/m"));

	check_int(options.protect.count, 2);
	check_str(options.protect.items[0], "*.img");
	check_str(options.protect.items[1], "a b");
	check_int(options.export_dirs.count, 2);
	check_str(options.export_dirs.items[0], "/a");
	check_str(options.export_dirs.items[1], "/b");
	options_free(&options);
}

TEST(the_configuration_gives_what_the_command_line_does_not)
{
	struct options options = good(
		WORDS("-o", config("{\"images\":\"/ci\",\"mount\":\"/cm\",\"state\":\"/cs\",\"protect\":[\"x\",\"y\"],"
				   "\"export-dirs\":\"/e:/f\",\"max-jobs\":5,\"group\":\"0\"}")));

	check_str(options.images, "/ci");
	check_str(options.mount, "/cm");
	check_str(options.state, "/cs");
	check_int(options.protect.count, 2);
	check_int(options.export_dirs.count, 2);
	check_int(options.max_jobs, 5);
	options_free(&options);
}

TEST(the_command_line_wins_key_by_key_and_replaces_lists)
{
	struct options options = good(WORDS(
		"-o", "state=/s,protect=z", "-o",
		config("{\"images\":\"/ci\",\"mount\":\"/cm\",\"state\":\"/cs\",\"protect\":[\"x\",\"y\"],\"max-jobs\":5}"),
		"/i", "/m"));

	check_str(options.images, "/i");
	check_str(options.mount, "/m");
	check_str(options.state, "/s");
	check_int(options.protect.count, 1);
	check_str(options.protect.items[0], "z");
	check_int(options.max_jobs, 5);
	options_free(&options);
}

TEST(what_mount_8_says_is_dropped_and_what_mount_2_knows_becomes_a_flag)
{
	struct options options = good(WORDS("/i", "/m", "-o",
					    "rw,noauto,nofail,_netdev,x-a.b=c,user=me,suid,dev,noatime,ro,"
					    "context=\"a:b:c\\,d\",debug"));

	check_int(options.mount_flags, MS_NOATIME | MS_RDONLY);
	check_str(options.mount_data, "context=\"a:b:c,d\"");
	check_int(options.fuse_options.count, 1);
	check_str(options.fuse_options.items[0], "debug");
	options_free(&options);
}

TEST(what_is_wrong_is_quoted)
{
	bad(WORDS("/i"), "usage: revertfs");
	bad(WORDS("/i", "/m", "/x"), "'/x' is one argument too many");
	bad(WORDS("-q", "/i", "/m"), "unknown option '-q'");
	bad(WORDS("-o", "max-jobs=0", "/i", "/m"), "option 'max-jobs': '0' is not a number");
	bad(WORDS("-o", "max-jobs=-1", "/i", "/m"), "option 'max-jobs': '-1' is not a number");
	bad(WORDS("-o", "qemu-timeout=1000001", "/i", "/m"), "'1000001'");
	bad(WORDS("-o", "state=", "/i", "/m"), "option 'state' has no value");
	bad(WORDS("-o", "group=no such", "/i", "/m"), "there is no group 'no such'");
	bad(WORDS("-o", "subtype=x", "/i", "/m"), "'subtype=x' cannot be chosen");
	bad(WORDS("-o", "export-dirs=/a:b", "/i", "/m"), "'b' must be an absolute path");
	bad(WORDS("-o", "config=/nonexistent", "/i", "/m"), "cannot open the configuration '/nonexistent'");
	bad(WORDS("-o", config("{\"max-jobs\":1.5}"), "/i", "/m"), "'max-jobs' is not a number");
	bad(WORDS("-o", config("{\"state\":null}"), "/i", "/m"), "'state' is not a text");
	bad(WORDS("-o", config("{\"foreground\":true}"), "/i", "/m"), "there is no option 'foreground'");
}

TEST(help_and_version_need_nothing_else)
{
	struct options options = good(WORDS("-h"));
	char *help = options_help();

	check(options.help);
	check_contains(help, "-o state=DIR");
	check_contains(help, "-o qemu-timeout=SECONDS");
	free(help);
	options_free(&options);
	options = good(WORDS("--version"));
	check(options.version);
	options_free(&options);
}
