/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status: of all mounts, of a disk, or of a domain. A word is taken for a disk first, since disks
 * are asked of the daemons alone; a name that both have needs --domain to be the domain's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "domain_status.h"
#include "host.h"
#include "show.h"
#include "subcommands.h"

/* The domains that revertfs knows have a file, so that libvirt need not be asked. */
static void say_that_it_is_both(const char *word)
{
	CLEANUP(freep) char *file = format_text("%s/%s.json", HOST_CONFIG_DIR, word);
	struct sentence quoted;

	if (file && access(file, F_OK) == 0)
		fprintf(stderr, "'%s' is a domain, too: 'revertctl status %s --domain' shows that\n", word,
			quote_name(word, &quoted));
}

static int show_domain(const struct view *view, FILE *out, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *status = NULL;
	CLEANUP(freep) char *text = NULL;
	struct sentence why;
	int r;

	if (strchr(view->word, '/') && view->is_no_disk)
		return report(error, -ENOENT, "there is no domain '%s'", view->word);
	if (strchr(view->word, '/') || view->context->mount)
		return 0;
	r = domain_status(view->context, view->word, &status, &why);
	if (r == -ENOENT && !view->is_no_disk)
		return 0; /* neither: what was said of the disk stands */
	if (r < 0)
		return report(error, r, "%s", why.text);
	*view->other_shown = true;
	text = view->context->json ? NULL : domain_status_text(status);
	if (view->context->json)
		fprintf(out, "%s\n", json_object_to_json_string_ext(status, view->json_flags));
	else if (text)
		fputs(text, out);
	else
		return report(error, -ENOMEM, "out of memory");
	return json_object_get_type(json_object_object_get(status, "state")) == json_type_null ? EXIT_UNREACHABLE : 0;
}

static int run_status(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	struct view view = view_of(context, arguments);
	bool is_domain = false;
	int r;

	view.show_other = show_domain;
	view.other_shown = &is_domain;
	view.is_no_disk = arguments_has(arguments, "domain");
	if (view.is_no_disk && (!view.word || context->mount))
		return report(error, -EINVAL, "--domain goes with a domain's name, and not with --mount");
	view.looks = !arguments_has(arguments, "watch");
	if (!view.looks)
		return show_watch(&view);
	r = show(&view, stdout, error);
	if (r == 0 && view.word && !is_domain && !strchr(view.word, '/'))
		say_that_it_is_both(view.word);
	return r;
}

static const struct option_spec options[] = {
	{ "watch", NULL, "again every second, until Ctrl-C", NULL },
	{ "domain", NULL, "the word is a domain, also where a disk has that\nname", NULL },
	{ 0 },
};
const struct subcommand status_subcommand = {
	"status", "[NAME|DOMAIN]", "all disks, or one in full; whether a domain reverts", options, run_status, NULL,
};
