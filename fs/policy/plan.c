/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything that the hook refuses by itself is refused here, in one sentence that says what to do,
 * before anything has been sent. What only a daemon can know (holds, sessions, open writers,
 * formats) is left to the daemon.
 *
 * At prepare the XML decides what the domain's disks are. At release it does not: after an external
 * snapshot it names other files, after a hot-unplug it lacks disks. So a release names targets,
 * with whatever the configuration and the XML say of them now, and the daemon goes by what it
 * recorded at prepare.
 */
#include "plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

/* A configured disk and where it was found. */
struct placed_disk {
	const struct config_disk *entry;
	const struct mount *mount;
	char *path; /* as tidy_path() leaves it */
};

struct placement {
	struct placed_disk *disks;
	size_t count;
};

static void free_placementp(struct placement *placement)
{
	for (size_t i = 0; i < placement->count; i++)
		free(placement->disks[i].path);
	free(placement->disks);
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->count; i++)
		free(plan->requests[i].line);
	free(plan->requests);
	free(plan);
}

void plan_freep(struct plan **plan)
{
	plan_free(*plan);
}

/* ---- paths */

/*
 * A copy without doubled slashes and "." components, which can be compared as text. NULL when out
 * of memory.
 */
static char *tidy_path(const char *path)
{
	char *tidy = malloc(strlen(path) + 1), *out = tidy;

	if (!tidy)
		return NULL;
	while (*path) {
		if (path[0] == '/' && path[1] == '/')
			path++;
		else if (path[0] == '/' && path[1] == '.' && (path[2] == '/' || path[2] == '\0'))
			path += 2;
		else
			*out++ = *path++;
	}
	*out = '\0';
	return tidy;
}

static bool climbs(const char *path)
{
	for (const char *p = strstr(path, "/.."); p; p = strstr(p + 1, "/.."))
		if (p[3] == '/' || p[3] == '\0')
			return true;
	return false;
}

/* The revertfs mounts there are: "'/srv/a', '/srv/b'". */
static void list_mounts(const struct mounts *mounts, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (const struct mount *m = mounts_next(mounts, NULL); m && used < size; m = mounts_next(mounts, m)) {
		int n = snprintf(out + used, size - used, "%s'%s'", used ? ", " : "", m->point);

		used += n > 0 ? (size_t)n : 0;
	}
}

static int refuse_elsewhere(const struct situation *s, const char *target, const char *path, struct sentence *refusal)
{
	const struct mount *mount = mounts_of_image(s->mounts, path);
	char list[512];

	if (mount)
		return report(refusal, -EINVAL,
			      "disk '%s' uses the real image '%s', which would not be protected: "
			      "set its source to '%s%s' with 'virsh edit'",
			      target, path, mount->point, path + strlen(mount->images));
	if (!mounts_next(s->mounts, NULL))
		return report(refusal, -EINVAL,
			      "disk '%s' is to be protected, but no revertfs is mounted: start the revertfs service, "
			      "which shows '%s'",
			      target, path);
	list_mounts(s->mounts, list, sizeof(list));
	return report(refusal, -EINVAL,
		      "disk '%s': '%s' is in no revertfs mount (there is %s): correct its source with 'virsh edit', "
		      "or start the revertfs service that shows it",
		      target, path, list);
}

static int place_path(const struct situation *s, const char *path, struct placed_disk *placed, struct sentence *refusal)
{
	const char *target = placed->entry->target;
	const char *below;

	if (path[0] != '/' || !text_is_clean(path) || climbs(path))
		return report(refusal, -EINVAL,
			      "disk '%s' needs a source that is an absolute path, without '..' and control characters",
			      target);
	placed->path = tidy_path(path);
	if (!placed->path)
		return report(refusal, -ENOMEM, "out of memory");
	placed->mount = mounts_of_path(s->mounts, placed->path);
	if (!placed->mount)
		return refuse_elsewhere(s, target, placed->path, refusal);
	below = placed->path + strlen(placed->mount->point);
	if (strcmp(below, "") == 0 || strcmp(below, "/") == 0 || path_is_beneath(below, "/.revertfs"))
		return report(refusal, -EINVAL, "disk '%s': '%s' is not an image: correct its source with 'virsh edit'",
			      target, placed->path);
	return 0;
}

