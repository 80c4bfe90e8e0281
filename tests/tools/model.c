/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * model DAEMON DIRECTORY SEED STEPS SECONDS: random verbs and writes through a real mount, compared with a model after each step. It
 * ends after so many steps or so much time, whichever comes first.
 *
 * The model knows of each disk: what its layers, its scratch and its named layers read, what its session, hold and leftover are, and so
 * what each verb must answer and what must be read afterwards. Its picture of the tree of layers is kept in step
 * with status.json, for folds happen in the background: a layer that disappears while something stands on it has been
 * folded, and then its parent reads what it read. One qemu-io process, fed by a pipe, is every guest.
 *
 * Content is counted in blocks of 4 KiB, each filled with one byte. Every ROUND steps a world ends with all folds done and the
 * images compared, and another begins with other images.
 *
 * The same seed gives the same steps, but folds run when they run.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <json-c/json.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define BLOCKS_MAX 768
#define BLOCKS_FIRST 512
#define DISKS 4
#define DOMAINS 3
#define LAYERS_MAX 512
#define POINTS_MAX 256
#define ROUND 300
#define LOG_LINES 40

struct content {
	unsigned blocks;
	uint8_t byte[BLOCKS_MAX];
};

struct layer {
	char id[17], parent[17];
	bool folding;
	char file[256];
	struct content content;
	bool known; /* has a content */
};

struct point {
	char name[160];
	char id[17];
	struct content content;
};

enum keep { KEEP_NOTHING, KEEP_LEFTOVER, KEEP_ARMED, KEEP_UNCOMMITTED, KEEP_UNHOOKED, KEEP_UNDECIDED, KEEP_SNAPSHOT };

struct session {
	bool present, adopted, had_writer;
	int domain;
	bool armed, on_hold, continued;
	int source; /* which path the XML had */
	double since, writers_gone;
};

struct disk {
	const char *name;
	bool qcow2, protected;
	struct content image; /* while it is not protected */
	struct content scratch;
	bool dirty;
	char head[17], hold[17];
	int hold_domain;
	bool hold_managed;
	enum keep keep;
	int keep_domain; /* -1: none */
	bool keep_armed;
	double keep_since;
	bool commit_at_release;
	int consumed; /* which config; 0: none */
	unsigned keep_revisions;
	bool leftover_keep;
	struct session session;
	struct layer layers[LAYERS_MAX];
	size_t layer_count;
	struct point points[POINTS_MAX];
	size_t point_count;
	struct point pending[4]; /* names that the verb must have made */
	size_t pending_count;
	bool job; /* status says that there is one */
};

static struct disk disks[DISKS];
static const char *const names[DISKS] = { "a.img", "dir/b.qcow2", "dir/sub/c.img", "d.qcow2" };
static const char *const uuids[DOMAINS] = { "11111111-1111-4111-8111-111111111111",
					    "22222222-2222-4222-8222-222222222222",
					    "33333333-3333-4333-8333-333333333333" };
static double announced[DOMAINS]; /* when; 0: not */

static const char *program, *top;
static char images[PATH_MAX], mnt[PATH_MAX], state[PATH_MAX], control[PATH_MAX];
static uint64_t seed, random_state;
static unsigned step, steps;
static pid_t daemon_pid = -1, io_pid;
static int io_in, io_out;
static char *io_text;
static char *log_lines[LOG_LINES];
static unsigned log_count;

static bool failing;

static struct json_object *answer; /* of the last command */

/* --- small things --------------------------------------------------------------------------------- */

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint64_t random64(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static unsigned below(unsigned n)
{
	return (unsigned)(random64() % n);
}

static bool one_in(unsigned n)
{
	return below(n) == 0;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	char **line = &log_lines[log_count++ % LOG_LINES];
	va_list args;

	free(*line);
	va_start(args, format);
	if (vasprintf(line, format, args) < 0)
		*line = NULL;
	va_end(args);
}

static bool answers(void);
static struct json_object *read_status(void);

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "model: SEED=%llu, step %u: ", (unsigned long long)seed, step);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nthe last steps:\n");
	if (!failing && daemon_pid > 0 && answers()) {
		failing = true;
		sleep(3);
		fprintf(stderr, "status, 3 s later: %s\n", json_object_to_json_string(read_status()));
	}
	for (unsigned i = log_count > LOG_LINES ? log_count - LOG_LINES : 0; i < log_count; i++)
		fprintf(stderr, "  %s\n", log_lines[i % LOG_LINES]);
	/* The daemon is left as it is for whoever looks; the test's namespace ends it. */
	exit(1);
}

static void check_system(int r, const char *what)
{
	if (r < 0)
		fail("%s: %s", what, strerror(errno));
}

static int remove_entry(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
	(void)stat, (void)flag, (void)ftw;
	return remove(path);
}

static void run(const char *format, ...)
{
	char command[8192];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail("'%s' failed", command);
}

/* --- qemu-io -------------------------------------------------------------------------------------- */

