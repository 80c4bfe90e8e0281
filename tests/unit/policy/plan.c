/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hook's policy: what each situation of XML, configuration and mounts asks of which mount, or
 * why it is refused.
 */
#include "test.h"

#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "plan.h"

#define UUID "0f7f9e1c-2d6b-4c1e-9a53-6f1b0c7d8e90"
#define HEAD "\"" UUID "\" domain=\"win10\" "

#define NO_MOUNT "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
#define ONE_MOUNT NO_MOUNT "90 21 0:50 / /srv/vm rw,nosuid - fuse.revertfs /srv/images rw\n"
#define TWO_MOUNTS ONE_MOUNT "91 21 0:51 / /srv/data rw - fuse.revertfs /srv/data-images rw\n"

#define DISK_X(attributes, driver, source, target, more)                                                \
	"<disk " attributes "><driver name='qemu' " driver "/><source " source "/><target dev='" target \
	"' bus='virtio'/>" more "</disk>"
#define DISK(path, target) DISK_X("type='file' device='disk'", "type='qcow2'", "file='" path "'", target, "")
#define ENTRY(target) "{\"target\":\"" target "\"}"

/* What a test sets; the rest is as in most cases. */
struct example {
	const char *mounts, *disks, *json, *reason;
	bool saved;
};

struct world {
	struct event event;
	struct domain *domain;
	struct config *config;
	struct mounts *mounts;
	struct situation situation;
};

static struct config *load(const char *json)
{
	struct config *config = NULL;
	struct sentence error = { "" };
	char *path = format_text("%s/win10.json", TEST_DIR);
	FILE *file = fopen(path, "w");

	check(file);
	fputs(json, file);
	fclose(file);
	if (config_load(TEST_DIR, "win10", &config, &error) != 1)
		test_fail(__FILE__, __LINE__, "%s", error.text);
	unlink(path);
	free(path);
	snprintf(config->token, sizeof(config->token), "TOKEN");
	return config;
}

static struct world make_world(struct example example)
{
	struct world w = { 0 };
	char *json = format_text("{\"disks\":[%s]}", example.json ? example.json : "");
	char *xml = format_text("<domain type='kvm'><uuid>" UUID "</uuid><devices>%s</devices></domain>",
				example.disks ? example.disks : "");

	event_new("win10", "-", &w.event);
	w.event.saved = example.saved;
	if (example.reason)
		w.event.reason = example.reason;
	check_int(domain_parse(xml, strlen(xml), &w.domain, NULL), 0);
	check_int(mounts_parse(example.mounts ? example.mounts : ONE_MOUNT, &w.mounts), 0);
	if (example.json)
		w.config = load(json);
	free(json);
	free(xml);
	return w;
}

static void end_world(struct world *w)
{
	domain_free(w->domain);
	config_free(w->config);
	mounts_free(w->mounts);
}

typedef int planner(const struct situation *, struct plan **, struct sentence *);

static struct situation situation_of(const struct world *w)
{
	return (struct situation){ &w->event, w->domain, w->config, w->mounts };
}

/* The plan, one line "MOUNT LINE" for each request. */
static void asks(planner *make_plan, struct example example, const char *expected)
{
	struct world w = make_world(example);
	struct situation situation = situation_of(&w);
	struct sentence why = { "" };
	struct plan *plan = NULL;
	char got[4096] = "";

	if (make_plan(&situation, &plan, &why) < 0)
		test_fail(__FILE__, __LINE__, "refused: %s", why.text);
	for (size_t i = 0; i < plan->count; i++) {
		size_t n = strlen(got);

		snprintf(got + n, sizeof(got) - n, "%s %s\n", plan->requests[i].mount->point, plan->requests[i].line);
	}
	plan_free(plan);
	end_world(&w);
	check_str(got, expected);
}

static void refused(struct example example, const char *words)
{
	planner *const planners[] = { plan_prepare, plan_announce };

	/* What keeps a domain from starting keeps it from being restored, too. */
	for (size_t i = 0; i < ARRAY_SIZE(planners); i++) {
		struct world w = make_world(example);
		struct situation situation = situation_of(&w);
		struct sentence why = { "" };
		struct plan *plan = NULL;
		int r = planners[i](&situation, &plan, &why);

		plan_free(plan);
		end_world(&w);
		check_int(r, -EINVAL);
		check_contains(why.text, words);
	}
}

