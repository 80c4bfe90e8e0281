/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * prepare and release, as the hook's policy table has them.
 */
#include "model.h"

enum start { START_FRESH, START_RESUME, START_CONTINUE };

struct plan {
	struct disk *disk;
	bool armed, consumed;
	int leftover; /* -1: not said */
	enum start start;
	int source;
};

/* As the policy table has it: what a start does with one disk. */
static void plan_start(struct plan *plan, int domain, bool restoring, struct allowed *allowed)
{
	struct disk *disk = plan->disk;
	bool kept = disk->fate_domain == domain;
	double age = now() - disk->fate_since;

	if (disk->session.present && disk->session.domain != domain) {
		if (session_is_active(disk) == YES)
			must_fail(allowed, EBUSY);
		else if (session_is_active(disk) == PERHAPS)
			may_fail(allowed, EBUSY);
	}
	if (disk->keeps_data || (disk->hold[0] && disk->hold_domain != domain))
		must_fail(allowed, EBUSY);
	plan->start = START_FRESH;
	if (disk->hold[0]) {
		if (restoring)
			plan->start = START_RESUME;
	} else if (restoring) {
		if (!kept || disk->fate != FATE_UNDECIDED)
			must_fail(allowed, ENOENT);
		plan->start = START_CONTINUE;
	} else if (disk->fate == FATE_SNAPSHOT && kept) {
		plan->start = START_CONTINUE;
		if (age > 50)
			plan->start = age > 65 ? START_FRESH : (enum start) - 1;
	}
}

static bool has_leftover(const struct plan *plan)
{
	return plan->disk->dirty && plan->start != START_CONTINUE;
}

/* Of the domain's own last session no release has come, and both say which file it was. */
static bool had_session(const struct plan *plan, int domain, int config)
{
	const struct session *session = &plan->disk->session;

	return session->present && session->domain == domain && session->config && config;
}

static bool is_consumed(const struct plan *plan, int domain, int config)
{
	if (!plan->armed)
		return false;
	if ((config && plan->disk->consumed == config) ||
	    (plan->start != START_CONTINUE && plan->disk->unread_domain == domain + 1))
		return true;
	if (!has_leftover(plan))
		return plan->start == START_FRESH && had_session(plan, domain, config) &&
		       (!plan->disk->session.adopted || plan->disk->session.had_writer);
	return had_session(plan, domain, config) ||
	       (plan->disk->fate == FATE_UNSYNCED && !plan->disk->consumed && plan->disk->fate_domain == domain);
}

static const char *leftover_prefix(const struct plan *plan, int domain, int config)
{
	const struct disk *disk = plan->disk;
	bool keep = plan->leftover < 0 ? disk->leftover_keep : plan->leftover;

	if (!has_leftover(plan))
		return NULL;
	switch (disk->fate) {
	case FATE_ARMED:
	case FATE_UNCOMMITTED:
		return "uncommitted-";
	case FATE_UNHOOKED:
		return "unhooked-";
	case FATE_UNDECIDED:
	case FATE_SNAPSHOT:
		if (disk->fate_armed || disk->fate_unread)
			return disk->fate_armed ? "uncommitted-" : "undecided-";
		break;
	case FATE_UNSYNCED:
		if (plan->armed || disk->fate_domain != domain)
			return "unsynced-";
		break;
	case FATE_LEFTOVER:
		return "crash-";
	case FATE_DISCARD:
		if (had_session(plan, domain, config) && disk->session.config != config)
			return plan->armed ? "uncommitted-" : "undecided-";
		break;
	}
	return keep ? "crash-" : NULL;
}

static const char *action_of(struct disk *disk)
{
	struct json_object *list = NULL;

	json_object_object_get_ex(answer, "disks", &list);
	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		if (strcmp(member(json_object_array_get_idx(list, i), "name"), disk->name) == 0)
			return member(json_object_array_get_idx(list, i), "action");
	return "";
}