static void io_start(void)
{
	int in[2], out[2];

	check_system(pipe2(in, O_CLOEXEC), "pipe");
	check_system(pipe2(out, O_CLOEXEC), "pipe");
	io_pid = fork();
	check_system(io_pid, "fork");
	if (io_pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		execlp("qemu-io", "qemu-io", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	io_in = in[1];
	io_out = out[0];
}

#define PROMPT "qemu-io> "

/* Read what qemu-io prints until its prompt; appended to io_text. */
static void io_wait(size_t *length)
{
	static size_t room;

	for (;;) {
		size_t prompt = strlen(PROMPT);
		ssize_t n;

		if (room - *length < 8192)
			io_text = realloc(io_text, room = room * 2 + 65536);
		n = read(io_out, io_text + *length, room - *length - 1);
		if (n <= 0)
			fail("qemu-io has ended");
		*length += (size_t)n;
		io_text[*length] = '\0';
		if (*length >= prompt && strcmp(io_text + *length - prompt, PROMPT) == 0) {
			*length -= prompt;
			io_text[*length] = '\0';
			return;
		}
	}
}

/*
 * Feed lines to qemu-io; what it printed. One at a time: it waits with poll() for input that its stdio has read already.
 */
static const char *io(const char *lines)
{
	static bool greeted;
	size_t length = 0;

	if (!greeted)
		io_wait(&length);
	greeted = true;
	while (*lines) {
		size_t line = strcspn(lines, "\n") + 1;

		if (write(io_in, lines, line) != (ssize_t)line)
			fail("qemu-io has ended");
		io_wait(&length);
		lines += line;
	}
	return io_text;
}

struct text {
	char *bytes;
	size_t length, room;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list args;

	if (text->room - text->length < 512)
		text->bytes = realloc(text->bytes, text->room = text->room * 2 + 4096);
	va_start(args, format);
	text->length += (size_t)vsnprintf(text->bytes + text->length, text->room - text->length, format, args);
	va_end(args);
}

/* Empty when the file reads like the content; else what qemu-io said. */
static const char *compare(const char *path, bool qcow2, const struct content *content)
{
	struct text lines = { 0 };
	const char *said;
	unsigned end;

	add(&lines, "open -r -U -o driver=%s %s\n", qcow2 ? "qcow2" : "raw", path);
	for (unsigned i = 0; i < content->blocks; i = end) {
		for (end = i + 1; end < content->blocks && content->byte[end] == content->byte[i]; end++)
			;
		add(&lines, "read -q -P %u %u %u\n", content->byte[i], i * BLOCK, (end - i) * BLOCK);
	}
	add(&lines, "close\n");
	said = io(lines.bytes);
	free(lines.bytes);
	return said;
}

/* --- the daemon ----------------------------------------------------------------------------------- */

static bool answers(void)
{
	return access(control, F_OK) == 0;
}

static void daemon_start(void)
{
	double deadline = now() + 60;

	daemon_pid = fork();
	check_system(daemon_pid, "fork");
	if (daemon_pid == 0) {
		const char *passthrough = getenv("PASSTHROUGH");
		char option[PATH_MAX + 64], file[PATH_MAX];
		int fd;

		snprintf(option, sizeof(option), "state=%s,passthrough=%s", state, passthrough ? passthrough : "auto");
		snprintf(file, sizeof(file), "%s/daemon.log", top);
		fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
		dup2(fd, 1);
		dup2(fd, 2);
		execl(program, program, "-f", "-o", option, images, mnt, (char *)NULL);
		_exit(127);
	}
	while (!answers()) {
		if (waitpid(daemon_pid, NULL, WNOHANG) == daemon_pid)
			fail("the daemon has ended instead of mounting");
		if (now() > deadline)
			fail("the daemon does not mount");
		usleep(2000);
	}
}

static void daemon_end(int signal)
{
	int status;

	kill(daemon_pid, signal);
	while (waitpid(daemon_pid, &status, 0) < 0)
		check_system(errno == EINTR ? 0 : -1, "waitpid");
	if (signal == SIGTERM && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		fail("the daemon ended with status %#x", (unsigned)status);
	umount2(mnt, MNT_DETACH);
	daemon_pid = -1;
}

/* A command's errno, 0 when it is done; its answer is in `answer`. */
__attribute__((format(printf, 1, 2))) static int command(const char *format, ...)
{
	static char line[8192], text[65536];
	int fd = open(control, O_RDWR | O_CLOEXEC), r = 0;
	ssize_t n;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	check_system(fd, "opening the control file");
	if (write(fd, line, strlen(line)) < 0)
		r = errno;
	n = pread(fd, text, sizeof(text) - 1, (off_t)strlen(line));
	if (n <= 0)
		n = pread(fd, text, sizeof(text) - 1, 0);
	check_system((int)n, "reading the answer");
	text[n] = '\0';
	close(fd);
	json_object_put(answer);
	answer = json_tokener_parse(text);
	note("%u: %s -> %s %.300s", step, line, r ? strerrorname_np(r) : "0", r ? text : "");
	return r;
}

static const char *member(struct json_object *object, const char *key)
{
	struct json_object *inner = NULL;

	if (!object || !json_object_object_get_ex(object, key, &inner) || !inner)
		return "";
	return json_object_get_string(inner);
}

static bool present(struct json_object *object, const char *key, struct json_object **ret_inner)
{
	return json_object_object_get_ex(object, key, ret_inner) && *ret_inner;
}

/* --- content -------------------------------------------------------------------------------------- */

static struct layer *find_layer(struct disk *disk, const char *id)
{
	for (size_t i = 0; i < disk->layer_count; i++)
		if (strcmp(disk->layers[i].id, id) == 0)
			return &disk->layers[i];
	return NULL;
}

static struct layer *layer_of(struct disk *disk, const char *id)
{
	struct layer *layer = find_layer(disk, id);

	if (!layer)
		fail("'%s': layer '%s' is not known", disk->name, id);
	return layer;
}

static struct content *content_of(struct disk *disk, const char *id)
{
	struct layer *layer = layer_of(disk, id);

	if (!layer->known)
		fail("'%s': what layer '%s' reads is not known", disk->name, id);
	return &layer->content;
}

static void learn(struct disk *disk, const char *id, const struct content *content)
{
	struct layer *layer = find_layer(disk, id);

	if (!layer) {
		if (disk->layer_count == LAYERS_MAX)
			fail("too many layers for the model");
		layer = &disk->layers[disk->layer_count++];
		memset(layer, 0, sizeof(*layer));
		snprintf(layer->id, sizeof(layer->id), "%s", id);
	}
	layer->content = *content;
	layer->known = true;
}

static struct content *base_of(struct disk *disk)
{
	return content_of(disk, disk->hold[0] ? disk->hold : disk->head);
}

static void expect_point(struct disk *disk, const char *name, const struct content *content)
{
	struct point *point = &disk->pending[disk->pending_count++];

	memset(point, 0, sizeof(*point));
	snprintf(point->name, sizeof(point->name), "%s", name);
	point->content = *content;
}

/* --- keeping in step with status.json ------------------------------------------------------------- */

static struct json_object *read_status(void)
{
	static char text[1 << 20];
	char path[PATH_MAX + 32];
	struct json_object *object;
	size_t length = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/.revertfs/status.json", mnt);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check_system(fd, "opening status.json");
	while ((n = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t)n;
	close(fd);
	text[length] = '\0';
	object = json_tokener_parse(text);
	if (!object)
		fail("status.json is not valid: %s", text);
	return object;
}

static bool stands_on(struct disk *disk, const char *id, const char *below)
{
	for (struct layer *layer = find_layer(disk, id); layer; layer = find_layer(disk, layer->parent))
		if (strcmp(layer->id, below) == 0)
			return true;
	return false;
}

/* Whether head, hold or a name needs the layer, by what the model knows. */
static bool is_reached(struct disk *disk, const char *id)
{
	if (stands_on(disk, disk->head, id) || (disk->hold[0] && stands_on(disk, disk->hold, id)))
		return true;
	for (size_t i = 0; i < disk->point_count; i++)
		if (stands_on(disk, disk->points[i].id, id))
			return true;
	return false;
}

static void replace_id(char *place, const char *from, const char *to)
{
	if (strcmp(place, from) == 0)
		snprintf(place, 17, "%s", to);
}

/* A layer is not there any more: folded into its parent, when something stood on it; else it was given up. */
static void forget_layer(struct disk *disk, size_t index)
{
	struct layer gone = disk->layers[index];

	if (is_reached(disk, gone.id)) {
		struct layer *parent = find_layer(disk, gone.parent);

		if (!parent)
			fail("'%s': layer %s, which is needed, is gone, and its parent too", disk->name, gone.id);
		if (gone.known)
			parent->content = gone.content;
		replace_id(disk->head, gone.id, parent->id);
		replace_id(disk->hold, gone.id, parent->id);
		for (size_t i = 0; i < disk->point_count; i++)
			replace_id(disk->points[i].id, gone.id, parent->id);
	}
	for (size_t i = 0; i < disk->layer_count; i++)
		replace_id(disk->layers[i].parent, gone.id, gone.parent);
	disk->layers[index] = disk->layers[--disk->layer_count];
}

static bool is_listed(struct json_object *list, const char *id)
{
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (strcmp(member(json_object_array_get_idx(list, i), "id"), id) == 0)
			return true;
	return false;
}

/* Layers that are gone go in the order in which they stood on one another, the top first: each takes its content down. */
static void forget_gone_layers(struct disk *disk, struct json_object *list)
{
	bool progress = true;

	while (progress) {
		progress = false;
		for (size_t i = 0; i < disk->layer_count && !progress; i++) {
			struct layer *layer = &disk->layers[i];
			bool has_gone_child = false;

			if (is_listed(list, layer->id))
				continue;
			for (size_t k = 0; k < disk->layer_count; k++)
				if (strcmp(disk->layers[k].parent, layer->id) == 0 &&
				    !is_listed(list, disk->layers[k].id))
					has_gone_child = true;
			if (has_gone_child)
				continue;
			forget_layer(disk, i);
			progress = true;
		}
	}
}

static void take_layers(struct disk *disk, struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		const char *id = member(entry, "id");
		struct layer *layer = find_layer(disk, id);

		if (!layer) {
			if (disk->layer_count == LAYERS_MAX)
				fail("too many layers for the model");
			layer = &disk->layers[disk->layer_count++];
			memset(layer, 0, sizeof(*layer));
			snprintf(layer->id, sizeof(layer->id), "%s", id);
		}
		snprintf(layer->parent, sizeof(layer->parent), "%s", member(entry, "parent"));
		snprintf(layer->file, sizeof(layer->file), "%s", member(entry, "file"));
		layer->folding = strcmp(member(entry, "state"), "folding") == 0;
	}
}

static struct point *find_point(struct disk *disk, const char *name)
{
	for (size_t i = 0; i < disk->point_count; i++)
		if (strcmp(disk->points[i].name, name) == 0)
			return &disk->points[i];
	return NULL;
}

/* A name that status has and the model does not: one that the last verb must have made, known by its beginning. */
static void take_point(struct disk *disk, const char *name, const char *id)
{
	for (size_t i = 0; i < disk->pending_count; i++) {
		struct point *pending = &disk->pending[i];

		if (strncmp(name, pending->name, strlen(pending->name)) != 0)
			continue;
		if (disk->point_count == POINTS_MAX)
			fail("too many points for the model");
		snprintf(pending->name, sizeof(pending->name), "%s", name);
		snprintf(pending->id, sizeof(pending->id), "%s", id);
		disk->points[disk->point_count++] = *pending;
		if (find_layer(disk, id) && !find_layer(disk, id)->known)
			learn(disk, id, &pending->content);
		*pending = disk->pending[--disk->pending_count];
		return;
	}
	fail("'%s' has a name '%s' that nothing made", disk->name, name);
}

static void take_points(struct disk *disk, struct json_object *list)
{
	bool found[POINTS_MAX] = { false };

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i), *points = NULL;

		if (!present(entry, "names", &points))
			continue;
		for (size_t k = 0; k < json_object_array_length(points); k++) {
			const char *name = json_object_get_string(json_object_array_get_idx(points, k));
			struct point *point = find_point(disk, name);

			if (!point) {
				take_point(disk, name, member(entry, "id"));
				point = find_point(disk, name);
			}
			found[point - disk->points] = true;
			/* A fold hands the names down before the layer goes: for a moment both have them. */
			if (strcmp(point->id, member(entry, "id")) != 0 && !disk->job && !find_layer(disk, point->id))
				fail("'%s': the name '%s' went to another layer", disk->name, name);
		}
	}
	for (size_t i = 0; i < disk->point_count; i++)
		if (!found[i])
			fail("'%s': the name '%s' is gone", disk->name, disk->points[i].name);
	if (disk->pending_count)
		fail("'%s': nothing was named '%s...'", disk->name, disk->pending[0].name);
}

static void same_text(struct disk *disk, const char *what, const char *found, const char *expected)
{
	if (strcmp(found, expected) != 0)
		fail("'%s': %s is '%s', not '%s'", disk->name, what, found, expected);
}

static void take_disk(struct disk *disk, struct json_object *entry)
{
	static const char *const keep_names[] = { "",         "leftover",  "armed",   "uncommitted",
						  "unhooked", "undecided", "snapshot" };
	struct json_object *list = NULL, *hold = NULL, *session = NULL, *job = NULL;

	disk->job = present(entry, "job", &job);
	if (!present(entry, "layers", &list))
		fail("'%s' has no layers", disk->name);
	forget_gone_layers(disk, list);
	take_layers(disk, list);
	/* What sealing made is known by its place: the new head or hold. */
	if (present(entry, "hold", &hold) && disk->hold[0] == '?') {
		snprintf(disk->hold, sizeof(disk->hold), "%s", member(hold, "layer"));
		learn(disk, disk->hold, &disk->scratch);
	}
	if (disk->head[0] == '?') {
		snprintf(disk->head, sizeof(disk->head), "%s", member(entry, "head"));
		if (!layer_of(disk, disk->head)->known)
			learn(disk, disk->head, &disk->scratch);
	}
	take_points(disk, list);
	same_text(disk, "its head", member(entry, "head"), disk->head);
	same_text(disk, "its hold", hold ? member(hold, "layer") : "", disk->hold);
	same_text(disk, "its state", member(entry, "state"), disk->dirty ? "dirty" : "pristine");
	same_text(disk, "what is kept", member(entry, "kept"), keep_names[disk->keep]);
	same_text(disk, "its session", present(entry, "session", &session) ? member(session, "uuid") : "",
		  disk->session.present ? uuids[disk->session.domain] : "");
	if ((unsigned)atoi(member(entry, "virtual_size")) != content_of(disk, disk->head)->blocks * BLOCK)
		fail("'%s': its size is %s", disk->name, member(entry, "virtual_size"));
	if (present(entry, "last_error", &job) && strstr(member(entry, "last_error"), "not folded yet"))
		fail("'%s': a fold failed: %s", disk->name, member(entry, "last_error"));
}

static struct disk *disk_named(const char *name)
{
	for (int i = 0; i < DISKS; i++)
		if (strcmp(disks[i].name, name) == 0)
			return &disks[i];
	fail("there is a disk '%s'", name);
}

/* A fold moves head and hold first and takes the layer away then: for a moment status has both. */
static bool is_in_transit(struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i), *layers = NULL, *hold = NULL;
		struct disk *disk = disk_named(member(entry, "name"));

		if (!present(entry, "layers", &layers))
			continue;
		for (size_t k = 0; k < json_object_array_length(layers); k++) {
			struct json_object *layer = json_object_array_get_idx(layers, k);

			if (strcmp(member(layer, "state"), "folding") != 0)
				continue;
			if (strcmp(member(layer, "id"), disk->head) == 0 &&
			    strcmp(member(layer, "parent"), member(entry, "head")) == 0)
				return true;
			if (strcmp(member(layer, "id"), disk->hold) == 0 && present(entry, "hold", &hold) &&
			    strcmp(member(layer, "parent"), member(hold, "layer")) == 0)
				return true;
		}
	}
	return false;
}

