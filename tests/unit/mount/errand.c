/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which requests share lanes, and which must not: two that do can keep each other waiting.
 */
#include "test.h"

#include <string.h>

#include "errand.h"

enum { ROOT = 0, USER = 1000, QEMU = 64055 };

static const struct place on_images = { .kind = PLACE_FILE, .device = 1 };
static const struct place elsewhere = { .kind = PLACE_FILE, .device = 2 };
static const struct place disk = { .kind = PLACE_DISK, .number = 7 };
static const struct place view = { .kind = PLACE_VIEW, .device = 1, .number = 8 };

static struct errand errand(enum wire_opcode opcode, uid_t uid, struct place place)
{
	const struct wire_request request = { .length = sizeof(request), .opcode = opcode, .unique = 2, .uid = uid };

	return errand_to(&request, &place);
}

static struct place as_onlooker(struct place place)
{
	place.is_onlookers = true;
	return place;
}

static bool has(const struct errand *errand, const struct lane_key *key)
{
	for (int i = 0; i < LANE_SLOTS; i++) {
		const struct lane_key *own = &errand->keys[i];

		if (own->kind == key->kind && own->number == key->number && own->other == key->other)
			return true;
	}
	return false;
}

/* Whether a lane that one of them goes through may be full because of the other. */
static bool meet(struct errand a, struct errand b)
{
	for (int i = 0; i < LANE_SLOTS; i++)
		if (a.keys[i].kind && has(&b, &a.keys[i]))
			return true;
	return false;
}

TEST(names_never_wait_behind_what_is_opened_or_read)
{
	static const enum wire_opcode names[] = { WIRE_LOOKUP, WIRE_READDIR, WIRE_CREATE,
						  WIRE_MKDIR,  WIRE_UNLINK,  WIRE_RENAME2 };
	static const enum wire_opcode slow[] = { WIRE_OPEN, WIRE_SETATTR, WIRE_WRITE, WIRE_FSYNC, WIRE_GETATTR };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (size_t j = 0; j < ARRAY_SIZE(slow); j++) {
			check(!meet(errand(names[i], USER, on_images), errand(slow[j], USER, on_images)));
			check(!meet(errand(names[i], USER, on_images), errand(slow[j], USER, elsewhere)));
		}
	check(meet(errand(WIRE_WRITE, USER, on_images),
		   errand(WIRE_OPEN, USER, elsewhere))); /* all that the user has */
	check(meet(errand(WIRE_LOOKUP, USER, on_images), errand(WIRE_READDIR, USER, on_images)));
	check(!meet(errand(WIRE_LOOKUP, USER, on_images), errand(WIRE_READDIR, USER, elsewhere)));
}

TEST(what_users_have_at_work_is_bounded_however_many_filesystems_hang)
{
	struct errand one = errand(WIRE_READ, USER, on_images), others = errand(WIRE_OPEN, USER + 1, elsewhere);

	check(meet(one, others));
	check(!meet(one, errand(WIRE_READ, ROOT, on_images)));
	check(!meet(one, errand(WIRE_READ, QEMU, disk)));
	check(!meet(one, errand(WIRE_READ, QEMU, view)));
}

TEST(nobody_uses_up_roots_lanes_by_closing_or_by_a_mapping)
{
	const struct wire_write write = { .request = { .length = sizeof(write), .opcode = WIRE_WRITE },
					  .flags = WIRE_WRITE_CACHE };
	const struct errand written_back = errand_to(&write.request, &on_images);

	/* The kernel sends these as root's, whoever closes. */
	check(!meet(errand(WIRE_RELEASE, ROOT, on_images), errand(WIRE_READ, ROOT, on_images)));
	check(!meet(errand(WIRE_RELEASEDIR, ROOT, on_images), errand(WIRE_LOOKUP, ROOT, on_images)));
	check(!meet(errand(WIRE_RELEASE, ROOT, on_images), errand(WIRE_RELEASE, ROOT, elsewhere)));
	check_int(errand(WIRE_RELEASE, ROOT, on_images).refusal, LANE_REFUSES_NEVER);
	check(!meet(written_back, errand(WIRE_WRITE, ROOT, on_images)));
	check_int(written_back.refusal, LANE_REFUSES_DATA);
}

TEST(root_meets_no_user)
{
	for (enum wire_opcode opcode = WIRE_LOOKUP; opcode <= WIRE_COPY_FILE_RANGE; opcode++) {
		if (opcode == WIRE_RELEASE || opcode == WIRE_RELEASEDIR)
			continue;
		check(!meet(errand(opcode, ROOT, on_images), errand(opcode, USER, on_images)));
		check(!meet(errand(opcode, ROOT, view), errand(opcode, USER, as_onlooker(view))));
		check(!meet(errand(opcode, ROOT, disk), errand(opcode, USER, as_onlooker(disk))));
	}
}

TEST(onlookers_keep_no_guest_waiting)
{
	check(!meet(errand(WIRE_READ, QEMU, view), errand(WIRE_READ, USER, as_onlooker(view))));
	check(!meet(errand(WIRE_WRITE, QEMU, disk), errand(WIRE_READ, USER, as_onlooker(disk))));
	check(!meet(errand(WIRE_OPEN, QEMU, disk), errand(WIRE_OPEN, USER, as_onlooker(disk))));
	check(!meet(errand(WIRE_WRITE, QEMU, disk), errand(WIRE_LOOKUP, USER, disk)));
	check(!meet(errand(WIRE_WRITE, QEMU, disk), errand(WIRE_OPEN, QEMU, disk)));
	check(!meet(errand(WIRE_WRITE, QEMU, disk), errand(WIRE_WRITE, QEMU, elsewhere)));
}

TEST(who_opens_a_control_file_pays_for_what_others_write_to_it)
{
	const struct wire_request request = { .opcode = WIRE_WRITE, .uid = ROOT };

	check(!meet(errand_of_command(&request, ROOT), errand_of_command(&request, USER)));
	check(meet(errand_of_command(&request, USER), errand_of_command(&request, USER + 1)));
}

TEST(data_is_parked_whatever_it_is_of)
{
	static const enum wire_opcode data[] = { WIRE_READ, WIRE_WRITE, WIRE_FSYNC };

	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		check_int(errand(data[i], USER, on_images).refusal, LANE_REFUSES_DATA);
		check_int(errand(data[i], QEMU, disk).refusal, LANE_REFUSES_DATA);
	}
	check_int(errand(WIRE_GETATTR, USER, on_images).refusal, LANE_REFUSES_MANY);
}

TEST(what_leads_elsewhere_leaves_the_first_filesystem)
{
	const struct wire_request request = { .opcode = WIRE_LOOKUP, .uid = USER };
	struct errand crosses = errand_to(&request, &on_images);

	errand_goes_elsewhere(&crosses, &request, elsewhere.device);
	check(!meet(crosses, errand(WIRE_LOOKUP, USER, on_images)));
	check(meet(crosses, errand(WIRE_LOOKUP, USER, elsewhere)));
}
