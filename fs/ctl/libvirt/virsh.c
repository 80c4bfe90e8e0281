/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words are handed over as they are. A domain's name stands behind --domain: virsh takes whatever
 * follows that for a domain.
 */
#include "virsh.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "command.h"
#include "program.h"

static const char language[] = "LC_ALL=C";

/*
 * This process's environment, with LC_ALL=C. The array is the caller's to free, its texts are
 * borrowed.
 */
static const char **own_environment(void)
{
	const char **environment;
	size_t count = 0, kept = 0;

	while (environ[count])
		count++;
	environment = calloc(count + 2, sizeof(*environment));
	if (!environment)
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], "LC_ALL=", 7) != 0)
			environment[kept++] = environ[i];
	environment[kept] = language;
	return environment;
}

/* `file` becomes PROGRAM_FIRST_FD of virsh; -1: none. */
static int run_with_file(const struct virsh *virsh, const char *const *words, int file, char **ret_output,
			 struct sentence *error)
{
	CLEANUP(freep) const char **environment = own_environment();
	CLEANUP(freep) char *title = format_text("virsh %s", words[0]);
	CLEANUP(program_clear)
	struct program run = {
		.name = "virsh",
		.title = title,
		.hint = "install libvirt-clients",
		.deadline_s = virsh->timeout_s ? virsh->timeout_s : VIRSH_TIMEOUT_S,
		.environment = environment,
	};
	int r;

	if (!environment || !title)
		return report(error, -ENOMEM, "out of memory");
	run.timeout_s = run.deadline_s; /* virsh mostly waits, which is no progress */
	program_add(&run, "virsh");
	program_add(&run, "-q");
	if (virsh->uri) {
		program_add(&run, "-c");
		program_add(&run, virsh->uri);
	}
	for (size_t i = 0; words[i]; i++)
		program_add(&run, words[i]);
	if (file >= 0)
		program_hand_over(&run, file);
	r = program_run(&run, error);
	if (r == 0 && ret_output) {
		*ret_output = run.output ? steal_pointer(&run.output) : strdup("");
		r = *ret_output ? 0 : report(error, -ENOMEM, "out of memory");
	}
	return r;
}

int virsh_run(const struct virsh *virsh, const char *const *words, char **ret_output, struct sentence *error)
{
	return run_with_file(virsh, words, -1, ret_output, error);
}

int virsh_check_host(const struct virsh *virsh, struct sentence *error)
{
	const char *words[] = { "uri", NULL }, system[] = ":///system";
	CLEANUP(freep) char *uri = NULL;
	const char *place;
	int r = virsh_run(virsh, words, &uri, error);

	if (r < 0)
		return r;
	uri[strcspn(uri, "\n")] = '\0';
	place = strncmp(uri, "qemu", 4) == 0 ? strstr(uri, system) : NULL;
	return place && strchr("?", place[strlen(system)])
		       ? 0
		       : report(error, -EINVAL,
				"'%s' is not the libvirt whose domains use this host's disks: say "
				"--connect=qemu:///system",
				uri);
}

int virsh_define(const struct virsh *virsh, const char *xml, struct sentence *error)
{
	const char *words[] = { "define", "--file", "/proc/self/fd/3", NULL };
	CLEANUP(close_fdp) int file = memfd_create("domain.xml", MFD_CLOEXEC);
	int r = file < 0 ? -errno : write_all(file, xml, strlen(xml));

	_Static_assert(PROGRAM_FIRST_FD == 3, "the words say so");
	return r < 0 ? report(error, r, "the domain's XML cannot be handed over: %s", error_text(r))
		     : run_with_file(virsh, words, file, NULL, error);
}

int virsh_domain_state(const struct virsh *virsh, const char *domain, char **ret_state, struct sentence *error)
{
	const char *words[] = { "domstate", "--domain", domain, NULL };
	int r = virsh_run(virsh, words, ret_state, error);

	if (r == 0)
		(*ret_state)[strcspn(*ret_state, "\n")] = '\0';
	return r;
}

int virsh_domain_do(const struct virsh *virsh, const char *command, const char *domain, struct sentence *error)
{
	const char *words[] = { command, "--domain", domain, NULL };

	return virsh_run(virsh, words, NULL, error);
}

void virsh_free_names(char ***names)
{
	for (char **name = *names; name && *name; name++)
		free(*name);
	free(*names);
	*names = NULL;
}

/* The lines that virsh prints. */
static int names_from(const struct virsh *virsh, const char *const *words, char ***ret_names, struct sentence *error)
{
	CLEANUP(virsh_free_names) char **names = NULL;
	CLEANUP(freep) char *text = NULL;
	size_t count = 0;
	char *place = NULL;
	int r = virsh_run(virsh, words, &text, error);

	if (r != 0)
		return r;
	names = calloc(strlen(text) / 2 + 2, sizeof(*names));
	if (!names)
		return report(error, -ENOMEM, "out of memory");
	for (char *line = strtok_r(text, "\n", &place); line; line = strtok_r(NULL, "\n", &place)) {
		names[count] = strdup(line);
		if (!names[count++])
			return report(error, -ENOMEM, "out of memory");
	}
	*ret_names = steal_pointer(&names);
	return 0;
}

int virsh_domain_names(const struct virsh *virsh, char ***ret_names, struct sentence *error)
{
	const char *words[] = { "list", "--all", "--name", NULL };

	return names_from(virsh, words, ret_names, error);
}

int virsh_names_of(const struct virsh *virsh, const char *command, const char *domain, char ***ret_names,
		   struct sentence *error)
{
	const char *words[] = { command, "--domain", domain, "--name", NULL };

	return names_from(virsh, words, ret_names, error);
}

char *virsh_show_names(char *const *names)
{
	size_t count = 0;

	while (names[count])
		count++;
	if (count == 0)
		return strdup("");
	if (count == 1)
		return format_text("'%s'", names[0]);
	if (count == 2)
		return format_text("'%s', '%s'", names[0], names[1]);
	return format_text("'%s', '%s' and %zu more", names[0], names[1], count - 2);
}

char *virsh_say_forget(const char *command, const char *domain, const char *name)
{
	struct sentence quoted_domain, quoted_name;

	return format_text("'virsh %s %s %s --metadata' has libvirt forget it", command,
			   quote_name(domain, &quoted_domain), quote_name(name, &quoted_name));
}
