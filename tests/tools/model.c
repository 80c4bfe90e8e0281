/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * model DAEMON DIRECTORY SEED STEPS SECONDS: random verbs and writes through a real mount, compared
 * with a model after each step. It ends after so many steps or so much time, whichever comes first.
 *
 * The model knows of each disk: what its layers, its scratch and its named layers read, what its
 * session, hold and leftover are, and so what each verb must answer and what must be read
 * afterwards (tree.c, verbs.c, sessions.c, clones.c). The daemon may be killed meanwhile
 * (strikes.c). Every ROUND steps a world ends with all folds done and the images compared, and
 * another begins with other images (worlds.c).
 */
#include "../model/model.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>

#define ROUND 300

const char *const uuids[DOMAINS] = { "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222",
				     "33333333-3333-4333-8333-333333333333" };
double announced[DOMAINS];
char top[PATH_MAX], images[PATH_MAX + 16], mnt[PATH_MAX + 16], state[PATH_MAX + 16];
unsigned step;

/*
 * Nobody knows what the domain's file said when the host crashed: what the session may have been
 * armed by waits for the next prepare. Which version it was is known of one that was armed.
 */
static void after_crash(struct disk *disk)
{
	const struct session *session = &disk->session;

	if (session->present && disk->fate == FATE_ARMED)
		disk->commit_at_release = false;
	if (session->present && disk->fate == FATE_DISCARD && disk->dirty) {
		disk->fate = FATE_UNSYNCED;
		disk->fate_domain = session->domain;
		disk->consumed = 0;
	} else if (session->present && session->config) {
		disk->consumed = session->config;
	}
	disk->session.present = false;
	if (disk->fate == FATE_DISCARD)
		fresh_scratch(disk);
}

static void do_restart(void)
{
	bool term = one_in(2), boot = !term && one_in(2);

	note("%u: restart by %s%s", step, term ? "SIGTERM" : "SIGKILL", boot ? ", another boot" : "");
	daemon_end(term ? SIGTERM : SIGKILL);
	if (boot)
		new_boot();
	daemon_start();
	memset(announced, 0, sizeof(announced));
	for (int i = 0; i < DISKS; i++) {
		struct disk *disk = &disks[i];

		disk->session.adopted = false;
		if (boot && disk->protected)
			after_crash(disk);
	}
}

static void do_nothing(struct disk *disk)
{
	(void)disk;
	usleep(below(100000)); /* a fold may get somewhere */
}

static const struct {
	unsigned weight;
	void (*on_disk)(struct disk *disk);
	void (*on_all)(void);
} verbs[] = {
	{ 300, do_write, NULL },        { 60, do_reset, NULL },
	{ 90, do_commit, NULL },        { 20, do_commit_at_release, NULL },
	{ 40, do_undo, NULL },          { 30, do_snapshot, NULL },
	{ 30, do_live_snapshot, NULL }, { 30, do_revert, NULL },
	{ 50, do_delete, NULL },        { 50, do_clone, NULL },
	{ 40, do_remove_clone, NULL },  { 25, do_export, NULL },
	{ 15, do_full_clone, NULL },    { 35, do_set, NULL },
	{ 10, do_grow, NULL },          { 40, do_fold, NULL },
	{ 10, do_cancel, NULL },        { 15, NULL, do_announce },
	{ 115, NULL, do_prepare },      { 120, NULL, do_release },
	{ 15, do_protect, NULL },       { 15, do_unprotect, NULL },
	{ 15, NULL, do_restart },       { 2, do_held_open, NULL },
	{ 10, do_nothing, NULL },
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void do_verb(struct disk *disk)
{
	unsigned sum = 0, chosen;
	size_t i;

	for (i = 0; i < VERBS; i++)
		sum += verbs[i].weight;
	chosen = below(sum);
	for (i = 0; chosen >= verbs[i].weight; i++)
		chosen -= verbs[i].weight;
	if (verbs[i].on_all != do_restart)
		strike_begin();
	if (verbs[i].on_all)
		verbs[i].on_all();
	else if (verbs[i].on_disk == do_remove_clone)
		do_remove_clone(&disks[IMAGES + below(DISKS - IMAGES)]);
	else
		verbs[i].on_disk(disk);
}

/*
 * A clone that is behind and idle may move on at any moment, and what a verb then works on would be
 * a matter of chance. A reset ends with its template's head either way.
 */
static void settle(struct disk *disk)
{
	if (!disk->follow || disk->dirty || disk->hold[0] || session_is_active(disk) == YES ||
	    strcmp(disk->head, disk->origin->head) == 0)
		return;
	do_reset(disk);
	observe();
}

static void do_step(void)
{
	struct disk *disk = any_disk();

	for (int i = IMAGES; i < DISKS; i++)
		settle(&disks[i]);
	do_verb(disk);
	if (one_in(16))
		do_nothing(disk);
	observe();
	strike_end();
	if (one_in(2))
		check_content(disk);
	if (one_in(10))
		for (int i = 0; i < DISKS; i += 3)
			check_content(&disks[i]);
	if (one_in(25)) {
		observe();
		check_layers();
	}
	if (one_in(20))
		check_export();
	if (one_in(50))
		check_with_qemu_img(disk);
}

/* The kernel tells the daemon of another boot where we say so. */
static void replace_boot_id(void)
{
	char path[PATH_MAX + 16];

	new_boot();
	snprintf(path, sizeof(path), "%s/boot_id", top);
	check_system(mount(path, "/proc/sys/kernel/random/boot_id", NULL, MS_BIND, NULL),
		     "another boot id (unshare -m)");
}

static void play(unsigned steps, double seconds)
{
	double begun = now();

	while (step < steps && now() - begun < seconds) {
		unsigned end = step + ROUND < steps ? step + ROUND : steps;

		world_begin();
		while (step < end && now() - begun < seconds) {
			step++;
			do_step();
		}
		world_end();
	}
	printf("%u steps in %.0f s", step, now() - begun);
	printf(strikes ? ", the daemon was killed %u times\n" : "\n", strike_count());
	if (strikes && step >= 1000 && strike_count() < step / 20)
		fail("the daemon was killed %u times", strike_count());
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "usage: model DAEMON DIRECTORY SEED STEPS SECONDS\n");
		return 2;
	}
	snprintf(top, sizeof(top), "%s", argv[2]);
	snprintf(images, sizeof(images), "%s/images", top);
	snprintf(mnt, sizeof(mnt), "%s/mnt", top);
	snprintf(state, sizeof(state), "%s/state", top);
	random_seed(strtoull(argv[3], NULL, 10));
	strikes_setup();
	daemon_setup(argv[1]);
	signal(SIGPIPE, SIG_IGN);
	replace_boot_id();
	forget_exports();
	io_start();
	play((unsigned)atoi(argv[4]), atof(argv[5]));
	return 0;
}
