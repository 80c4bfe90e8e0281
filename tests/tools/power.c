/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A power cut for files: what was not synced is lost, or some of it.
 *
 *   power begin STORE DIRECTORY...            all that lies there is on the medium now
 *   power cut STORE STATE IMAGES [SEED]       the daemon, which noted its syncs in STORE
 *                                             (tests/fault), is dead: put back what
 *                                             the medium has. STATE is made anew; the files of
 *                                             IMAGES are overwritten
 *
 * Without a seed all that was not synced is lost. With one, each name in a directory is as it was
 * at the last sync of the directory or as it is now, and each file as at its last sync, as now, or
 * a mixture of blocks of both (of zeros, if it was never synced): a disk may write in any order.
 */
#include "../fault/durable.h"

#define BLOCK 4096
#define ENTRIES_MAX 4096
#define FILES_MAX 4096

struct entry {
	bool is_directory;
	char key[KEY_SIZE];
	char name[NAME_MAX + 1];
};

struct entries {
	struct entry *list;
	size_t count;
};

static const char *store;
static unsigned seed;

/* Files that were put back already: further names are hard links to the first. */
static struct {
	char key[KEY_SIZE], path[PATH_MAX];
} files[FILES_MAX];
static size_t file_count;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static bool coin(void)
{
	return seed && random() % 2;
}

static FILE *open_entries(const char *key)
{
	int fd = durable_open(store, key, "entries", O_RDONLY);

	return fd < 0 ? NULL : fdopen(fd, "r");
}

static void add_entry(struct entries *entries, bool is_directory, const char *key, const char *name)
{
	if (!entries->list)
		entries->list = calloc(ENTRIES_MAX, sizeof(*entries->list));
	if (!entries->list || entries->count == ENTRIES_MAX)
		die("entries");
	entries->list[entries->count].is_directory = is_directory;
	snprintf(entries->list[entries->count].key, KEY_SIZE, "%s", key);
	snprintf(entries->list[entries->count].name, NAME_MAX + 1, "%s", name);
	entries->count++;
}

static void read_durable(const char *key, struct entries *entries)
{
	char line[PATH_MAX], name[NAME_MAX + 1], file[KEY_SIZE], kind;
	FILE *list = open_entries(key);

	while (list && fgets(line, sizeof(line), list))
		if (sscanf(line, "%c %63s %255[^\n]", &kind, file, name) == 3)
			add_entry(entries, kind == 'd', file, name);
	if (list)
		fclose(list);
}