/* ---- what the XML must be like */

static bool is(const char *value, const char *wanted, const char *otherwise)
{
	return strcmp(value ? value : otherwise, wanted) == 0;
}

static int check_kind(const struct domain_disk *disk, struct sentence *refusal)
{
	const char *target = disk->target;

	if (!is(disk->type, "file", "file") && !is(disk->type, "volume", "file"))
		return report(refusal, -EINVAL,
			      "disk '%s' is of type '%s', and only files can be protected: "
			      "take it out of the hook's configuration",
			      target, disk->type);
	if (!is(disk->device, "disk", "disk"))
		return report(refusal, -EINVAL,
			      "'%s' is a %s, and only disks can be protected: take it out of the hook's configuration",
			      target, disk->device);
	if (!is(disk->format, "qcow2", "raw"))
		return report(refusal, -EINVAL,
			      "disk '%s' has the driver type '%s', but protected disks are served as qcow2, whatever "
			      "the image is: set type='qcow2' in its <driver> with 'virsh edit'",
			      target, disk->format ? disk->format : "raw");
	if (disk->transient)
		return report(refusal, -EINVAL,
			      "disk '%s' is <transient/>, which reverts it beside revertfs: remove that element with "
			      "'virsh edit'",
			      target);
	if (disk->misfit)
		return report(refusal, -EINVAL, "disk '%s' %s: take it out of the hook's configuration", target,
			      disk->misfit);
	return 0;
}

/* The last file of the chain that lies in a mount, which its daemon does not provide: the disk. */
static int find_below(const struct situation *s, const struct domain_disk *disk, char **ret_path,
		      const struct mount **ret_mount)
{
	for (size_t i = disk->chain_length; i-- > 0;) {
		CLEANUP(freep) char *path = tidy_path(disk->chain[i]);
		const struct mount *mount = path ? mounts_of_path(s->mounts, path) : NULL;

		if (!path)
			return -ENOMEM;
		if (mount && strcmp(path, mount->point) != 0 &&
		    !path_is_beneath(path + strlen(mount->point), "/.revertfs")) {
			*ret_path = steal_pointer(&path);
			*ret_mount = mount;
			return 0;
		}
	}
	return 0;
}

/* Whether the source, and all that lies between it and the disk, is in the disk's mount. */
static bool lies_in_mount(const struct situation *s, const struct domain_disk *disk, const char *path,
			  const struct mount *mount)
{
	for (size_t i = 0; i < disk->chain_length && strcmp(disk->chain[i], path) != 0; i++)
		if (mounts_of_path(s->mounts, disk->chain[i]) != mount)
			return false;
	return mounts_of_path(s->mounts, disk->path) == mount;
}

/*
 * What the snapshot's file has can be kept by libvirt itself where the file lies in the mount: the
 * daemon has the domain go on with it (session/left_snapshot.c in the daemon). Elsewhere qemu-img
 * has to do it, as root, on a file that was the guest's: -b has it refuse one whose header names
 * another backing file by now.
 */
static int refuse_snapshot(const struct situation *s, const struct domain_disk *disk, const char *path,
			   const struct mount *mount, struct sentence *refusal)
{
	struct sentence quoted_domain, quoted_path, quoted_source, quoted_disk;
	const char *shown = s->event->shown, *domain = quote_name(shown, &quoted_domain);
	const char *from = quote_name(disk->path, &quoted_source), *on = quote_name(path, &quoted_path);
	CLEANUP(freep)
	char *keep =
		lies_in_mount(s, disk, path, mount)
			? format_text("or, to keep it, remove only <backingStore>, start the domain, 'revertctl "
				      "commit-once %s' and 'virsh blockcommit %s %s --active --pivot --base %s'",
				      domain, domain, disk->target, on)
			: format_text("unless you first 'qemu-img commit -f qcow2 -b %s %s' and 'revertctl commit %s'",
				      on, from, quote_name(path + strlen(mount->point) + 1, &quoted_disk));

	return report(
		refusal, -EINVAL,
		"disk '%s': its source '%s' is an external snapshot that was left behind, on '%s': set the source "
		"back to that and remove <backingStore> with 'virsh edit %s', which drops what the snapshot has, %s",
		disk->target, disk->path, path, domain, keep ? keep : "");
}