/* ---- prepare */

TEST(prepare_names_the_disk_its_target_and_its_source)
{
	asks(plan_prepare, (struct example){ .disks = DISK("/srv/vm/win10.qcow2", "vda"), .json = ENTRY("vda") },
	     "/srv/vm \"prepare\" " HEAD "saved=\"no\" config=\"TOKEN\" \"/srv/vm/win10.qcow2\" target=\"vda\" "
	     "source=\"/srv/vm/win10.qcow2\" armed=\"no\"\n");
}

TEST(prepare_says_when_a_managed_save_is_there)
{
	asks(plan_prepare, (struct example){ .disks = DISK("/srv/vm/a", "vda"), .json = ENTRY("vda"), .saved = true },
	     "/srv/vm \"prepare\" " HEAD "saved=\"yes\" config=\"TOKEN\" \"/srv/vm/a\" target=\"vda\" "
	     "source=\"/srv/vm/a\" armed=\"no\"\n");
}

TEST(prepare_passes_every_key_of_the_configuration_on)
{
	asks(plan_prepare,
	     (struct example){ .disks = DISK("/srv/vm/a", "vda"),
			       .json = "{\"target\":\"vda\",\"one-shot-commit\":true,\"leftover\":\"keep\","
				       "\"keep-revisions\":0,\"format\":\"raw\",\"x\":1}" },
	     "/srv/vm \"prepare\" " HEAD "saved=\"no\" config=\"TOKEN\" \"/srv/vm/a\" target=\"vda\" "
	     "source=\"/srv/vm/a\" armed=\"yes\" leftover=\"keep\" format=\"raw\" keep-revisions=\"0\"\n");
}

TEST(all_disks_of_a_mount_go_in_one_command_and_others_stay_out)
{
	asks(plan_prepare,
	     (struct example){ .disks = DISK("/srv/vm/a", "vda") DISK("/srv/vm/b", "vdb") DISK("/srv/vm/c", "vdc"),
			       .json = ENTRY("vdc") "," ENTRY("vda") },
	     "/srv/vm \"prepare\" " HEAD "saved=\"no\" config=\"TOKEN\" \"/srv/vm/c\" target=\"vdc\" "
	     "source=\"/srv/vm/c\" armed=\"no\" \"/srv/vm/a\" target=\"vda\" source=\"/srv/vm/a\" armed=\"no\"\n");
}

TEST(each_mount_gets_a_command_of_its_own)
{
	asks(plan_prepare,
	     (struct example){ .mounts = TWO_MOUNTS,
			       .disks = DISK("/srv/vm/a", "vda") DISK("/srv/data/b", "vdb") DISK("/srv/vm/c", "vdc"),
			       .json = ENTRY("vda") "," ENTRY("vdb") "," ENTRY("vdc") },
	     "/srv/vm \"prepare\" " HEAD "saved=\"no\" config=\"TOKEN\" \"/srv/vm/a\" target=\"vda\" "
	     "source=\"/srv/vm/a\" armed=\"no\" \"/srv/vm/c\" target=\"vdc\" source=\"/srv/vm/c\" armed=\"no\"\n"
	     "/srv/data \"prepare\" " HEAD "saved=\"no\" config=\"TOKEN\" \"/srv/data/b\" target=\"vdb\" "
	     "source=\"/srv/data/b\" armed=\"no\"\n");
}

TEST(odd_paths_are_quoted)
{
	asks(plan_prepare,
	     (struct example){ .disks = DISK("/srv/vm/a \\ &quot;b&quot; = \xc3\xa9 &amp; c", "vda"),
			       .json = ENTRY("vda") },
	     "/srv/vm \"prepare\" " HEAD "saved=\"no\" config=\"TOKEN\" "
	     "\"/srv/vm/a \\\\ \\\"b\\\" = \xc3\xa9 & c\" target=\"vda\" "
	     "source=\"/srv/vm/a \\\\ \\\"b\\\" = \xc3\xa9 & c\" armed=\"no\"\n");
}