static void started(struct plan *plan, int domain, int config)
{
	static const char *const actions[] = { "fresh", "resumed", "continued" };
	struct disk *disk = plan->disk;
	const char *prefix;

	if (plan->start == (enum start) - 1)
		plan->start = strcmp(action_of(disk), "fresh") == 0 ? START_FRESH : START_CONTINUE;
	same_text(disk, "what prepare did", action_of(disk), actions[plan->start]);
	plan->consumed = is_consumed(plan, domain, config);
	if (plan->consumed)
		disk->consumed = config;
	if (plan->start != START_CONTINUE && disk->unread_domain == domain + 1)
		disk->unread_domain = 0;
	if (disk->session.present && has_leftover(plan))
		disk->commit_at_release = false;
	prefix = leftover_prefix(plan, domain, config);
	if (prefix)
		expect_point(disk, prefix, &disk->scratch);
	if (plan->start == START_FRESH && disk->hold[0]) {
		if (!disk->hold_managed)
			expect_point(disk, "saved-", content_of(disk, disk->hold));
		disk->hold[0] = '\0';
	}
	if (plan->start == START_FRESH)
		catch_up(disk);
	if (plan->start != START_CONTINUE)
		fresh_scratch(disk);
	disk->fate = (plan->armed && !plan->consumed) || disk->commit_at_release   ? FATE_ARMED
		     : (plan->leftover < 0 ? disk->leftover_keep : plan->leftover) ? FATE_LEFTOVER
										   : FATE_DISCARD;
	disk->session = (struct session){ .present = true,
					  .adopted = true,
					  .domain = domain,
					  .armed = plan->armed && !plan->consumed,
					  .on_hold = plan->start == START_RESUME,
					  .continued = plan->start == START_CONTINUE,
					  .config = config,
					  .source = plan->source,
					  .since = now() };
}

void do_prepare(void)
{
	int domain = (int)below(DOMAINS), config = (int)below(3);
	size_t count = one_in(3) ? 2 : 1;
	struct allowed allowed = { 0 };
	struct text line = { 0 };
	struct plan plans[2];
	bool saved = one_in(8), restoring;
	int r;

	if (announced[domain] && now() - announced[domain] > 45) {
		command("announce %s", uuids[domain]);
		announced[domain] = now();
	}
	restoring = saved || announced[domain];
	add(&line, "prepare %s domain=d%d", uuids[domain], domain);
	if (config)
		add(&line, " config=c%d", config);
	if (saved)
		add(&line, " saved=yes");
	for (size_t i = 0; i < count; i++) {
		struct plan *plan = &plans[i];

		do
			plan->disk = any_disk();
		while ((i && plan->disk == plans[0].disk) || (plan->disk >= disks + IMAGES && !plan->disk->protected));
		plan->armed = one_in(3);
		plan->leftover = one_in(4) ? (int)below(2) : -1;
		plan->source = (int)below(2);
		add(&line, " %s target=vd%c source=/s%d", plan->disk->name, 'a' + (int)(plan->disk - disks),
		    plan->source);
		if (plan->armed)
			add(&line, " armed=yes");
		if (plan->leftover >= 0)
			add(&line, " leftover=%s", plan->leftover ? "keep" : "discard");
		/* Protected first, whatever comes of the rest. */
		if (!plan->disk->protected)
			start_model(plan->disk);
		plan_start(plan, domain, restoring, &allowed);
	}
	r = expect(&allowed, command("%s", line.bytes));
	free(line.bytes);
	announced[domain] = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		started(&plans[i], domain, config);
}

enum outcome {
	OUTCOME_COMMIT,
	OUTCOME_RESET,
	OUTCOME_HOLD,
	OUTCOME_ASIDE,
	OUTCOME_DROP,
	OUTCOME_KEEP,
	OUTCOME_KEEP_SNAPSHOT
};

/* What a release says of a disk's target. */
struct said {
	bool named, armed, moved;
};

static bool armed_now(const struct disk *disk, const struct said *said)
{
	return (said->named && said->armed) || disk->commit_at_release;
}

static enum outcome plan_end(const struct disk *disk, const char *reason, const struct said *said)
{
	const struct session *session = &disk->session;
	bool has_data = disk->hold[0] || disk->dirty;

	if (strcmp(reason, "shutdown") == 0 || strcmp(reason, "destroyed") == 0)
		return !said->named || said->moved ? OUTCOME_KEEP
		       : armed_now(disk, said)     ? OUTCOME_COMMIT
						   : OUTCOME_RESET;
	if (strcmp(reason, "saved") == 0)
		return OUTCOME_HOLD;
	if (strcmp(reason, "from snapshot") == 0)
		return OUTCOME_KEEP_SNAPSHOT;
	if (strcmp(reason, "failed") == 0 && session->on_hold)
		return OUTCOME_DROP;
	if (strcmp(reason, "failed") == 0 && session->continued)
		return OUTCOME_KEEP;
	if (strcmp(reason, "failed") == 0 || strcmp(reason, "crashed") == 0 || strcmp(reason, "daemon") == 0)
		return (session->armed || armed_now(disk, said) || !said->named) && has_data ? OUTCOME_ASIDE
											     : OUTCOME_RESET;
	return OUTCOME_KEEP;
}

