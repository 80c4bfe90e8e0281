/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain is named by its UUID once that is known: a name may look like a number or a UUID.
 */
#include "defined_domain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "domain_xml.h"
#include "host.h"
#include "json.h"
#include "plan.h"
#include "shown.h"

void defined_domain_clear(struct defined_domain *defined)
{
	free(defined->xml);
	domain_free(defined->domain);
	config_free(defined->config);
	*defined = (struct defined_domain){ 0 };
}

int defined_domain_load(const struct context *context, const char *word, struct defined_domain *ret_defined,
			struct sentence *error)
{
	int r;

	*ret_defined = (struct defined_domain){ .virsh = { .uri = context->connect } };
	r = domain_xml_read(&ret_defined->virsh, word, DOMAIN_XML_DEFINED, &ret_defined->xml, &ret_defined->domain,
			    error);
	if (r == 0)
		r = config_load(HOST_CONFIG_DIR, ret_defined->domain->name, &ret_defined->config, error);
	return r < 0 ? r : 0;
}

static int make_plan(const struct domain *domain, const struct config *config, const struct mounts *mounts, bool saved,
		     struct plan **ret_plan, struct sentence *error)
{
	struct event event = { .domain = domain->name, .extra = "-", .reason = "unknown", .saved = saved };
	struct situation situation = { .event = &event, .domain = domain, .config = config, .mounts = mounts };

	shown_text(domain->name, event.shown, sizeof(event.shown));
	return plan_prepare(&situation, ret_plan, error);
}

int defined_domain_ask_hook(const struct domain *domain, const struct config *config, const struct mounts *mounts,
			    struct sentence *error)
{
	CLEANUP(plan_freep) struct plan *plan = NULL;

	return make_plan(domain, config, mounts, false, &plan, error);
}

bool defined_domain_is_saved(const struct virsh *virsh, const struct domain *domain)
{
	const char *words[] = { "dominfo", "--domain", domain->uuid, NULL };
	CLEANUP(freep) char *text = NULL;
	const char *line;

	if (virsh_run(virsh, words, &text, NULL) < 0)
		return false;
	line = strstr(text, "Managed save:");
	return line &&
	       strncmp(line + strlen("Managed save:") + strspn(line + strlen("Managed save:"), " "), "yes", 3) == 0;
}

/* "prepare ..." as "check ..."; a daemon of an older version has no such command. */
static int ask_daemon(const struct request *request, struct sentence *error)
{
	CLEANUP(freep) char *line = format_text("check%s", request->line + strcspn(request->line, " "));
	CLEANUP(json_putp) struct json_object *answer = NULL;
	int r = line ? ask(request->mount->point, line, ASK_TIMEOUT_MS, &answer, error)
		     : report(error, -ENOMEM, "out of memory");

	return r == -EINVAL && strstr(error->text, "is no command") ? 0 : r;
}

int defined_domain_ask_daemons(const struct virsh *virsh, const struct domain *domain, const struct config *config,
			       const struct mounts *mounts, struct sentence *error)
{
	CLEANUP(plan_freep) struct plan *plan = NULL;
	int r = make_plan(domain, config, mounts, defined_domain_is_saved(virsh, domain), &plan, error);

	for (size_t i = 0; r == 0 && plan && i < plan->count; i++)
		r = ask_daemon(&plan->requests[i], error);
	return r;
}

int defined_domain_check_off(const struct defined_domain *defined, struct sentence *error)
{
	const char *name = defined->domain->name;
	CLEANUP(freep) char *state = NULL;
	struct sentence quoted;
	int r = virsh_domain_state(&defined->virsh, defined->domain->uuid, &state, error);

	if (r < 0)
		return r;
	if (strcmp(state, "shut off") != 0 && strcmp(state, "crashed") != 0)
		return report(error, -EBUSY, "domain '%s' is %s: shut it down first", name, state);
	if (defined_domain_is_saved(&defined->virsh, defined->domain))
		return report(
			error, -EBUSY,
			"domain '%s' has a managed save, which belongs to its disks as they are: start it and shut it down, "
			"or give the saved state up with 'virsh managedsave-remove %s'",
			name, quote_name(name, &quoted));
	return 0;
}

static int choose_one(const struct config *config, const char *target, bool *which, struct sentence *error)
{
	const struct config_disk *disk = config_find(config, target);

	if (!disk)
		return report(error, -ENOENT, "'%s' names no target '%s'", config->shown, target);
	which[disk - config->disks] = true;
	return 0;
}

int defined_domain_choose(const struct defined_domain *defined, const struct arguments *arguments, bool **ret_which,
			  struct sentence *error)
{
	const struct config *config = defined->config;
	CLEANUP(freep) bool *which = NULL;
	const char *target;
	size_t place = 0;
	int r = 0;

	if (!config || !config->count)
		return report(error, -ENOENT,
			      "domain '%s' has no disk that reverts: 'revertctl adopt' makes it have one",
			      defined->domain->name);
	which = calloc(config->count, sizeof(*which));
	if (!which)
		return report(error, -ENOMEM, "out of memory");
	while (r == 0 && (target = arguments_next(arguments, "target", &place)))
		r = choose_one(config, target, which, error);
	for (size_t i = 0; i < config->count && !arguments_has(arguments, "target"); i++)
		which[i] = true;
	if (r == 0)
		*ret_which = steal_pointer(&which);
	return r;
}