static void read_live(const char *path, struct entries *entries)
{
	DIR *stream = path ? opendir(path) : NULL;
	struct dirent *entry;
	char key[KEY_SIZE];
	bool is_directory;

	while (stream && (entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    durable_key(dirfd(stream), entry->d_name, key, &is_directory) == 0)
			add_entry(entries, is_directory, key, entry->d_name);
	if (stream)
		closedir(stream);
}

static const struct entry *find(const struct entries *entries, const char *name)
{
	for (size_t i = 0; i < entries->count; i++)
		if (strcmp(entries->list[i].name, name) == 0)
			return &entries->list[i];
	return NULL;
}

/* A mixture: whole blocks of the live file over what the medium had, at the live file's times. */
static int mix(int live, int to)
{
	struct stat now, was;
	char block[BLOCK];

	if (fstat(live, &now) < 0 || fstat(to, &was) < 0 ||
	    (now.st_size > was.st_size && ftruncate(to, now.st_size) < 0))
		return -1;
	for (off_t at = 0; at < now.st_size; at += BLOCK) {
		ssize_t n = pread(live, block, BLOCK, at);

		if (n < 0 || (coin() && pwrite(to, block, (size_t)n, at) != n))
			return -1;
	}
	return futimens(to, (struct timespec[2]){ now.st_atim, now.st_mtim });
}

/* What a file is after the cut, written to `to`. `live` is -1 when nothing but the store has it. */
static int choose_content(const char *key, int live, int to)
{
	int medium = durable_open(store, key, "content", O_RDONLY), r = 0;
	unsigned choice = seed && live >= 0 ? (unsigned)random() % 3 : 0;

	if (choice < 2 && medium >= 0)
		r = durable_copy(medium, to);
	if (choice == 1 && r == 0)
		r = mix(live, to);
	if (choice == 2)
		r = durable_copy(live, to);
	if (medium >= 0)
		close(medium);
	return r;
}

static void put_file_back(const char *key, const char *live_path, const char *target)
{
	int to, live, r;

	for (size_t i = 0; i < file_count; i++)
		if (strcmp(files[i].key, key) == 0) {
			if (link(files[i].path, target) < 0)
				die(target);
			return;
		}
	if (file_count == FILES_MAX)
		die("too many files");
	snprintf(files[file_count].key, KEY_SIZE, "%s", key);
	snprintf(files[file_count].path, PATH_MAX, "%s", target);
	file_count++;
	live = live_path ? open(live_path, O_RDONLY) : -1;
	to = open(target, O_RDWR | O_CREAT | O_EXCL, 0600);
	r = to < 0 ? -1 : choose_content(key, live, to);
	if (r < 0)
		die(target);
	close(to);
	if (live >= 0)
		close(live);
}

static void put_directory_back(const char *key, const char *live_path, const char *target);

static void put_entry_back(const struct entry *entry, const struct entries *live, const char *live_path,
			   const char *target)
{
	const struct entry *now = find(live, entry->name);
	char path[PATH_MAX], to[PATH_MAX];
	bool is_live = now && strcmp(now->key, entry->key) == 0;

	snprintf(path, sizeof(path), "%s/%s", live_path ? live_path : "", entry->name);
	snprintf(to, sizeof(to), "%s/%s", target, entry->name);
	if (entry->is_directory)
		put_directory_back(entry->key, is_live ? path : NULL, to);
	else
		put_file_back(entry->key, is_live ? path : NULL, to);
}

static void put_directory_back(const char *key, const char *live_path, const char *target)
{
	struct entries medium = { 0 }, live = { 0 };

	read_durable(key, &medium);
	read_live(live_path, &live);
	if (mkdir(target, 0700) < 0)
		die(target);
	for (size_t i = 0; i < medium.count; i++) {
		const struct entry *was = &medium.list[i], *now = find(&live, was->name);
		bool changed = !now || strcmp(now->key, was->key) != 0;

		if (changed && coin())
			was = now;
		if (was)
			put_entry_back(was, &live, live_path, target);
	}
	for (size_t i = 0; i < live.count; i++)
		if (!find(&medium, live.list[i].name) && coin())
			put_entry_back(&live.list[i], &live, live_path, target);
	free(medium.list);
	free(live.list);
}

/*
 * An image keeps its inode. One whose times and size are what they were was not written; it may
 * have another mark.
 */
static void overwrite_image(const char *directory, const struct entry *entry)
{
	int medium = durable_open(store, entry->key, "content", O_RDONLY), live, to;
	char path[PATH_MAX], copy[PATH_MAX];
	struct stat was, now;

	snprintf(path, sizeof(path), "%s/%s", directory, entry->name);
	snprintf(copy, sizeof(copy), "%s/%s.live", store, entry->key);
	if (medium < 0 || stat(path, &now) < 0 || fstat(medium, &was) < 0)
		die(path);
	to = open(path, O_RDWR);
	if (to < 0 || (!coin() && durable_copy_mark(medium, to) < 0))
		die(path);
	close(medium);
	if (was.st_size == now.st_size && was.st_mtim.tv_sec == now.st_mtim.tv_sec &&
	    was.st_mtim.tv_nsec == now.st_mtim.tv_nsec) {
		close(to);
		return;
	}
	live = open(copy, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (live < 0 || durable_copy(to, live) < 0 || choose_content(entry->key, live, to) < 0)
		die(path);
	close(live);
	close(to);
}

/* A directory of files, none of them a directory. */
static void remove_directory(const char *path)
{
	struct entries live = { 0 };
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	read_live(path, &live);
	for (size_t i = 0; i < live.count; i++)
		unlinkat(directory, live.list[i].name, 0);
	free(live.list);
	close(directory);
	if (rmdir(path) < 0)
		die(path);
}

/* What the daemon keeps beside the images is made anew, or gone where its name was never synced. */
static void put_private_back(const char *images, const char *images_key, const struct entry *live)
{
	struct entries medium = { 0 };
	char path[PATH_MAX], fresh[PATH_MAX];
	const struct entry *was;

	read_durable(images_key, &medium);
	was = find(&medium, live->name);
	snprintf(path, sizeof(path), "%s/%s", images, live->name);
	snprintf(fresh, sizeof(fresh), "%s/%s.cut", images, live->name);
	if (was)
		put_directory_back(was->key, path, fresh);
	remove_directory(path);
	if (was && rename(fresh, path) < 0)
		die(path);
	free(medium.list);
}

static void cut(const char *state, const char *images)
{
	struct entries live = { 0 };
	char key[KEY_SIZE], fresh[PATH_MAX], old[PATH_MAX];
	bool is_directory;

	if (durable_key(AT_FDCWD, state, key, &is_directory) < 0)
		die(state);
	snprintf(fresh, sizeof(fresh), "%s.cut", state);
	snprintf(old, sizeof(old), "%s.before-cut", state);
	put_directory_back(key, state, fresh);
	if (rename(state, old) < 0 || rename(fresh, state) < 0)
		die(state);
	read_live(images, &live);
	if (durable_key(AT_FDCWD, images, key, &is_directory) < 0)
		die(images);
	for (size_t i = 0; i < live.count; i++)
		if (!live.list[i].is_directory)
			overwrite_image(images, &live.list[i]);
		else if (strcmp(live.list[i].name, ".revertfs") == 0)
			put_private_back(images, key, &live.list[i]);
	free(live.list);
}

static void begin(int directory)
{
	struct entries live = { 0 };
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", directory);
	if (durable_note_directory(store, directory) < 0)
		die("a directory");
	read_live(path, &live);
	for (size_t i = 0; i < live.count; i++) {
		int fd = openat(directory, live.list[i].name, O_RDONLY | O_NOFOLLOW);

		if (fd < 0)
			die(live.list[i].name);
		if (live.list[i].is_directory)
			begin(fd);
		else if (durable_note_file(store, fd) < 0)
			die(live.list[i].name);
		close(fd);
	}
	free(live.list);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	store = argv[2];
	if (mkdir(store, 0700) < 0 && errno != EEXIST)
		die(store);
	if (strcmp(argv[1], "cut") == 0 && argc >= 5) {
		seed = argc > 5 ? (unsigned)atoi(argv[5]) : 0;
		srandom(seed);
		cut(argv[3], argv[4]);
		return 0;
	}
	for (int i = 3; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY | O_DIRECTORY);

		if (fd < 0)
			die(argv[i]);
		begin(fd);
		close(fd);
	}
	return 0;
}