static void observe(void)
{
	struct json_object *status = read_status(), *list = NULL;
	size_t count = 0;

	json_object_object_get_ex(status, "disks", &list);
	for (int i = 0; i < 1000 && is_in_transit(list); i++) {
		json_object_put(status);
		usleep(2000);
		status = read_status();
		json_object_object_get_ex(status, "disks", &list);
	}
	for (int i = 0; i < DISKS; i++)
		count += disks[i].protected;
	if (json_object_array_length(list) != count)
		fail("there are %zu disks, not %zu", json_object_array_length(list), count);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		take_disk(disk_named(member(entry, "name")), entry);
	}
	json_object_put(status);
}

/* --- checks --------------------------------------------------------------------------------------- */

static void check_content(struct disk *disk)
{
	char path[PATH_MAX + 64];
	const char *said;

	snprintf(path, sizeof(path), "%s/%s", mnt, disk->name);
	said = compare(path, disk->protected || disk->qcow2, disk->protected ? &disk->scratch : &disk->image);
	if (*said)
		fail("'%s' does not read what it should: %s", disk->name, said);
}

/* Every layer of the disk reads, through its view, what the model says; but one whose child is being folded into it reads nothing. */
static void check_layers(struct disk *disk)
{
	for (size_t i = 0; i < disk->layer_count; i++) {
		struct layer *layer = &disk->layers[i];
		const char *said;
		bool torn = disk->job;

		for (size_t k = 0; k < disk->layer_count; k++)
			torn |= disk->layers[k].folding;
		if (torn || !layer->known)
			continue;
		said = compare(layer->file, layer->parent[0] || disk->qcow2, &layer->content);
		if (*said)
			fail("'%s': layer %s does not read what it should: %s", disk->name, layer->id, said);
	}
}