/*
 * An external snapshot that was left behind, as a backup that failed leaves it: libvirt goes on
 * with the snapshot's file, which stands on what a disk serves, or on other snapshots that do.
 */
int plan_refuse_snapshot(const struct situation *s, const struct domain_disk *disk, struct sentence *refusal)
{
	const struct mount *mount = NULL;
	CLEANUP(freep) char *path = NULL;
	int r = disk->path ? find_below(s, disk, &path, &mount) : 0;

	if (r < 0)
		return report(refusal, r, "out of memory");
	return path ? refuse_snapshot(s, disk, path, mount, refusal) : 0;
}

/*
 * libvirt would use the chain that is written there, and not the one that the mount serves. (At a
 * restore the hook removes it, see act.c.) This is checked after the path: where that is wrong,
 * too, it is what the administrator must correct.
 */
static int check_no_chain(const struct domain_disk *disk, struct sentence *refusal)
{
	if (!disk->backing_store)
		return 0;
	return report(refusal, -EINVAL,
		      "disk '%s' has a <backingStore>, which hides what revertfs serves: remove that element "
		      "with 'virsh edit'",
		      disk->target);
}

/* A volume has a path only when its pool could be read; else `problem` says why not. */
static int check_source(const struct domain_disk *disk, struct sentence *refusal)
{
	if (disk->path && *disk->path)
		return 0;
	if (disk->problem)
		return report(refusal, -EINVAL, "disk '%s': %s", disk->target, disk->problem);
	return report(refusal, -EINVAL, "disk '%s' has no source: set it with 'virsh edit'", disk->target);
}

static int check_unique(const struct domain *domain, const struct domain_disk *disk, struct sentence *refusal)
{
	for (const struct domain_disk *d = domain->disks; d < domain->disks + domain->count; d++)
		if (d != disk && strcmp(d->target, disk->target) == 0)
			return report(refusal, -EINVAL,
				      "the domain has two disks with the target '%s': correct it with 'virsh edit'",
				      disk->target);
	return 0;
}

static int place_disk(const struct situation *s, struct placed_disk *placed, struct sentence *refusal)
{
	const struct domain_disk *disk = domain_find(s->domain, placed->entry->target);
	int r;

	if (!disk)
		return report(refusal, -EINVAL,
			      "'%s' names the target '%s', but the domain has no such disk: correct the target there",
			      s->config->shown, placed->entry->target);
	r = check_unique(s->domain, disk, refusal);
	if (r == 0)
		r = check_kind(disk, refusal);
	if (r == 0)
		r = check_source(disk, refusal);
	if (r == 0)
		r = plan_refuse_snapshot(s, disk, refusal);
	if (r == 0)
		r = place_path(s, disk->path, placed, refusal);
	if (r == 0)
		r = check_no_chain(disk, refusal);
	return r;
}

static int check_no_path_twice(const struct placement *placement, struct sentence *refusal)
{
	for (size_t i = 1; i < placement->count; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(placement->disks[i].path, placement->disks[j].path) == 0)
				return report(refusal, -EINVAL,
					      "the disks '%s' and '%s' have the same source, '%s': correct one of them "
					      "with 'virsh edit'",
					      placement->disks[j].entry->target, placement->disks[i].entry->target,
					      placement->disks[i].path);
	return 0;
}

static int place_disks(const struct situation *s, struct placement *placement, struct sentence *refusal)
{
	placement->disks = calloc(s->config->count + 1, sizeof(*placement->disks));
	if (!placement->disks)
		return report(refusal, -ENOMEM, "out of memory");
	for (size_t i = 0; i < s->config->count; i++) {
		struct placed_disk *placed = &placement->disks[placement->count++];
		int r;

		placed->entry = &s->config->disks[i];
		r = place_disk(s, placed, refusal);
		if (r < 0)
			return r;
	}
	return check_no_path_twice(placement, refusal);
}

/* ---- lines */

