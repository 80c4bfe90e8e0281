/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doctor: look at the host, from the kernel up to the domains, change nothing, and say what to do
 * about each thing that is not well.
 *
 * The exit status is as monitoring wants it: 0 well, 1 warnings, 2 problems. Notes do not count.
 */
#include "doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grid.h"
#include "subcommands.h"
#include "terminal.h"

static const struct check {
	const char *name;
	void (*look)(struct doctor *doctor);
	const char *fine; /* said where nothing was found */
} checks[] = {
	{ "mount", doctor_check_mounts, "the revertfs mounts answer" },
	{ "kernel", doctor_check_kernel, "has FUSE, and passthrough" },
	{ "tools", doctor_check_tools, "qemu-img and virsh are there, and qemu-img runs in a box" },
	{ "hook", doctor_check_hook, "is installed, executable and seen by libvirt" },
	{ "libvirt", doctor_check_libvirt, "answers" },
	{ "files", doctor_check_files, "the domains' files are valid, and name disks that are there" },
	{ "domains", doctor_check_domains, "none goes past the mount" },
	{ "disks", doctor_check_disks, "none has failed" },
	{ "layers", doctor_check_layers, "nothing was left behind" },
	{ "space", doctor_check_space, "there is enough for what may be written" },
	{ "rights", doctor_check_rights, "of files and directories are as they should be" },
	{ "policy", doctor_check_policy, "neither AppArmor nor SELinux is in the way" },
};

static void clear_doctor(struct doctor *doctor)
{
	doctor_forget(doctor, 0);
	for (size_t i = 0; i < doctor->mount_count; i++)
		json_object_put(doctor->mounts[i].status);
	free(doctor->findings);
	free(doctor->mounts);
	mounts_free(doctor->mount_table);
	virsh_free_names(&doctor->domains);
}

static bool is_check(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		if (strcmp(checks[i].name, name) == 0)
			return true;
	return false;
}

static int check_words(const struct arguments *arguments, struct sentence *error)
{
	for (size_t i = 0; i < arguments->word_count; i++)
		if (!is_check(arguments->words[i]))
			return report(error, -EINVAL,
				      "there is no check '%s'; 'revertctl doctor' shows what they are called",
				      arguments->words[i]);
	return 0;
}

static bool is_wanted(const struct arguments *arguments, const char *name)
{
	for (size_t i = 0; i < arguments->word_count; i++)
		if (strcmp(arguments->words[i], name) == 0)
			return true;
	return arguments->word_count == 0;
}

/* A check may build on what those before it have read, so that all of them look. */
static void look(struct doctor *doctor, const struct arguments *arguments)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		size_t before = doctor->finding_count;

		doctor->check = checks[i].name;
		checks[i].look(doctor);
		if (doctor->finding_count == before)
			doctor_note(doctor, LEVEL_FINE, NULL, "%s", checks[i].fine);
		if (!is_wanted(arguments, checks[i].name))
			doctor_forget(doctor, before);
	}
}

/* ---- what is said */

static const char *const level_names[] = {
	[LEVEL_FINE] = "fine", [LEVEL_NOTE] = "note", [LEVEL_WARNING] = "warning", [LEVEL_PROBLEM] = "problem"
};

static size_t count_of(const struct doctor *doctor, enum level level)
{
	size_t count = 0;

	for (size_t i = 0; i < doctor->finding_count; i++)
		count += doctor->findings[i].level == level;
	return count;
}

static void print_answer(const struct doctor *doctor)
{
	CLEANUP(json_putp) struct json_object *answer = json_object_new_object();
	struct json_object *list = json_object_new_array();

	json_set_bool(answer, "ok", count_of(doctor, LEVEL_PROBLEM) == 0);
	json_set_u64(answer, "problems", count_of(doctor, LEVEL_PROBLEM));
	json_set_u64(answer, "warnings", count_of(doctor, LEVEL_WARNING));
	for (size_t i = 0; i < doctor->finding_count; i++) {
		struct json_object *finding = json_object_new_object();

		json_set_string(finding, "check", doctor->findings[i].check);
		json_set_string(finding, "level", level_names[doctor->findings[i].level]);
		json_set_string(finding, "what", doctor->findings[i].what);
		json_set_string(finding, "fix", doctor->findings[i].fix);
		json_object_array_add(list, finding);
	}
	json_object_object_add(answer, "findings", list);
	printf("%s\n",
	       json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
}

#define LEFT_WIDTH 18 /* "problem  domains  " */

/* Break the text at blanks; its further lines are indented to where it begins. */
static void print_text(const char *text, const struct style *style)
{
	size_t room = style->width > LEFT_WIDTH + 20 ? style->width - LEFT_WIDTH - 1 : SIZE_MAX, column = 0;

	while (*text) {
		size_t length = strcspn(text, " ");

		if (column && column + 1 + length > room) {
			printf("\n%*s", LEFT_WIDTH, "");
			column = 0;
		}
		printf("%s%.*s", column ? " " : "", (int)length, text);
		column += length + (column ? 1 : 0);
		text += length;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static void print_findings(const struct doctor *doctor)
{
	static const enum colour colours[] = {
		[LEVEL_FINE] = GREEN, [LEVEL_NOTE] = BLUE, [LEVEL_WARNING] = YELLOW, [LEVEL_PROBLEM] = RED
	};
	size_t problems = count_of(doctor, LEVEL_PROBLEM), warnings = count_of(doctor, LEVEL_WARNING);
	struct style style;

	terminal_look(STDOUT_FILENO, &style);
	for (size_t i = 0; i < doctor->finding_count; i++) {
		const struct finding *finding = &doctor->findings[i];
		enum colour colour = colours[finding->level];

		printf("%s%-7s%s  %-7s  ", colour_on(colour, &style), level_names[finding->level],
		       colour_off(colour, &style), finding->check);
		print_text(finding->what ? finding->what : "", &style);
		if (finding->fix) {
			printf("%*s", LEFT_WIDTH - 3, "");
			printf("%s ", style.unicode ? "→ " : "->");
			print_text(finding->fix, &style);
		}
	}
	printf("%zu problem%s, %zu warning%s\n", problems, problems == 1 ? "" : "s", warnings,
	       warnings == 1 ? "" : "s");
}

static int run_doctor(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	CLEANUP(clear_doctor) struct doctor doctor = { .virsh = { .uri = context->connect } };
	int r = check_words(arguments, error);

	if (r < 0)
		return r;
	look(&doctor, arguments);
	if (context->json)
		print_answer(&doctor);
	else
		print_findings(&doctor);
	return count_of(&doctor, LEVEL_PROBLEM) ? 2 : count_of(&doctor, LEVEL_WARNING) ? 1 : 0;
}

const struct subcommand doctor_subcommand = {
	"doctor", "[CHECK...]", "what is not well on this host, and what to do about it", NULL, run_doctor, NULL,
};