static void check_with_qemu_img(struct disk *disk)
{
	if (disk->protected || disk->qcow2)
		run("qemu-img check -q -f qcow2 '%s/%s'", mnt, disk->name);
	if (disk->qcow2 && !disk->job)
		run("qemu-img check -q -U -f qcow2 '%s/%s'", images, disk->name);
}

/* Whether the model's tree has a layer that a fold would take: what `fold` must have done all of. */
static void check_nothing_to_fold(struct disk *disk)
{
	unsigned nth = 0;

	for (struct layer *layer = find_layer(disk, disk->head); layer && layer->parent[0];
	     layer = find_layer(disk, layer->parent)) {
		unsigned children = 0;
		bool chosen = strcmp(layer->parent, disk->hold) == 0;

		for (size_t i = 0; i < disk->layer_count; i++)
			children += strcmp(disk->layers[i].parent, layer->parent) == 0;
		for (size_t i = 0; i < disk->point_count; i++)
			chosen |= strcmp(disk->points[i].id, layer->parent) == 0;
		if (++nth > disk->keep_revisions && children == 1 && !chosen)
			fail("'%s': layer %s was not folded", disk->name, layer->id);
	}
}

/* --- what verbs may answer ------------------------------------------------------------------------ */

struct allowed {
	int list[8];
	size_t count;
	bool must_fail; /* 0 is not among them */
};

static void may_fail(struct allowed *allowed, int error)
{
	allowed->list[allowed->count++] = error;
}

static void must_fail(struct allowed *allowed, int error)
{
	may_fail(allowed, error);
	allowed->must_fail = true;
}

static int expect(const struct allowed *allowed, int r)
{
	if (r == 0 && !allowed->must_fail)
		return r;
	for (size_t i = 0; i < allowed->count; i++)
		if (allowed->list[i] == r)
			return r;
	fail("it answered %s: %s", r ? strerrorname_np(r) : "0", json_object_to_json_string(answer));
}

enum maybe { NO, YES, PERHAPS };

/* Sessions lapse with time: 60 s without a writer, 10 s after the last one. */
static enum maybe session_is_active(const struct disk *disk)
{
	const struct session *session = &disk->session;
	double age, limit;

	if (!session->present || !session->adopted)
		return NO;
	age = now() - (session->had_writer ? session->writers_gone : session->since);
	limit = session->had_writer ? 10 : 60;
	return age < limit - 2 ? YES : age > limit + 5 ? NO : PERHAPS;
}

/* What commit, undo, reset and the like want. */
static void want_idle(const struct disk *disk, struct allowed *allowed)
{
	switch (session_is_active(disk)) {
	case YES:
		must_fail(allowed, EBUSY);
		break;
	case PERHAPS:
		may_fail(allowed, EBUSY);
		break;
	case NO:
		break;
	}
}

static bool want_protected(const struct disk *disk, struct allowed *allowed)
{
	if (!disk->protected)
		must_fail(allowed, ENOENT);
	return disk->protected;
}

static void fresh_scratch(struct disk *disk)
{
	if (disk->head[0] != '?') /* else it has just been protected, by a prepare */
		disk->scratch = *base_of(disk);
	disk->dirty = false;
}

/* --- verbs ---------------------------------------------------------------------------------------- */

static struct disk *any_disk(void)
{
	return &disks[below(DISKS)];
}

static void do_write(struct disk *disk)
{
	struct content *content = disk->protected ? &disk->scratch : &disk->image;
	bool writes = !one_in(12);
	struct text lines = { 0 };
	const char *said;

	note("%u: write %s", step, disk->name);
	add(&lines, "open -o driver=%s %s/%s\n", disk->protected || disk->qcow2 ? "qcow2" : "raw", mnt, disk->name);
	for (unsigned n = writes ? below(5) + 1 : 0; n; n--) {
		unsigned first = below(content->blocks), count = one_in(4) ? below(128) + 1 : below(8) + 1;
		unsigned pattern = one_in(6) ? 0 : below(255) + 1;

		if (count > content->blocks - first)
			count = content->blocks - first;
		memset(content->byte + first, (int)pattern, count);
		if (pattern == 0 && one_in(2))
			add(&lines, "write -q -z %s %u %u\n", one_in(2) ? "-u" : "", first * BLOCK, count * BLOCK);
		else
			add(&lines, "write -q -P %u %u %u\n", pattern, first * BLOCK, count * BLOCK);
		if (one_in(6))
			add(&lines, "flush\n");
	}
	add(&lines, "close\n");
	said = io(lines.bytes);
	free(lines.bytes);
	if (*said)
		fail("'%s' cannot be written: %s", disk->name, said);
	if (!disk->protected)
		return;
	disk->dirty |= writes;
	if (!disk->session.present && disk->keep == KEEP_NOTHING)
		disk->keep = KEEP_UNHOOKED;
	disk->session.had_writer = true;
	disk->session.writers_gone = now();
}