static void ended(struct disk *disk, enum outcome outcome, int domain, int config, bool saved, const struct said *said)
{
	static const char *const actions[] = { "committed", "reset", "held", "aside", "dropped", "undecided", "kept" };
	bool armed = disk->session.armed || armed_now(disk, said);
	bool kept = outcome == OUTCOME_KEEP || outcome == OUTCOME_KEEP_SNAPSHOT;

	same_text(disk, "what release did", action_of(disk), actions[outcome]);
	disk->session.present = false;
	disk->fate = FATE_DISCARD;
	disk->fate_domain = -1;
	disk->fate_armed = disk->fate_unread = false;
	if (kept && (!said->named || (said->moved && armed)))
		disk->unread_domain = domain + 1;
	else if (!kept && disk->unread_domain == domain + 1)
		disk->unread_domain = 0;
	switch (outcome) {
	case OUTCOME_COMMIT:
		disk->commit_at_release = false;
		disk->consumed = config;
		if (disk->hold[0] || disk->dirty) {
			sealed_as_head(disk, HEAD_SEALED);
			disk->hold[0] = '\0';
		}
		break;
	case OUTCOME_HOLD:
		will_seal(disk);
		strcpy(disk->hold, HEAD_SEALED);
		disk->hold_domain = domain;
		disk->hold_managed = saved;
		disk->dirty = false;
		break;
	case OUTCOME_ASIDE:
		disk->commit_at_release = false;
		expect_point(disk, armed ? "uncommitted-" : "undecided-", &disk->scratch);
		disk->hold[0] = '\0';
		fresh_scratch(disk);
		break;
	case OUTCOME_RESET:
		disk->hold[0] = '\0';
		fresh_scratch(disk);
		break;
	case OUTCOME_DROP:
		fresh_scratch(disk);
		break;
	case OUTCOME_KEEP:
	case OUTCOME_KEEP_SNAPSHOT:
		disk->fate = outcome == OUTCOME_KEEP ? FATE_UNDECIDED : FATE_SNAPSHOT;
		disk->fate_domain = domain;
		disk->fate_armed = armed || said->moved;
		disk->fate_unread = disk->unread_domain == domain + 1;
		disk->fate_since = now();
		break;
	}
}

void do_release(void)
{
	static const char *const reasons[] = { "shutdown", "shutdown", "destroyed", "saved",   "saved",        "failed",
					       "crashed",  "daemon",   "migrated",  "unknown", "from snapshot" };
	const char *reason = reasons[below(sizeof(reasons) / sizeof(reasons[0]))];
	int domain = (int)below(DOMAINS), config = (int)below(3);
	struct said said[DISKS];
	bool saved = one_in(2);
	struct text line = { 0 };

	/* Rather a domain that runs than one that does not. */
	for (int i = 0; i < DISKS; i++)
		if (disks[i].protected && disks[i].session.present && one_in(2))
			domain = disks[i].session.domain;
	add(&line, "release %s domain=d%d reason=\"%s\"", uuids[domain], domain, reason);
	if (config)
		add(&line, " config=c%d", config);
	if (saved)
		add(&line, " saved=yes");
	for (int i = 0; i < DISKS; i++) {
		said[i] = (struct said){ .named = !one_in(8), .armed = one_in(3), .moved = one_in(8) };
		said[i].moved &= said[i].named;
		if (!said[i].named)
			continue;
		add(&line, " vd%c source=/s%d", 'a' + i, said[i].moved ? 9 : disks[i].session.source);
		if (said[i].armed)
			add(&line, " armed=yes");
	}
	expect(&(struct allowed){ 0 }, command("%s", line.bytes));
	free(line.bytes);
	for (int i = 0; i < DISKS; i++) {
		struct disk *disk = &disks[i];

		if (!disk->protected || !disk->session.present || disk->session.domain != domain)
			continue;
		said[i].armed &= !config || disk->consumed != config;
		ended(disk, plan_end(disk, reason, &said[i]), domain, config, saved, &said[i]);
	}
}