/*
 * Append a word or a setting, unless its value is NULL. Once *r is an error nothing is appended, so
 * that a row of calls needs one check at its end.
 */
static void append(char **line, int *r, const char *key, const char *value)
{
	if (*r == 0 && value)
		*r = command_append(line, key, value);
}

static const char *yes_no(bool value)
{
	return value ? "yes" : "no";
}

static void begin_line(const struct situation *s, char **line, int *r, const char *verb, const char *reason)
{
	append(line, r, NULL, verb);
	append(line, r, NULL, s->domain->uuid);
	append(line, r, "domain", s->event->shown);
	append(line, r, "reason", reason);
	append(line, r, "saved", yes_no(s->event->saved));
	append(line, r, "config", s->config ? s->config->token : NULL);
}

static void append_prepare_item(char **line, int *r, const struct placed_disk *placed)
{
	const struct config_disk *entry = placed->entry;
	char number[24];

	append(line, r, NULL, placed->path);
	append(line, r, "target", entry->target);
	append(line, r, "source", placed->path);
	append(line, r, "armed", yes_no(entry->one_shot_commit));
	append(line, r, "leftover", entry->leftover);
	append(line, r, "format", entry->format);
	snprintf(number, sizeof(number), "%" PRIu64, entry->keep_revisions);
	append(line, r, "keep-revisions", entry->has_keep_revisions ? number : NULL);
}

static void append_release_item(const struct situation *s, char **line, int *r, const struct config_disk *entry)
{
	const struct domain_disk *disk = domain_find(s->domain, entry->target);
	CLEANUP(freep) char *path = disk && disk->path ? tidy_path(disk->path) : NULL;

	append(line, r, NULL, entry->target);
	append(line, r, "armed", yes_no(entry->one_shot_commit));
	/* A path that cannot stand in a line cannot be the one that was prepared. */
	append(line, r, "source", path && !text_is_clean(path) ? "unusable" : path);
}

static bool is_in_mount(const struct mounts *mounts, const char *path, const struct mount *mount)
{
	const struct mount *found = mounts_of_path(mounts, path);

	return found && strcmp(found->device, mount->device) == 0;
}

/*
 * The disks that a domain without a file has in the mount, of which the daemon has no session. It
 * is to know that their guest was shut down in order.
 */
static void append_unhooked(const struct situation *s, const struct mount *mount, char **line, int *r)
{
	for (size_t i = 0; !s->config && i < s->domain->count; i++) {
		const struct domain_disk *disk = &s->domain->disks[i];
		CLEANUP(freep) char *path = disk->path ? tidy_path(disk->path) : NULL;

		/* What a guest could not write, it has not left in order. */
		if (disk->readonly || !path || !text_is_clean(path) || !text_is_clean(disk->target) ||
		    !is_in_mount(s->mounts, path, mount))
			continue;
		append(line, r, NULL, disk->target);
		append(line, r, "unhooked", "yes");
		append(line, r, "source", path);
	}
}

/* Add a request with this line, which is freed on failure. `r` is the result of making the line. */
static int add_request(struct plan *plan, const struct mount *mount, char *line, int r, struct sentence *refusal)
{
	struct request *larger = reallocarray(plan->requests, plan->count + 1, sizeof(*larger));

	if (larger)
		plan->requests = larger;
	if (r == 0 && strlen(line) >= COMMAND_LINE_MAX)
		r = -E2BIG;
	if (larger && r == 0) {
		larger[plan->count++] = (struct request){ .mount = mount, .line = line, .ours = true };
		return 0;
	}
	free(line);
	r = larger ? r : -ENOMEM;
	return report(refusal, r, "cannot put the domain's disks in '%s' into one command: %s", mount->point,
		      error_text(r));
}

static bool is_planned(const struct plan *plan, const struct mount *mount)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->requests[i].mount == mount)
			return true;
	return false;
}

static int add_prepare(const struct situation *s, struct plan *plan, const struct placement *placement,
		       const struct mount *mount, struct sentence *refusal)
{
	char *line = NULL;
	int r = 0;

	begin_line(s, &line, &r, "prepare", NULL);
	for (size_t i = 0; i < placement->count; i++)
		if (placement->disks[i].mount == mount)
			append_prepare_item(&line, &r, &placement->disks[i]);
	return add_request(plan, mount, line, r, refusal);
}

