/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's configuration, in whatever state an administrator or a program left it.
 */
#include "corpus.h"

#include "options.h"

CORPUS(options, "options", any_configuration_of_the_daemon_is_refused_or_complete)

static void feed_options(const void *data, size_t size)
{
	CLEANUP(freep) char *config = format_text("config=%s/fuzzed.json", TEST_DIR);
	char *arguments[] = { (char *)"revertfs", (char *)"-o", config, NULL };
	struct sentence error = { "" };
	struct options options;
	int r;

	write_file("json", data, size);
	r = options_read(3, arguments, &options, &error);
	if (r == 0)
		check(options.images && options.mount && options.state && options.qemu_img && options.max_jobs &&
		      options.max_layers && options.qemu_timeout);
	else
		check(r < 0 && *error.text && text_is_clean(error.text));
	options_free(&options);
}
