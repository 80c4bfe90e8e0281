/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One process plays one model of one mount: what all its files look at is declared here, once.
 *
 * Content is counted in blocks of 4 KiB, each filled with one byte. Disks 0 to IMAGES-1 have an
 * image, the others are clones, or are not there.
 */
#ifndef MODEL_H
#define MODEL_H

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define BLOCK 4096
#define BLOCKS_MAX 768
#define BLOCKS_FIRST 512
#define IMAGES 4
#define DISKS 8
#define DOMAINS 3
#define LAYERS_MAX 512
#define POINTS_MAX 256
#define HEAD_SEALED "?" /* reads what the scratch does */
#define HEAD_MOVED "!"  /* to a layer that is known; the scratch reads what that does */

struct content {
	unsigned blocks;
	uint8_t byte[BLOCKS_MAX];
};

/* All disks' layers are in one table, since clones share them. */
struct layer {
	char id[17], parent[17];
	bool folding, qcow2;
	bool listed; /* by any disk, the last time that status was read */
	char file[256];
	struct content content;
	bool known; /* has a content */
};

struct point {
	char name[160];
	char id[17];
	struct content content;
};

enum fate {
	FATE_DISCARD,
	FATE_LEFTOVER,
	FATE_ARMED,
	FATE_UNCOMMITTED,
	FATE_UNHOOKED,
	FATE_UNDECIDED,
	FATE_SNAPSHOT,
	FATE_UNSYNCED
};

struct session {
	bool present, adopted, had_writer;
	int domain;
	bool armed, on_hold, continued;
	int config; /* which version of the domain's file; 0: not said */
	int source; /* which path the XML had */
	double since, writers_gone;
};

struct disk {
	const char *name;
	bool qcow2;
	bool protected;      /* for a clone: it is there */
	struct disk *origin; /* of a clone that is there */
	bool follow;
	struct content image; /* while it is not protected */
	struct content scratch;
	bool dirty;
	struct content left;     /* what the scratch read before the last prepare */
	char head[17], hold[17]; /* HEAD_SEALED or HEAD_MOVED until status has told the id */
	char sealed_on[17];      /* what the last verb may have sealed a scratch on; "" once status has been seen */
	int hold_domain;
	bool hold_managed;
	enum fate fate;
	int fate_domain; /* -1: none */
	bool fate_armed, fate_unread;
	double fate_since;
	bool commit_at_release;
	int consumed;      /* which config; 0: none */
	int unread_domain; /* whose flag could not be read at the end of its session; 0: none, 1: the first */
	unsigned keep_revisions;
	bool leftover_keep, keeps_data;
	struct session session;
	struct point points[POINTS_MAX];
	size_t point_count;
	struct point pending[4]; /* names that the verb must have made */
	size_t pending_count;
	bool job; /* it or a disk that it shares layers with has one, as status says */
};

extern struct disk disks[DISKS];
extern struct layer layers[LAYERS_MAX];
extern size_t layer_count;
extern const char *const uuids[DOMAINS];
extern double announced[DOMAINS]; /* when; 0: not */
extern char top[PATH_MAX], images[PATH_MAX + 16], mnt[PATH_MAX + 16], state[PATH_MAX + 16];
extern unsigned step;
extern struct json_object *answer; /* of the last command */

/* --- base.c: chance, failing, and text -------------------------------------------------------- */

double now(void);
void random_seed(uint64_t seed);
uint64_t random64(void);
unsigned below(unsigned n);
bool one_in(unsigned n);

/* For what a failure prints: the last steps. */
__attribute__((format(printf, 1, 2))) void note(const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);
void check_system(int r, const char *what);
__attribute__((format(printf, 1, 2))) void run(const char *format, ...); /* a shell line that must succeed */
__attribute__((format(printf, 2, 3))) void write_file(const char *path, const char *format, ...);

struct text {
	char *bytes;
	size_t length, room;
};
__attribute__((format(printf, 2, 3))) void add(struct text *text, const char *format, ...);

const char *member(struct json_object *object, const char *key); /* as text; "" when there is none */
bool present(struct json_object *object, const char *key, struct json_object **ret_inner);

/* --- guest.c: one qemu-io is every guest ------------------------------------------------------ */

void io_start(void);
const char *io(const char *lines);