static void start_model(struct disk *disk)
{
	disk->protected = true;
	disk->dirty = false;
	strcpy(disk->head, "?");
	disk->scratch = disk->image;
	disk->hold[0] = '\0';
	disk->keep = KEEP_NOTHING;
	disk->keep_domain = -1;
	disk->keep_armed = disk->commit_at_release = disk->leftover_keep = false;
	disk->consumed = 0;
	disk->keep_revisions = 0;
	disk->session.present = false;
	disk->layer_count = disk->point_count = 0;
}

static void do_protect(struct disk *disk)
{
	const char *format = one_in(2) ? "" : disk->qcow2 ? " format=qcow2" : " format=raw";
	struct allowed allowed = { 0 };

	if (disk->protected)
		must_fail(&allowed, EEXIST);
	if (expect(&allowed, command("protect %s%s", disk->name, format)) == 0)
		start_model(disk);
}

static void do_unprotect(struct disk *disk)
{
	struct allowed allowed = { 0 };
	struct content content;

	if (want_protected(disk, &allowed)) {
		want_idle(disk, &allowed);
		if (disk->hold[0] || disk->dirty)
			must_fail(&allowed, EBUSY);
		if (disk->layer_count > 1 && disk->job)
			may_fail(&allowed, EBUSY);
		else if (disk->layer_count > 1)
			must_fail(&allowed, EBUSY);
		content = *content_of(disk, disk->head);
	}
	if (expect(&allowed, command("unprotect %s", disk->name)) != 0)
		return;
	disk->protected = false;
	disk->session.present = false;
	disk->image = content;
}

static void do_reset(struct disk *disk)
{
	bool force = one_in(3);
	struct allowed allowed = { 0 };

	if (want_protected(disk, &allowed)) {
		want_idle(disk, &allowed);
		if (disk->hold[0] && !force)
			must_fail(&allowed, EBUSY);
	}
	if (expect(&allowed, command("reset %s%s", disk->name, force ? " force=yes" : "")) != 0)
		return;
	disk->keep = KEEP_NOTHING;
	disk->hold[0] = '\0';
	disk->session.present = false;
	fresh_scratch(disk);
}

static void want_sealable(struct disk *disk, struct allowed *allowed)
{
	want_idle(disk, allowed);
	if (disk->hold[0])
		must_fail(allowed, EBUSY);
}

/* The scratch has become the layer `id` ("?": whatever status says is the head now). */
static void sealed_as_head(struct disk *disk, const char *id)
{
	if (*id && *id != '?')
		learn(disk, id, &disk->scratch);
	snprintf(disk->head, sizeof(disk->head), "%s", id);
	disk->dirty = false;
}

static void do_commit(struct disk *disk)
{
	struct allowed allowed = { 0 };

	if (want_protected(disk, &allowed))
		want_sealable(disk, &allowed);
	if (expect(&allowed, command("commit %s%s", disk->name, one_in(3) ? " note=\"why \\\"not\\\"\"" : "")) != 0)
		return;
	if (!disk->dirty) {
		if (*member(answer, "layer"))
			fail("a commit of nothing made a layer");
		return;
	}
	sealed_as_head(disk, member(answer, "layer"));
	disk->keep = KEEP_NOTHING;
	disk->session.present = false;
}

static void do_commit_at_release(struct disk *disk)
{
	struct allowed allowed = { 0 };

	want_protected(disk, &allowed);
	if (expect(&allowed, command("commit %s at=release", disk->name)) != 0)
		return;
	disk->commit_at_release = true;
	if (disk->session.present && disk->keep == KEEP_NOTHING)
		disk->keep = KEEP_ARMED;
}

/* The head becomes `to`; what is left behind gets names. */
static void moved_to(struct disk *disk, const char *to, bool discard)
{
	if (disk->dirty && !discard)
		expect_point(disk, "before-revert-", &disk->scratch);
	if (*member(answer, "point"))
		expect_point(disk, member(answer, "point"), content_of(disk, disk->head));
	snprintf(disk->head, sizeof(disk->head), "%s", to);
	disk->keep = KEEP_NOTHING;
	disk->session.present = false;
	fresh_scratch(disk);
}

static void do_undo(struct disk *disk)
{
	struct allowed allowed = { 0 };
	char parent[17] = "";
	bool loose = disk->job; /* a fold may take the head away meanwhile */

	if (want_protected(disk, &allowed)) {
		want_sealable(disk, &allowed);
		strcpy(parent, layer_of(disk, disk->head)->parent);
		if (!parent[0])
			must_fail(&allowed, ENOENT);
		else if (layer_of(disk, disk->head)->folding && !loose)
			must_fail(&allowed, EBUSY);
		if (loose && (disk->keep_revisions == 0 || allowed.must_fail || layer_of(disk, disk->head)->folding)) {
			may_fail(&allowed, EBUSY);
			may_fail(&allowed, ENOENT);
		}
	}
	if (expect(&allowed, command("undo %s", disk->name)) != 0)
		return;
	if (loose) {
		/* Ask which layer it went to; the model's content of it is what the fold made of it. */
		struct json_object *status = read_status(), *list = NULL, *layers = NULL;
		struct content left = *content_of(disk, disk->head), was = disk->scratch;
		bool dirty = disk->dirty;

		json_object_object_get_ex(status, "disks", &list);
		for (size_t i = 0; i < json_object_array_length(list); i++) {
			struct json_object *entry = json_object_array_get_idx(list, i);

			if (strcmp(member(entry, "name"), disk->name) != 0)
				continue;
			present(entry, "layers", &layers);
			forget_gone_layers(disk, layers);
			snprintf(parent, sizeof(parent), "%s", member(entry, "head"));
		}
		json_object_put(status);
		if (dirty)
			expect_point(disk, "before-revert-", &was);
		if (*member(answer, "point"))
			expect_point(disk, member(answer, "point"), &left);
		snprintf(disk->head, sizeof(disk->head), "%s", parent);
		disk->keep = KEEP_NOTHING;
		disk->session.present = false;
		fresh_scratch(disk);
		return;
	}
	moved_to(disk, parent, false);
}

