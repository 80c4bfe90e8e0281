/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *   a request about ...         who                    and with the others of
 *   a file of the images         uid and device         the users on the device
 *     opening or truncating it   ... the same, apart    ...
 *     names in a directory       ... the same, apart    ...
 *     closing it, writing back   device                 -
 *   a disk's descriptor          disk                   all disks
 *     opening or truncating it   ... the same, apart    ...
 *   a view                       view                   its device
 *   an onlooker's disk or view,  uid and disk or view   the users who look on, on its device
 *     a disk's name
 *   .revertfs                    uid                    -
 *   a command                    uid                    all users
 *
 * Files, but not names, also go with all else of their user, and with all users'.
 *
 * All guests are one uid, so disks and views have lanes of their own, which onlookers are kept out
 * of. For the same reason the lane of a uid is one on each device: guests on images that are not
 * protected do not wait for each other's filesystems. Root and the hook use up nobody's lane, and
 * nobody theirs. The kernel sends what closes a file, and what was changed in a mapping of it, as
 * root's, whoever it was.
 *
 * While a request about a name waits, the kernel holds the lock of its directory, and so keeps
 * everybody else from changing names there. So it never waits behind what is slow for other
 * reasons, as opening a file is on which its owner holds a lease.
 *
 * What must not be lost is parked, never refused: closing. What a program would take for an error
 * of its disk is refused only where it takes too much memory. FORGET and INTERRUPT wait for
 * nothing, and go through no lane.
 */
#include "errand.h"

#include <errno.h>
#include <string.h>

#include "node.h"

enum kind {
	NO_LANE,
	NAMES,
	OPENS,
	FILES,
	KERNELS,
	DEVICE,
	USER,
	USERS,
	DISK,
	DISK_OPENS,
	DISKS,
	VIEW,
	VIEWS,
	LOOKS,
	LOOKERS,
	ADMIN,
	COMMANDS,
	ALL_COMMANDS,
};

/* Of users, and of root where that differs. */
#define FILES_MAX 16
#define NAMES_MAX 8
#define ROOT_FILES_MAX 64
#define DEVICE_MAX 64
#define DEVICE_NAMES_MAX 32
#define KERNELS_MAX 64
#define USER_MAX 128
#define USERS_MAX 512
#define DISK_MAX 64 /* as many as one QEMU has threads for I/O */
#define DISK_OPENS_MAX 16
#define DISKS_MAX 768
#define DISKS_OPENS_MAX 256
#define VIEW_MAX 64
#define VIEWS_MAX 256
#define LOOKS_MAX 16
#define LOOKERS_MAX 64
#define ADMIN_MAX 16
#define ROOT_ADMIN_MAX 64
#define COMMANDS_MAX 16
#define ROOT_COMMANDS_MAX 256
#define ALL_COMMANDS_MAX 128

static struct lane_key lane(enum kind kind, unsigned limit, uint64_t number, uint64_t other)
{
	return (struct lane_key){ .kind = kind, .limit = limit, .number = number, .other = other };
}

/* ---- what a message is */

static bool goes_through_no_lane(const struct wire_request *request)
{
	return request->opcode == WIRE_FORGET || request->opcode == WIRE_BATCH_FORGET ||
	       request->opcode == WIRE_INTERRUPT || request->opcode == WIRE_DESTROY;
}

static bool opens(const struct wire_request *request)
{
	return request->opcode == WIRE_OPEN || request->opcode == WIRE_SETATTR;
}

static bool closes(const struct wire_request *request)
{
	return request->opcode == WIRE_RELEASE || request->opcode == WIRE_RELEASEDIR;
}

/* The kernel sends it of its own accord, and not as the user's for whom it does. */
static bool is_kernels(const struct wire_request *request)
{
	const struct wire_write *write = (const struct wire_write *)request;

	return closes(request) ||
	       (request->opcode == WIRE_WRITE && request->length >= sizeof(*write) && write->flags & WIRE_WRITE_CACHE);
}

/* The kernel holds the lock of the directory meanwhile. */
static bool is_about_names(const struct wire_request *request)
{
	switch (request->opcode) {
	case WIRE_LOOKUP:
	case WIRE_READDIR:
	case WIRE_CREATE:
	case WIRE_MKNOD:
	case WIRE_MKDIR:
	case WIRE_SYMLINK:
	case WIRE_LINK:
	case WIRE_UNLINK:
	case WIRE_RMDIR:
	case WIRE_RENAME:
	case WIRE_RENAME2:
		return true;
	default:
		return false;
	}
}

static bool is_data(const struct wire_request *request)
{
	return request->opcode == WIRE_READ || request->opcode == WIRE_WRITE || request->opcode == WIRE_FSYNC;
}

/* It is about an open descriptor, whether or not that is named in the message. */
static bool needs_descriptor(const struct wire_request *request)
{
	return is_data(request) || closes(request) || request->opcode == WIRE_FLUSH ||
	       request->opcode == WIRE_FALLOCATE || request->opcode == WIRE_LSEEK ||
	       request->opcode == WIRE_COPY_FILE_RANGE;
}

static enum lane_refusal refusal_of(const struct wire_request *request)
{
	if (closes(request) || request->opcode == WIRE_FLUSH)
		return LANE_REFUSES_NEVER;
	return is_data(request) ? LANE_REFUSES_DATA : LANE_REFUSES_MANY;
}

/* ---- where it goes */