TEST(doubled_slashes_and_single_dots_do_not_hide_a_mount)
{
	asks(plan_prepare, (struct example){ .disks = DISK("//srv/./vm//sub/./a", "vda"), .json = ENTRY("vda") },
	     "/srv/vm \"prepare\" " HEAD "saved=\"no\" config=\"TOKEN\" \"/srv/vm/sub/a\" target=\"vda\" "
	     "source=\"/srv/vm/sub/a\" armed=\"no\"\n");
}

TEST(a_configuration_without_disks_asks_nothing)
{
	asks(plan_prepare, (struct example){ .disks = DISK("/elsewhere/a", "vda"), .json = "" }, "");
}

TEST(a_line_reads_back_as_it_was_meant)
{
	struct world w =
		make_world((struct example){ .disks = DISK("/srv/vm/x=y target=vdz", "vda"), .json = ENTRY("vda") });
	struct situation situation = situation_of(&w);
	struct plan *plan = NULL;
	struct command *command = NULL;

	check_int(plan_prepare(&situation, &plan, NULL), 0);
	check_int(command_parse(plan->requests[0].line, strlen(plan->requests[0].line), &command, NULL), 0);
	check_str(command->verb, "prepare");
	check_str(command->words[4].key, NULL);
	check_str(command->words[4].value, "/srv/vm/x=y target=vdz");
	command_free(command);
	plan_free(plan);
	end_world(&w);
}

/* ---- prepare, refused */

TEST(a_target_that_the_domain_does_not_have_is_refused)
{
	refused((struct example){ .disks = DISK("/srv/vm/a", "vda"), .json = ENTRY("vda") "," ENTRY("vdz") },
		"names the target 'vdz', but the domain has no such disk");
}

TEST(two_disks_with_one_target_are_refused)
{
	refused((struct example){ .disks = DISK("/srv/vm/a", "vda") DISK("/srv/vm/b", "vda"), .json = ENTRY("vda") },
		"two disks with the target 'vda'");
}

TEST(two_targets_with_one_source_are_refused)
{
	refused((struct example){ .disks = DISK("/srv/vm/a", "vda") DISK("/srv/vm//a", "vdb"),
				  .json = ENTRY("vda") "," ENTRY("vdb") },
		"'vda' and 'vdb' have the same source, '/srv/vm/a'");
}

TEST(a_raw_driver_type_is_refused)
{
	refused((struct example){ .disks = DISK_X("type='file' device='disk'", "type='raw'", "file='/srv/vm/a'", "vda",
						  ""),
				  .json = ENTRY("vda") },
		"has the driver type 'raw'");
}

TEST(no_driver_type_at_all_means_raw_and_is_refused)
{
	refused((struct example){ .disks = DISK_X("type='file'", "", "file='/srv/vm/a'", "vda", ""),
				  .json = ENTRY("vda") },
		"set type='qcow2' in its <driver>");
}

TEST(the_real_image_is_refused_with_the_path_to_use_instead)
{
	refused((struct example){ .disks = DISK("/srv/images/sub/a.img", "vda"), .json = ENTRY("vda") },
		"set its source to '/srv/vm/sub/a.img'");
}

TEST(a_mount_inside_the_images_directory_is_a_mount)
{
	asks(plan_prepare,
	     (struct example){ .mounts = "90 21 0:50 / /srv/images/live rw - fuse.revertfs /srv/images rw\n",
			       .disks = DISK("/srv/images/live/a", "vda"),
			       .json = ENTRY("vda") },
	     "/srv/images/live \"prepare\" " HEAD "saved=\"no\" config=\"TOKEN\" \"/srv/images/live/a\" target=\"vda\" "
	     "source=\"/srv/images/live/a\" armed=\"no\"\n");
}