static void do_snapshot(struct disk *disk)
{
	struct allowed allowed = { 0 };
	char name[32];

	snprintf(name, sizeof(name), "p%u", below(6));
	if (want_protected(disk, &allowed)) {
		if (find_point(disk, name))
			must_fail(&allowed, EEXIST);
		want_sealable(disk, &allowed);
		if (!disk->dirty && layer_of(disk, disk->head)->parent[0] &&
		    (disk->job || layer_of(disk, disk->head)->folding))
			may_fail(&allowed, EBUSY);
	}
	if (expect(&allowed, command("snapshot %s %s", disk->name, name)) != 0)
		return;
	expect_point(disk, name, &disk->scratch);
	if (!disk->dirty)
		return;
	sealed_as_head(disk, member(answer, "layer"));
	disk->keep = KEEP_NOTHING;
	disk->session.present = false;
}

static void do_revert(struct disk *disk)
{
	struct point *point =
		disk->point_count && !one_in(10) ? &disk->points[below((unsigned)disk->point_count)] : NULL;
	bool discard = one_in(4);
	struct allowed allowed = { 0 };
	struct content content;

	if (want_protected(disk, &allowed)) {
		if (!point)
			must_fail(&allowed, ENOENT);
		want_sealable(disk, &allowed);
		for (size_t i = 0; i < disk->layer_count; i++)
			if (disk->job || disk->layers[i].folding) {
				may_fail(&allowed, EBUSY);
				break;
			}
	}
	if (expect(&allowed, command("revert %s %s%s", disk->name, point ? point->name : "none",
				     discard ? " discard=yes" : "")) != 0)
		return;
	content = point->content;
	if (disk->job) { /* the layer of the point may have been folded into its parent meanwhile */
		struct content left = *content_of(disk, disk->head);

		if (disk->dirty && !discard)
			expect_point(disk, "before-revert-", &disk->scratch);
		if (*member(answer, "point"))
			expect_point(disk, member(answer, "point"), &left);
		strcpy(disk->head, "?");
		disk->scratch = content;
		disk->dirty = false;
		disk->keep = KEEP_NOTHING;
		disk->session.present = false;
		return;
	}
	moved_to(disk, point->id, discard);
}

static void do_delete(struct disk *disk)
{
	struct point *point =
		disk->point_count && !one_in(10) ? &disk->points[below((unsigned)disk->point_count)] : NULL;
	struct allowed allowed = { 0 };

	if (want_protected(disk, &allowed) && !point)
		must_fail(&allowed, ENOENT);
	if (expect(&allowed, command("delete %s %s", disk->name, point ? point->name : "none")) == 0)
		*point = disk->points[--disk->point_count];
}

static void do_set(struct disk *disk)
{
	struct allowed allowed = { 0 };
	unsigned n = below(4);

	want_protected(disk, &allowed);
	if (one_in(3)) {
		if (expect(&allowed, command("set %s leftover=%s", disk->name, n % 2 ? "keep" : "discard")) == 0)
			disk->leftover_keep = n % 2;
	} else if (one_in(4)) {
		expect(&allowed, command("set %s durability=%s", disk->name, n % 2 ? "strict" : "relaxed"));
	} else {
		if (expect(&allowed, command("set %s keep-revisions=%u", disk->name, n)) == 0)
			disk->keep_revisions = n;
	}
}

static void do_grow(struct disk *disk)
{
	struct allowed allowed = { 0 };
	unsigned old = 0, blocks = BLOCKS_FIRST - 64 + 64 * below(5);

	if (want_protected(disk, &allowed)) {
		want_sealable(disk, &allowed);
		old = content_of(disk, disk->head)->blocks;
		if (blocks < old)
			must_fail(&allowed, EINVAL);
		if (blocks != old && disk->dirty)
			must_fail(&allowed, EBUSY);
	}
	if (expect(&allowed, command("set %s size=%u", disk->name, blocks * BLOCK)) != 0 || blocks == old)
		return;
	disk->scratch.blocks = blocks;
	memset(disk->scratch.byte + old, 0, blocks - old);
	strcpy(disk->head, "?");
}

static void do_fold(struct disk *disk)
{
	struct allowed allowed = { 0 };

	if (want_protected(disk, &allowed) && session_is_active(disk) != NO)
		may_fail(&allowed, EBUSY);
	if (expect(&allowed, command("fold %s", disk->name)) != 0)
		return;
	if (session_is_active(disk) == NO) {
		observe();
		check_nothing_to_fold(disk);
	}
}

static void do_cancel(struct disk *disk)
{
	struct allowed allowed = { .list = { ENOENT }, .count = 1 };

	expect(&allowed, command("cancel %s", disk->name));
}

static void do_announce(void)
{
	int domain = (int)below(DOMAINS);

	expect(&(struct allowed){ 0 }, command("announce %s", uuids[domain]));
	announced[domain] = now();
}

/* --- sessions ------------------------------------------------------------------------------------- */

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
	bool kept = disk->keep_domain == domain;
	double age = now() - disk->keep_since;

	if (disk->session.present && disk->session.domain != domain) {
		if (session_is_active(disk) == YES)
			must_fail(allowed, EBUSY);
		else if (session_is_active(disk) == PERHAPS)
			may_fail(allowed, EBUSY);
	}
	if (disk->hold[0] && disk->hold_domain != domain)
		must_fail(allowed, EBUSY);
	plan->start = START_FRESH;
	if (disk->hold[0]) {
		if (restoring)
			plan->start = START_RESUME;
	} else if (restoring) {
		if (!kept || disk->keep != KEEP_UNDECIDED)
			must_fail(allowed, ENOENT);
		plan->start = START_CONTINUE;
	} else if (disk->keep == KEEP_SNAPSHOT && kept) {
		plan->start = START_CONTINUE;
		if (age > 50)
			plan->start = age > 65 ? START_FRESH : (enum start) - 1;
	}
}