static void choose_files(struct errand *errand, const struct wire_request *request, dev_t device)
{
	enum kind kind = is_about_names(request) ? NAMES : opens(request) ? OPENS : FILES;
	unsigned most = kind == NAMES ? NAMES_MAX : FILES_MAX,
		 most_of_all = kind == NAMES ? DEVICE_NAMES_MAX : DEVICE_MAX;
	uid_t uid = request->uid;

	if (is_kernels(request)) {
		errand->keys[LANE_WHO] = lane(KERNELS, KERNELS_MAX, device, 0);
		return;
	}
	errand->keys[LANE_WHO] = lane(kind, uid ? most : ROOT_FILES_MAX, device, uid);
	if (!uid)
		return;
	errand->keys[LANE_WHERE] = lane(DEVICE, most_of_all, device, kind);
	if (kind == NAMES)
		return;
	errand->keys[LANE_USER] = lane(USER, USER_MAX, uid, 0);
	errand->keys[LANE_USERS] = lane(USERS, USERS_MAX, 0, 0);
}

static void choose_looks(struct errand *errand, uid_t uid, const struct place *place)
{
	errand->keys[LANE_WHO] = lane(LOOKS, uid ? LOOKS_MAX : ROOT_FILES_MAX, place->number, uid);
	errand->keys[LANE_WHERE] = lane(uid ? LOOKERS : NO_LANE, LOOKERS_MAX, place->device, 0);
}

static void choose_disk(struct errand *errand, const struct wire_request *request, const struct place *place)
{
	if (opens(request)) {
		errand->keys[LANE_WHO] = lane(DISK_OPENS, DISK_OPENS_MAX, place->number, 0);
		errand->keys[LANE_WHERE] = lane(DISKS, DISKS_OPENS_MAX, DISK_OPENS, 0);
	} else if (needs_descriptor(request)) {
		errand->keys[LANE_WHO] = lane(DISK, DISK_MAX, place->number, 0);
		errand->keys[LANE_WHERE] = lane(DISKS, DISKS_MAX, DISK, 0);
	} else {
		choose_looks(errand, request->uid, place);
	}
}

struct errand errand_to(const struct wire_request *request, const struct place *place)
{
	struct errand errand = { .refusal = refusal_of(request), .bytes = request->length, .unique = request->unique };
	uid_t uid = request->uid;

	if (place->kind == PLACE_FILE) {
		choose_files(&errand, request, place->device);
	} else if (place->kind == PLACE_ADMIN) {
		errand.keys[LANE_WHO] = lane(ADMIN, uid ? ADMIN_MAX : ROOT_ADMIN_MAX, uid, 0);
	} else if (place->is_onlookers) {
		choose_looks(&errand, uid, place);
	} else if (place->kind == PLACE_DISK) {
		choose_disk(&errand, request, place);
	} else {
		errand.keys[LANE_WHO] = lane(VIEW, VIEW_MAX, place->number, 0);
		errand.keys[LANE_WHERE] = lane(VIEWS, VIEWS_MAX, place->device, 0);
	}
	return errand;
}

struct errand errand_of_command(const struct wire_request *request, uid_t uid)
{
	return (struct errand){
		.keys = { [LANE_WHO] = lane(COMMANDS, uid ? COMMANDS_MAX : ROOT_COMMANDS_MAX, uid, 0),
			  [LANE_WHERE] = lane(uid ? ALL_COMMANDS : NO_LANE, ALL_COMMANDS_MAX, 0, 0) },
		.bytes = request->length,
		.unique = request->unique,
	};
}

void errand_goes_elsewhere(struct errand *errand, const struct wire_request *request, dev_t device)
{
	const struct place place = { .kind = PLACE_FILE, .device = device };

	*errand = errand_to(request, &place);
}

/* A name ends in the message's last NUL at most, for libfuse looks at none but whole messages. */
static struct place place_of(struct tree *tree, const struct wire_request *request)
{
	const char *name = (const char *)(request + 1);
	const struct wire_copy *copy = (const struct wire_copy *)request;

	if (request->opcode == WIRE_LOOKUP && request->length > sizeof(*request) &&
	    memchr(name, '\0', request->length - sizeof(*request)))
		return tree_place_of_name(tree, request->nodeid, name, request->uid);
	/* Each path to .revertfs leads through the root, whose attributes are at hand. */
	if (request->opcode == WIRE_GETATTR && request->nodeid == NODE_ROOT)
		return (struct place){ .kind = PLACE_ADMIN };
	/* What is written to may make it wait; what is read is on the same device (tree_copy()). */
	if (request->opcode == WIRE_COPY_FILE_RANGE && request->length >= sizeof(*copy))
		return tree_place(tree, copy->to_nodeid);
	return tree_place(tree, request->nodeid);
}

enum errand_kind errand_of(struct tree *tree, const struct wire_request *request, struct errand *ret_errand)
{
	const struct wire_write *write = (const struct wire_write *)request;
	struct place place;
	uid_t opener;

	if (goes_through_no_lane(request)) {
		*ret_errand = (struct errand){ .bytes = request->length, .unique = request->unique };
		return ERRAND_SHORT;
	}
	place = place_of(tree, request);
	if (request->opcode == WIRE_WRITE && place.kind == PLACE_ADMIN && request->length >= sizeof(*write) &&
	    tree_takes_commands(tree, write->handle, &opener)) {
		bool is_root_or_unknown = !opener || opener == HANDOVER_UNKNOWN;

		*ret_errand = errand_of_command(request, is_root_or_unknown ? request->uid : opener);
		return ERRAND_COMMAND;
	}
	*ret_errand = errand_to(request, &place);
	return request->opcode == WIRE_READ || request->opcode == WIRE_WRITE ? ERRAND_DATA : ERRAND_SHORT;
}

int errand_refusal(const struct wire_request *request)
{
	bool is_open =
		request->opcode == WIRE_OPEN || request->opcode == WIRE_OPENDIR || request->opcode == WIRE_CREATE;

	return is_open ? -ENFILE : -EAGAIN;
}