TEST(a_path_elsewhere_is_refused_with_the_mounts_there_are)
{
	refused((struct example){ .mounts = TWO_MOUNTS, .disks = DISK("/srv/vmx/a", "vda"), .json = ENTRY("vda") },
		"'/srv/vmx/a' is in no revertfs mount (there is '/srv/vm', '/srv/data')");
}

TEST(without_any_mount_the_service_is_to_be_started)
{
	refused((struct example){ .mounts = NO_MOUNT, .disks = DISK("/srv/vm/a", "vda"), .json = ENTRY("vda") },
		"no revertfs is mounted: start the revertfs service");
}

TEST(a_path_that_climbs_is_refused)
{
	refused((struct example){ .disks = DISK("/srv/vm/../etc/shadow", "vda"), .json = ENTRY("vda") },
		"without '..'");
	refused((struct example){ .disks = DISK("/srv/vm/..", "vda"), .json = ENTRY("vda") }, "without '..'");
}

TEST(dots_within_a_name_are_just_a_name)
{
	asks(plan_prepare, (struct example){ .disks = DISK("/srv/vm/..a/.b/c..", "vda"), .json = ENTRY("vda") },
	     "/srv/vm \"prepare\" " HEAD "saved=\"no\" config=\"TOKEN\" \"/srv/vm/..a/.b/c..\" target=\"vda\" "
	     "source=\"/srv/vm/..a/.b/c..\" armed=\"no\"\n");
}

TEST(a_relative_path_is_refused)
{
	refused((struct example){ .disks = DISK("vm/a", "vda"), .json = ENTRY("vda") }, "an absolute path");
}

TEST(a_path_with_a_control_character_is_refused)
{
	refused((struct example){ .disks = DISK("/srv/vm/a&#10;reset b", "vda"), .json = ENTRY("vda") },
		"control characters");
}

TEST(the_mount_itself_and_its_own_directory_are_no_images)
{
	refused((struct example){ .disks = DISK("/srv/vm/", "vda"), .json = ENTRY("vda") }, "is not an image");
	refused((struct example){ .disks = DISK("/srv/vm/.revertfs/control", "vda"), .json = ENTRY("vda") },
		"is not an image");
}

TEST(other_kinds_of_disks_are_refused)
{
	refused((struct example){ .disks = DISK_X("type='block' device='disk'", "type='qcow2'", "dev='/dev/vg/a'",
						  "vda", ""),
				  .json = ENTRY("vda") },
		"is of type 'block'");
	refused((struct example){ .disks =
					  DISK_X("type='network' device='disk'", "type='qcow2'", "name='a'", "vda", ""),
				  .json = ENTRY("vda") },
		"is of type 'network'");
	refused((struct example){ .disks = DISK_X("type='file' device='cdrom'", "type='raw'", "file='/srv/vm/a'", "sda",
						  ""),
				  .json = ENTRY("sda") },
		"'sda' is a cdrom");
}

TEST(a_disk_without_a_source_is_refused)
{
	refused(
		(struct example){
			.disks = "<disk type='file' device='disk'><driver type='qcow2'/><target dev='vda'/></disk>",
			.json = ENTRY("vda") },
		"has no source");
}

TEST(a_transient_disk_is_refused)
{
	refused((struct example){ .disks = DISK_X("type='file'", "type='qcow2'", "file='/srv/vm/a'", "vda",
						  "<transient/>"),
				  .json = ENTRY("vda") },
		"<transient/>");
}

TEST(a_spelled_out_backing_chain_is_refused)
{
	refused((struct example){ .disks = DISK_X("type='file'", "type='qcow2'", "file='/srv/vm/a'", "vda",
						  "<backingStore/>"),
				  .json = ENTRY("vda") },
		"<backingStore>");
}