static const char *leftover_prefix(const struct plan *plan)
{
	const struct disk *disk = plan->disk;
	bool keep = plan->leftover < 0 ? disk->leftover_keep : plan->leftover;

	if (!disk->dirty || plan->start == START_CONTINUE)
		return NULL;
	switch (disk->keep) {
	case KEEP_ARMED:
	case KEEP_UNCOMMITTED:
		return "uncommitted-";
	case KEEP_UNHOOKED:
		return "unhooked-";
	case KEEP_UNDECIDED:
	case KEEP_SNAPSHOT:
		return disk->keep_armed ? "uncommitted-" : NULL;
	case KEEP_LEFTOVER:
		return "crash-";
	case KEEP_NOTHING:
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

static void started(struct plan *plan, int domain)
{
	static const char *const actions[] = { "fresh", "resumed", "continued" };
	struct disk *disk = plan->disk;
	const char *prefix;

	if (plan->start == (enum start) - 1)
		plan->start = strcmp(action_of(disk), "fresh") == 0 ? START_FRESH : START_CONTINUE;
	same_text(disk, "what prepare did", action_of(disk), actions[plan->start]);
	prefix = leftover_prefix(plan);
	if (prefix)
		expect_point(disk, prefix, &disk->scratch);
	if (plan->start == START_FRESH && disk->hold[0]) {
		if (!disk->hold_managed)
			expect_point(disk, "saved-", content_of(disk, disk->hold));
		disk->hold[0] = '\0';
	}
	if (plan->start != START_CONTINUE)
		fresh_scratch(disk);
	disk->keep = (plan->armed && !plan->consumed) || disk->commit_at_release   ? KEEP_ARMED
		     : (plan->leftover < 0 ? disk->leftover_keep : plan->leftover) ? KEEP_LEFTOVER
										   : KEEP_NOTHING;
	disk->session = (struct session){ .present = true,
					  .adopted = true,
					  .domain = domain,
					  .armed = plan->armed && !plan->consumed,
					  .on_hold = plan->start == START_RESUME,
					  .continued = plan->start == START_CONTINUE,
					  .source = plan->source,
					  .since = now() };
}

static void do_prepare(void)
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
		while (i && plan->disk == plans[0].disk);
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
		plan->consumed = plan->armed && config && plan->disk->consumed == config;
		plan_start(plan, domain, restoring, &allowed);
	}
	r = expect(&allowed, command("%s", line.bytes));
	free(line.bytes);
	announced[domain] = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		started(&plans[i], domain);
}

enum end { END_COMMIT, END_RESET, END_HOLD, END_ASIDE, END_DROP, END_KEEP, END_KEEP_SNAPSHOT };

static enum end plan_end(const struct disk *disk, const char *reason, bool named, bool armed, bool moved)
{
	const struct session *session = &disk->session;
	bool armed_now = (named && armed) || disk->commit_at_release;
	bool has_data = disk->hold[0] || disk->dirty;

	if (strcmp(reason, "shutdown") == 0 || strcmp(reason, "destroyed") == 0)
		return !named || moved ? END_KEEP : armed_now ? END_COMMIT : END_RESET;
	if (strcmp(reason, "saved") == 0)
		return END_HOLD;
	if (strcmp(reason, "from snapshot") == 0)
		return END_KEEP_SNAPSHOT;
	if (strcmp(reason, "failed") == 0 && session->on_hold)
		return END_DROP;
	if (strcmp(reason, "failed") == 0 && session->continued)
		return END_KEEP;
	if (strcmp(reason, "failed") == 0 || strcmp(reason, "crashed") == 0 || strcmp(reason, "daemon") == 0)
		return (session->armed || armed_now) && has_data ? END_ASIDE : END_RESET;
	return END_KEEP;
}

static void ended(struct disk *disk, enum end end, int domain, int config, bool saved, bool moved)
{
	static const char *const actions[] = { "committed", "reset", "held", "aside", "dropped", "undecided", "kept" };
	bool armed = disk->session.armed;

	same_text(disk, "what release did", action_of(disk), actions[end]);
	disk->session.present = false;
	disk->keep = KEEP_NOTHING;
	disk->keep_domain = -1;
	disk->keep_armed = false;
	switch (end) {
	case END_COMMIT:
		disk->commit_at_release = false;
		disk->consumed = config;
		if (disk->hold[0] || disk->dirty) {
			disk->hold[0] = '\0';
			sealed_as_head(disk, "?");
		}
		break;
	case END_HOLD:
		strcpy(disk->hold, "?");
		disk->hold_domain = domain;
		disk->hold_managed = saved;
		disk->dirty = false;
		break;
	case END_ASIDE:
		expect_point(disk, "uncommitted-", &disk->scratch);
		disk->hold[0] = '\0';
		fresh_scratch(disk);
		break;
	case END_RESET:
		disk->hold[0] = '\0';
		fresh_scratch(disk);
		break;
	case END_DROP:
		fresh_scratch(disk);
		break;
	case END_KEEP:
	case END_KEEP_SNAPSHOT:
		disk->keep = end == END_KEEP ? KEEP_UNDECIDED : KEEP_SNAPSHOT;
		disk->keep_domain = domain;
		disk->keep_armed = armed || disk->commit_at_release || moved;
		disk->keep_since = now();
		break;
	}
}

static void do_release(void)
{
	static const char *const reasons[] = { "shutdown", "shutdown", "destroyed", "saved",   "saved",        "failed",
					       "crashed",  "daemon",   "migrated",  "unknown", "from snapshot" };
	const char *reason = reasons[below(sizeof(reasons) / sizeof(reasons[0]))];
	int domain = (int)below(DOMAINS), config = (int)below(3);
	bool saved = one_in(2), named[DISKS], armed[DISKS], moved[DISKS];
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
		named[i] = !one_in(8);
		armed[i] = one_in(3);
		moved[i] = named[i] && one_in(8);
		if (!named[i])
			continue;
		add(&line, " vd%c source=/s%d", 'a' + i, moved[i] ? 9 : disks[i].session.source);
		if (armed[i])
			add(&line, " armed=yes");
	}
	expect(&(struct allowed){ 0 }, command("%s", line.bytes));
	free(line.bytes);
	for (int i = 0; i < DISKS; i++) {
		struct disk *disk = &disks[i];

		if (disk->protected && disk->session.present && disk->session.domain == domain)
			ended(disk, plan_end(disk, reason, named[i], armed[i], moved[i]), domain, config, saved,
			      moved[i]);
	}
}

/* --- the daemon's ends ---------------------------------------------------------------------------- */

static void new_boot(void)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/boot_id", top);
	file = fopen(path, "w");
	if (!file)
		fail("cannot write '%s'", path);
	fprintf(file, "%08x-1111-4111-8111-111111111111\n", (unsigned)random64());
	fclose(file);
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
		if (!boot || !disk->protected)
			continue;
		disk->session.present = false;
		if (disk->keep == KEEP_NOTHING)
			fresh_scratch(disk);
	}
}

