/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `virsh qemu-agent-command` is used, and not domfsfreeze, which has no timeout: a guest that hangs
 * would keep libvirt waiting, and the thaw with it. The guest may answer with anything: only a
 * number and one word are taken from its answer.
 */
#include "agent.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "json.h"

#define GRACE_S 10 /* of virsh, beyond the agent's timeout: libvirt first asks whether the agent is there */

static int agent_ask(const struct virsh *virsh, const char *domain, const char *command, unsigned timeout_s,
		     struct json_object **ret_answer, struct sentence *error)
{
	struct virsh patient = { .uri = virsh->uri, .timeout_s = timeout_s + GRACE_S };
	CLEANUP(freep) char *output = NULL;
	char request[64], seconds[16];
	const char *words[] = {
		"qemu-agent-command", "--domain", domain, "--timeout", seconds, "--cmd", request, NULL
	};
	int r;

	snprintf(seconds, sizeof(seconds), "%u", timeout_s ? timeout_s : 1);
	snprintf(request, sizeof(request), "{\"execute\":\"%s\"}", command);
	r = virsh_run(&patient, words, &output, error);
	if (r < 0)
		return report_context(error, r, "%s: ", command);
	r = json_parse(output, strlen(output), ret_answer, NULL);
	return r < 0 ? report(error, r, "%s: the guest's agent gave an answer that makes no sense", command) : 0;
}

static int agent_count(const struct virsh *virsh, const char *domain, const char *command, unsigned timeout_s,
		       struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	uint64_t count = 0;
	int r = agent_ask(virsh, domain, command, timeout_s, &answer, error);

	if (r < 0)
		return r;
	if (json_get_u64(answer, "return", &count) <= 0 || count > INT_MAX)
		return report(error, -EBADMSG, "%s: the guest's agent does not say how many filesystems there were",
			      command);
	return (int)count;
}

int agent_is_frozen(const struct virsh *virsh, const char *domain, unsigned timeout_s, bool *ret_frozen,
		    struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	const char *word = NULL;
	int r = agent_ask(virsh, domain, "guest-fsfreeze-status", timeout_s, &answer, error);

	if (r < 0)
		return r;
	if (json_get_string(answer, "return", &word) <= 0 ||
	    (strcmp(word, "frozen") != 0 && strcmp(word, "thawed") != 0))
		return report(error, -EBADMSG, "the guest's agent does not say whether its filesystems are frozen");
	*ret_frozen = strcmp(word, "frozen") == 0;
	return 0;
}

int agent_freeze(const struct virsh *virsh, const char *domain, unsigned timeout_s, struct sentence *error)
{
	return agent_count(virsh, domain, "guest-fsfreeze-freeze", timeout_s, error);
}

int agent_thaw(const struct virsh *virsh, const char *domain, unsigned timeout_s, struct sentence *error)
{
	return agent_count(virsh, domain, "guest-fsfreeze-thaw", timeout_s, error);
}