TEST(an_external_snapshot_on_a_served_disk_is_refused_with_both_ways_back)
{
	refused((struct example){ .disks = DISK_X("type='file'", "type='qcow2'", "file='/srv/vm/a.s1'", "vda",
						  "<backingStore><source file='/srv/vm//sub/a'/></backingStore>"),
				  .json = ENTRY("vda") },
		"'/srv/vm/a.s1' is an external snapshot that was left behind, on '/srv/vm/sub/a': set");
	refused((struct example){ .disks = DISK_X("type='file'", "type='qcow2'", "file='/srv/vm/a.s1'", "vda",
						  "<backingStore><source file='/srv/vm/a'/></backingStore>"),
				  .json = ENTRY("vda") },
		"'virsh blockcommit win10 vda --active --pivot --base /srv/vm/a'");
	refused((struct example){ .disks = DISK_X("type='file'", "type='qcow2'", "file='/srv/vm/a.s2'", "vda",
						  "<backingStore><source file='/srv/vm/a.s1'/><backingStore>"
						  "<source file='/srv/vm/a'/></backingStore></backingStore>"),
				  .json = ENTRY("vda") },
		"'virsh blockcommit win10 vda --active --pivot --base /srv/vm/a'");
	refused((struct example){ .disks = DISK_X("type='file'", "type='qcow2'", "file='/srv/vm/a.s2'", "vda",
						  "<backingStore><source file='/elsewhere/s1'/><backingStore>"
						  "<source file='/srv/vm/a'/></backingStore></backingStore>"),
				  .json = ENTRY("vda") },
		"'qemu-img commit -f qcow2 -b /srv/vm/a /srv/vm/a.s2' and 'revertctl commit a'");
	refused((struct example){ .disks = DISK_X("type='file'", "type='qcow2'", "file='/elsewhere/s1'", "vda",
						  "<backingStore><source file='/srv/vm/sub/a'/></backingStore>"),
				  .json = ENTRY("vda") },
		"'qemu-img commit -f qcow2 -b /srv/vm/sub/a /elsewhere/s1' and 'revertctl commit sub/a'");
}

TEST(a_disk_that_cannot_be_served_is_refused_with_the_reason)
{
	refused((struct example){ .disks = DISK_X("type='file'", "type='qcow2'", "file='/srv/vm/a'", "vda",
						  "<encryption format='luks'/>"),
				  .json = ENTRY("vda") },
		"disk 'vda' is decrypted by QEMU (<encryption>)");
}

TEST(a_volume_that_was_not_found_is_refused_with_its_reason)
{
	struct world w = make_world(
		(struct example){ .disks = DISK_X("type='volume'", "type='qcow2'", "pool='p' volume='v'", "vda", ""),
				  .json = ENTRY("vda") });
	struct situation situation = situation_of(&w);
	struct sentence why = { "" };
	struct plan *plan = NULL;

	domain_resolve_volume(&w.domain->disks[0], NULL, 0);
	check_int(plan_prepare(&situation, &plan, &why), -EINVAL);
	check_contains(why.text, "disk 'vda': the storage pool 'p' is not there");
	end_world(&w);
}

TEST(more_than_a_command_can_hold_is_refused)
{
	char *disks = strdup(""), *json = strdup("");
	struct sentence why = { "" };
	struct plan *plan = NULL;
	struct situation situation;
	struct world w;

	for (int i = 0; i < 400; i++) {
		char *more = format_text("%s" DISK("/srv/vm/%0100d", "v%d"), disks, i, i);
		char *entries = format_text("%s%s{\"target\":\"v%d\"}", json, i ? "," : "", i);

		free(disks);
		free(json);
		disks = more;
		json = entries;
	}
	w = make_world((struct example){ .disks = disks, .json = json });
	situation = situation_of(&w);
	check_int(plan_prepare(&situation, &plan, &why), -E2BIG);
	check_contains(why.text, "into one command");
	end_world(&w);
	free(disks);
	free(json);
}

/* ---- restore */

TEST(a_restore_is_announced_to_the_mounts_of_the_disks_alone)
{
	asks(plan_announce,
	     (struct example){ .mounts = TWO_MOUNTS,
			       .disks = DISK("/srv/data/a", "vda") DISK("/srv/data/b", "vdb"),
			       .json = ENTRY("vda") "," ENTRY("vdb") },
	     "/srv/data \"announce\" \"" UUID "\"\n");
}

/* ---- release */