/* A program that has the disk open for writing keeps every verb from it, and costs nothing. */
static void do_held_open(struct disk *disk)
{
	static const char *const verbs[] = { "reset %s", "commit %s", "undo %s", "unprotect %s", "snapshot %s q" };
	struct allowed allowed = { .list = { EBUSY }, .count = 1, .must_fail = true };
	char path[PATH_MAX + 64], line[PATH_MAX];
	int fd;

	if (!disk->protected)
		return;
	snprintf(path, sizeof(path), "%s/%s", mnt, disk->name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	check_system(fd, "opening a disk");
	snprintf(line, sizeof(line), verbs[below(5)], disk->name);
	expect(&allowed, command("%s", line));
	close(fd);
	if (!disk->session.present && disk->keep == KEEP_NOTHING)
		disk->keep = KEEP_UNHOOKED;
	disk->session.had_writer = true;
	disk->session.writers_gone = now();
}

/* --- worlds --------------------------------------------------------------------------------------- */

static void make_image(struct disk *disk)
{
	struct text lines = { 0 };
	char path[PATH_MAX + 64];

	memset(disk, 0, sizeof(*disk));
	disk->name = names[disk - disks];
	disk->qcow2 = strstr(disk->name, "qcow2") != NULL;
	disk->image.blocks = BLOCKS_FIRST;
	snprintf(path, sizeof(path), "%s/%s", images, disk->name);
	run("qemu-img create -q -f %s '%s' %u", disk->qcow2 ? "qcow2" : "raw", path, BLOCKS_FIRST * BLOCK);
	add(&lines, "open -o driver=%s %s\n", disk->qcow2 ? "qcow2" : "raw", path);
	for (int i = 0; i < 8; i++) {
		unsigned first = below(BLOCKS_FIRST - 64), pattern = below(255) + 1;

		memset(disk->image.byte + first, (int)pattern, 64);
		add(&lines, "write -q -P %u %u %u\n", pattern, first * BLOCK, 64 * BLOCK);
	}
	add(&lines, "close\n");
	if (*io(lines.bytes))
		fail("an image cannot be filled: %s", io_text);
	free(lines.bytes);
}

static void world_begin(void)
{
	char path[PATH_MAX + 16];

	nftw(images, remove_entry, 20, FTW_DEPTH | FTW_PHYS);
	nftw(state, remove_entry, 20, FTW_DEPTH | FTW_PHYS);
	mkdir(images, 0755);
	mkdir(mnt, 0755);
	snprintf(path, sizeof(path), "%s/dir", images);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/dir/sub", images);
	mkdir(path, 0755);
	for (int i = 0; i < DISKS; i++)
		make_image(&disks[i]);
	memset(announced, 0, sizeof(announced));
	new_boot();
	daemon_start();
	for (int i = 0; i < DISKS; i++)
		if (!one_in(4))
			do_protect(&disks[i]);
	observe();
}

/* All is given up or folded, and what is left are the images. */
static void world_end(void)
{
	daemon_end(SIGTERM); /* ends the sessions too */
	daemon_start();
	for (int i = 0; i < DISKS; i++) {
		struct disk *disk = &disks[i];
		char path[PATH_MAX + 64];
		const char *said;

		disk->session.adopted = false;
		if (!disk->protected)
			continue;
		while (disk->point_count) {
			expect(&(struct allowed){ 0 }, command("delete %s %s", disk->name, disk->points[0].name));
			disk->points[0] = disk->points[--disk->point_count];
		}
		expect(&(struct allowed){ 0 }, command("set %s keep-revisions=0", disk->name));
		disk->keep_revisions = 0;
		expect(&(struct allowed){ 0 }, command("reset %s force=yes", disk->name));
		disk->keep = KEEP_NOTHING;
		disk->hold[0] = '\0';
		disk->session.present = false;
		fresh_scratch(disk);
		observe();
		check_content(disk);
		expect(&(struct allowed){ 0 }, command("fold %s", disk->name));
		observe();
		check_content(disk);
		if (disk->layer_count != 1)
			fail("'%s' still has %zu layers", disk->name, disk->layer_count);
		expect(&(struct allowed){ 0 }, command("unprotect %s", disk->name));
		disk->protected = false;
		disk->image = disk->scratch;
		check_content(disk);
		snprintf(path, sizeof(path), "%s/%s", images, disk->name);
		said = compare(path, disk->qcow2, &disk->image);
		if (*said)
			fail("the image '%s' does not hold what was committed: %s", disk->name, said);
	}
	observe();
	daemon_end(SIGTERM);
	for (const char *const *directory = (const char *const[]){ "disks", "layers", "intents", "lost", NULL };
	     *directory; directory++)
		run("test -z \"$(ls -A '%s/%s')\" || { ls -lR '%s' >&2; false; }", state, *directory, state);
}

/* --- the steps ------------------------------------------------------------------------------------ */

static void do_step(void)
{
	struct disk *disk = any_disk();
	unsigned n = below(1000);

	if (n < 300)
		do_write(disk);
	else if (n < 360)
		do_reset(disk);
	else if (n < 450)
		do_commit(disk);
	else if (n < 470)
		do_commit_at_release(disk);
	else if (n < 510)
		do_undo(disk);
	else if (n < 540)
		do_snapshot(disk);
	else if (n < 565)
		do_revert(disk);
	else if (n < 605)
		do_delete(disk);
	else if (n < 640)
		do_set(disk);
	else if (n < 650)
		do_grow(disk);
	else if (n < 690)
		do_fold(disk);
	else if (n < 700)
		do_cancel(disk);
	else if (n < 715)
		do_announce();
	else if (n < 830)
		do_prepare();
	else if (n < 950)
		do_release();
	else if (n < 965)
		do_protect(disk);
	else if (n < 975)
		do_unprotect(disk);
	else if (n < 990)
		do_restart();
	else if (n < 992)
		do_held_open(disk);
	else
		usleep(below(100000)); /* a fold may get somewhere */
	observe();
	if (one_in(2))
		check_content(disk);
	if (one_in(10)) {
		check_content(&disks[0]);
		check_content(&disks[3]);
	}
	if (one_in(25) && disk->protected) {
		observe();
		check_layers(disk);
	}
	if (one_in(100))
		check_with_qemu_img(disk);
}

int main(int argc, char **argv)
{
	char path[PATH_MAX];
	double begun = now(), seconds;

	if (argc != 6) {
		fprintf(stderr, "usage: model DAEMON DIRECTORY SEED STEPS SECONDS\n");
		return 2;
	}
	program = argv[1];
	top = argv[2];
	seed = random_state = strtoull(argv[3], NULL, 10);
	steps = (unsigned)atoi(argv[4]);
	snprintf(images, sizeof(images), "%s/images", top);
	snprintf(mnt, sizeof(mnt), "%s/mnt", top);
	snprintf(state, sizeof(state), "%s/state", top);
	snprintf(control, sizeof(control), "%s/mnt/.revertfs/control", top);
	signal(SIGPIPE, SIG_IGN);
	new_boot();
	snprintf(path, sizeof(path), "%s/boot_id", top);
	check_system(mount(path, "/proc/sys/kernel/random/boot_id", NULL, MS_BIND, NULL),
		     "another boot id (unshare -m)");
	io_start();
	seconds = atof(argv[5]);
	while (step < steps && now() - begun < seconds) {
		unsigned end = step + ROUND < steps ? step + ROUND : steps;

		world_begin();
		while (step < end && now() - begun < seconds) {
			step++;
			do_step();
		}
		world_end();
	}
	printf("%u steps in %.0f s, SEED=%llu\n", step, now() - begun, (unsigned long long)seed);
	return 0;
}
