/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Texts that libvirt, its users and QEMU write: the JSON beside a domain, XML, logs.
 */
#include "corpus.h"

#include "config.h"
#include "domain.h"
#include "event.h"
#include "shown.h"

CORPUS(config, "config", any_configuration_is_refused_or_can_be_disarmed)

/* What was accepted can be disarmed, and then is the same configuration, without a flag. */
static void check_disarming(struct config *config, const char *name)
{
	bool *which = calloc(config->count + 1, sizeof(*which));
	struct config *again = NULL;

	check(which);
	memset(which, true, config->count);
	check(config_disarm(config, which, NULL) == 0);
	check(config_load(TEST_DIR, name, &again, NULL) == 1);
	check(again->count == config->count);
	for (size_t i = 0; i < again->count; i++) {
		check(!again->disks[i].one_shot_commit);
		check(strcmp(again->disks[i].target, config->disks[i].target) == 0);
	}
	config_free(again);
	free(which);
}

static void feed_config(const void *data, size_t size)
{
	struct config *config = NULL;
	struct sentence error = { "" };
	bool armed = false;

	write_file("json", data, size);
	if (config_load(TEST_DIR, "fuzzed", &config, &error) == 1) {
		for (size_t i = 0; i < config->count; i++) {
			check(*config->disks[i].target && text_is_clean(config->disks[i].target));
			armed |= config->disks[i].one_shot_commit;
		}
		if (armed)
			check_disarming(config, "fuzzed");
	} else {
		check(!config && *error.text);
	}
	config_free(config);
}

CORPUS(domain, "domain", any_domain_xml_is_refused_or_loses_nothing_but_its_chains)

static bool any_target(const void *context, const char *target)
{
	return target;
}

/* Without chains it is the same domain. */
static void check_without_chains(const struct domain *domain, const char *text, size_t size)
{
	struct domain *again = NULL;
	char *xml = NULL;

	check(domain_without_chains(text, size, any_target, NULL, &xml, NULL) == 0);
	if (xml) {
		check(domain_parse(xml, strlen(xml), &again, NULL) == 0);
		check(strcmp(again->uuid, domain->uuid) == 0 && again->count == domain->count);
		for (size_t i = 0; i < again->count; i++)
			check(!again->disks[i].backing_store);
	}
	domain_free(again);
	free(xml);
}

static void feed_domain(const void *data, size_t size)
{
	char *text = copy_of(data, size);
	struct sentence error = { "" };
	struct domain *domain = NULL;

	if (domain_parse(text, size, &domain, &error) == 0) {
		for (size_t i = 0; i < domain->count; i++)
			check(domain->disks[i].target);
		check_without_chains(domain, text, size);
	} else {
		check(!domain && *error.text);
	}
	domain_free(domain);
	free(text);
}

CORPUS(pool, "domain", any_pool_xml_gives_a_path_or_a_problem)

static void feed_pool(const void *data, size_t size)
{
	static const char xml[] = "<domain><uuid>00000000-0000-4000-8000-000000000001</uuid><devices>"
				  "<disk type='volume'><source pool='fuzzed' volume='v'/><target dev='vda'/></disk>"
				  "</devices></domain>";
	const char *const dirs[] = { TEST_DIR };
	struct domain *domain = NULL;

	write_file("xml", data, size);
	check(domain_parse(xml, sizeof(xml) - 1, &domain, NULL) == 0);
	domain_resolve_volume(&domain->disks[0], dirs, 1);
	check(domain->disks[0].path ? domain->disks[0].path[0] == '/' : *domain->disks[0].problem);
	domain_free(domain);
}

CORPUS(log, "log", any_log_gives_a_reason)

static void feed_log(const void *data, size_t size)
{
	char *text = copy_of(data, size), shown[100];
	struct event event;

	write_file("log", data, size);
	event_new("fuzzed", "-", &event);
	event_find_reason(&event, TEST_DIR);
	check(*event.reason);
	shown_text(text, shown, sizeof(shown));
	check(text_is_clean(shown));
	free(text);
}