static int add_announce(const struct situation *s, struct plan *plan, const struct placement *placement,
			const struct mount *mount, struct sentence *refusal)
{
	char *line = NULL;
	int r = 0;

	(void)placement;
	append(&line, &r, NULL, "announce");
	append(&line, &r, NULL, s->domain->uuid);
	return add_request(plan, mount, line, r, refusal);
}

/* Whether configured disks of the domain are in the request's mount, as far as the XML says. */
static void note_disks(const struct situation *s, struct request *request)
{
	request->ours = false;
	for (size_t i = 0; s->config && i < s->config->count; i++) {
		const struct domain_disk *disk = domain_find(s->domain, s->config->disks[i].target);
		CLEANUP(freep) char *path = disk && disk->path ? tidy_path(disk->path) : NULL;

		if (!path || !is_in_mount(s->mounts, path, request->mount))
			continue;
		request->ours = true;
		request->armed |= s->config->disks[i].one_shot_commit;
	}
}

static int add_release(const struct situation *s, struct plan *plan, const struct mount *mount, const char *reason,
		       struct sentence *refusal)
{
	char *line = NULL;
	int r = 0;

	begin_line(s, &line, &r, "release", reason);
	for (size_t i = 0; s->config && i < s->config->count; i++)
		append_release_item(s, &line, &r, &s->config->disks[i]);
	if (strcmp(reason, "shutdown") == 0)
		append_unhooked(s, mount, &line, &r);
	r = add_request(plan, mount, line, r, refusal);
	if (r == 0)
		note_disks(s, &plan->requests[plan->count - 1]);
	return r;
}

/* ---- plans */

static int plan_for_disks(const struct situation *s, struct plan **ret_plan, struct sentence *refusal,
			  int (*add)(const struct situation *, struct plan *, const struct placement *,
				     const struct mount *, struct sentence *))
{
	CLEANUP(free_placementp) struct placement placement = { 0 };
	CLEANUP(plan_freep) struct plan *plan = calloc(1, sizeof(*plan));
	int r = plan ? place_disks(s, &placement, refusal) : report(refusal, -ENOMEM, "out of memory");

	for (size_t i = 0; r == 0 && i < placement.count; i++)
		if (!is_planned(plan, placement.disks[i].mount))
			r = add(s, plan, &placement, placement.disks[i].mount, refusal);
	if (r == 0)
		*ret_plan = steal_pointer(&plan);
	return r;
}

int plan_prepare(const struct situation *situation, struct plan **ret_plan, struct sentence *refusal)
{
	return plan_for_disks(situation, ret_plan, refusal, add_prepare);
}

int plan_announce(const struct situation *situation, struct plan **ret_plan, struct sentence *refusal)
{
	return plan_for_disks(situation, ret_plan, refusal, add_announce);
}

int plan_release(const struct situation *situation, struct plan **ret_plan, struct sentence *refusal)
{
	CLEANUP(plan_freep) struct plan *plan = calloc(1, sizeof(*plan));
	const struct mount *mount = NULL;
	int r = plan ? 0 : report(refusal, -ENOMEM, "out of memory");

	while (r == 0 && (mount = mounts_next(situation->mounts, mount)))
		r = add_release(situation, plan, mount, situation->event->reason, refusal);
	if (r == 0)
		*ret_plan = steal_pointer(&plan);
	return r;
}

int plan_undo(const struct situation *situation, const struct plan *prepared, const bool *done, struct plan **ret_plan,
	      struct sentence *refusal)
{
	CLEANUP(plan_freep) struct plan *plan = calloc(1, sizeof(*plan));
	int r = plan ? 0 : report(refusal, -ENOMEM, "out of memory");

	for (size_t i = 0; r == 0 && i < prepared->count; i++)
		if (done[i])
			r = add_release(situation, plan, prepared->requests[i].mount, "failed", refusal);
	if (r == 0)
		*ret_plan = steal_pointer(&plan);
	return r;
}