/* Empty when the file reads like the content; else what qemu-io said. */
const char *compare(const char *path, bool qcow2, const struct content *content);

/* --- daemon.c --------------------------------------------------------------------------------- */

void daemon_setup(const char *program);
bool daemon_answers(void);
void daemon_start(void);
void daemon_end(int signal);

/* A command's errno, 0 when it is done; its answer is in `answer`. */
__attribute__((format(printf, 1, 2))) int command(const char *format, ...);
struct json_object *read_status(void);

/* --- strikes.c: the daemon is killed at a random durable step --------------------------------- */

extern bool strikes; /* whether this run has any */
void strikes_setup(void);
void strike_begin(void);
void strike_end(void);
bool was_struck(void); /* since the last strike_begin() */
unsigned strike_count(void);

/* --- tree.c: the model of the layers, kept in step with status.json --------------------------- */

struct layer *find_layer(const char *id);
struct layer *layer_of(struct disk *disk, const char *id);
struct content *content_of(struct disk *disk, const char *id);
struct content *base_of(struct disk *disk);
void learn(const char *id, const struct content *content);
struct point *find_point(struct disk *disk, const char *name);
bool are_kin(const struct disk *a, const struct disk *b); /* stand on the same image */

/* A layer that is known has got a name. */
void name_layer(struct disk *disk, const char *name, const char *id);

/* The next observe() must find a new name that begins so. */
void expect_point(struct disk *disk, const char *name, const struct content *content);

/* Before the head or the hold is changed because the scratch was sealed. */
void will_seal(struct disk *disk);

/* The scratch has become the layer `id` ("?": whatever status says is the head). */
void sealed_as_head(struct disk *disk, const char *id);
void fresh_scratch(struct disk *disk);

/* After a verb's effects on the model: status must agree. */
void observe(void);
void same_text(struct disk *disk, const char *what, const char *found, const char *expected);

/* What an answer says was done, which the daemon that gives it may not have begun. */
void same_answer(struct disk *disk, const char *what, const char *found, const char *expected);

/* --- check.c ---------------------------------------------------------------------------------- */

void check_content(struct disk *disk);
void check_layers(void); /* while no fold runs */
void check_with_qemu_img(struct disk *disk);
void check_nothing_to_fold(struct disk *disk);

/* What a verb may answer. */
struct allowed {
	int list[12];
	size_t count;
	bool must_fail; /* 0 is not among them */
};
void may_fail(struct allowed *allowed, int error);
void must_fail(struct allowed *allowed, int error);
int expect(const struct allowed *allowed, int r);

enum maybe { NO, YES, PERHAPS };
enum maybe session_is_active(const struct disk *disk);
void want_idle(const struct disk *disk, struct allowed *allowed);
bool want_protected(const struct disk *disk, struct allowed *allowed);

/* --- verbs.c, sessions.c, clones.c ------------------------------------------------------------ */

struct disk *any_disk(void);
void catch_up(struct disk *disk); /* with its origin, if it follows it */
bool has_clone(const struct disk *disk);
bool has_layers(const struct disk *disk);  /* above its image */
bool may_be_torn(const struct disk *disk); /* whether a fold may have what is to be chosen */
void start_model(struct disk *disk);
void do_write(struct disk *disk);
void do_protect(struct disk *disk);
void do_unprotect(struct disk *disk);
void end_by_command(struct disk *disk); /* its session, if there is one */
void do_reset(struct disk *disk);
void do_commit(struct disk *disk);
void do_commit_at_release(struct disk *disk);
void do_undo(struct disk *disk);
void do_snapshot(struct disk *disk);
void do_revert(struct disk *disk);
void do_delete(struct disk *disk);
void do_set(struct disk *disk);
void do_grow(struct disk *disk);
void do_fold(struct disk *disk);
void do_cancel(struct disk *disk);
void do_held_open(struct disk *disk);

void do_announce(void);
void do_prepare(void);
void do_release(void);

void do_live_snapshot(struct disk *disk);
void do_clone(struct disk *disk);
void do_remove_clone(struct disk *disk);
void do_export(struct disk *disk);
void do_full_clone(struct disk *disk);
void check_export(void);
void forget_exports(void);

/* --- worlds.c --------------------------------------------------------------------------------- */

void new_boot(void);
void make_image(struct disk *disk);
void world_begin(void);
void world_end(void);

#endif