TEST(a_release_goes_to_every_mount_with_the_entries_as_they_are_now)
{
	asks(plan_release,
	     (struct example){ .mounts = TWO_MOUNTS,
			       .disks = DISK("/srv/vm//a", "vda"),
			       .json = "{\"target\":\"vda\",\"one-shot-commit\":true}," ENTRY("vdb"),
			       .reason = "shutdown" },
	     "/srv/vm \"release\" " HEAD "reason=\"shutdown\" saved=\"no\" config=\"TOKEN\" \"vda\" armed=\"yes\" "
	     "source=\"/srv/vm/a\" \"vdb\" armed=\"no\"\n"
	     "/srv/data \"release\" " HEAD "reason=\"shutdown\" saved=\"no\" config=\"TOKEN\" \"vda\" armed=\"yes\" "
	     "source=\"/srv/vm/a\" \"vdb\" armed=\"no\"\n");
}

TEST(a_release_without_a_configuration_has_no_items)
{
	asks(plan_release,
	     (struct example){ .disks = DISK("/srv/vm/a", "vda"), .reason = "from snapshot", .saved = true },
	     "/srv/vm \"release\" " HEAD "reason=\"from snapshot\" saved=\"yes\"\n");
}

TEST(a_release_refuses_nothing)
{
	asks(plan_release,
	     (struct example){ .disks = DISK("/a&#10;b", "vda")
				       DISK_X("type='block'", "type='raw'", "dev='/b'", "vdb", ""),
			       .json = ENTRY("vda") "," ENTRY("vdb") },
	     "/srv/vm \"release\" " HEAD "reason=\"unknown\" saved=\"no\" config=\"TOKEN\" \"vda\" armed=\"no\" "
	     "source=\"unusable\" \"vdb\" armed=\"no\"\n");
}

TEST(a_release_asks_a_filesystem_once_and_nobody_where_none_is_mounted)
{
	asks(plan_release,
	     (struct example){ .mounts = ONE_MOUNT "95 21 0:50 / /other/place rw - fuse.revertfs /srv/images rw\n",
			       .reason = "destroyed" },
	     "/srv/vm \"release\" " HEAD "reason=\"destroyed\" saved=\"no\"\n");
	asks(plan_release, (struct example){ .mounts = NO_MOUNT, .reason = "destroyed" }, "");
}

TEST(a_release_knows_where_the_domains_disks_are_and_which_are_armed)
{
	struct world w = make_world((struct example){
		.mounts = TWO_MOUNTS "95 21 0:55 / /srv/none rw - fuse.revertfs /srv/none-images rw\n"
				     "96 21 0:50 / /again rw - fuse.revertfs /srv/images rw\n",
		.disks = DISK("/again/a", "vda") DISK("/srv/data/b", "vdb") DISK("/srv/none/c", "vdc"),
		.json = "{\"target\":\"vda\",\"one-shot-commit\":true}," ENTRY("vdb") });
	struct situation situation = situation_of(&w);
	struct plan *plan = NULL;

	check_int(plan_release(&situation, &plan, NULL), 0);
	check_int(plan->count, 3);
	check(plan->requests[0].ours && plan->requests[0].armed);
	check(plan->requests[1].ours && !plan->requests[1].armed);
	check(!plan->requests[2].ours && !plan->requests[2].armed);
	plan_free(plan);
	end_world(&w);
}

TEST(a_failed_prepare_is_taken_back_where_it_was_done)
{
	struct world w = make_world((struct example){ .mounts = TWO_MOUNTS,
						      .disks = DISK("/srv/vm/a", "vda") DISK("/srv/data/b", "vdb"),
						      .json = ENTRY("vda") "," ENTRY("vdb") });
	struct situation situation = situation_of(&w);
	struct plan *plan = NULL, *back = NULL;
	const bool done[] = { false, true };

	check_int(plan_prepare(&situation, &plan, NULL), 0);
	check_int(plan_undo(&situation, plan, done, &back, NULL), 0);
	check_int(back->count, 1);
	check_str(back->requests[0].mount->point, "/srv/data");
	check_contains(back->requests[0].line, "\"release\" " HEAD "reason=\"failed\" ");
	plan_free(plan);
	plan_free(back);
	end_world(&w);
}
