/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options: one table has the name of each, its argument, its place in struct options and its line
 * of --help.
 *
 * The same names are keys of the JSON configuration; the command line wins, key by key. A list on
 * the command line replaces the configuration's as a whole. libfuse splits `-o a,b=c\,d`, so that
 * escapes in an fstab line mean here what they mean for every FUSE filesystem. Options that
 * mount(8) passes on for itself are accepted and dropped; those of mount(2) become flags, since
 * channel.c calls mount(2) itself; the rest is for libfuse to accept or refuse.
 */
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_opt.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "json.h"

#define CONFIG_DEFAULT "/etc/revertfs/revertfs.json"
#define MODE_NOT_GIVEN ((mode_t)-1)
#define CONFIG_MAX ((size_t)1 << 20)

enum kind {
	KIND_TEXT,   /* char * */
	KIND_LIST,   /* struct text_list; may be repeated */
	KIND_PATHS,  /* the same, of absolute paths; written A:B */
	KIND_NUMBER, /* unsigned, at least 1 */
	KIND_SIZE,   /* uint64_t, with a suffix; 0 is fine */
	KIND_GROUP,  /* gid_t, written as a name or a number */
	KIND_MODE,   /* mode_t of reading bits, written in octal */
	KIND_PASSTHROUGH,
	KIND_SWITCH, /* bool: yes or no; the bare name is yes */
};

struct definition {
	const char *name;
	enum kind kind;
	size_t offset;
	bool in_config;
	const char *argument;
	const char *help;
};

static const struct definition definitions[] = {
	{ "state", KIND_TEXT, offsetof(struct options, state), true, "DIR",
	  "where layers, scratches and records live (default /var/lib/revertfs)" },
	{ "scratch", KIND_TEXT, offsetof(struct options, scratch), true, "DIR",
	  "another place for scratches alone, RAM included" },
	{ "config", KIND_TEXT, offsetof(struct options, config), false, "FILE",
	  "JSON, the same keys (default " CONFIG_DEFAULT " where it exists)" },
	{ "group", KIND_GROUP, offsetof(struct options, group), true, "NAME",
	  "group that may use the control file (default: root alone)" },
	{ "status-mode", KIND_MODE, offsetof(struct options, status_mode), true, "MODE",
	  "who may read the status and list views, octal (default 0440, 0400 without a group)" },
	{ "protect", KIND_LIST, offsetof(struct options, protect), true, "GLOB",
	  "images to protect at start, may be repeated" },
	{ "export-dirs", KIND_PATHS, offsetof(struct options, export_dirs), true, "A:B",
	  "where callers other than root may export to (default none)" },
	{ "qemu-img", KIND_TEXT, offsetof(struct options, qemu_img), true, "PROGRAM",
	  "the qemu-img to use (default: the one in PATH)" },
	{ "template", KIND_TEXT, offsetof(struct options, template_options), true, "OPTIONS",
	  "how a scratch is made: qemu-img's -o (default: what suits the QEMU)" },
	{ "max-jobs", KIND_NUMBER, offsetof(struct options, max_jobs), true, "N",
	  "folds at the same time, and as many exports (default 2)" },
	{ "reserve", KIND_SIZE, offsetof(struct options, reserve), true, "SIZE",
	  "what folds, exports and clones leave free (default 1G, at most 5 % of a filesystem)" },
	{ "passthrough", KIND_PASSTHROUGH, offsetof(struct options, passthrough), true, "no|auto|require",
	  "have the kernel read and write open files (default auto)" },
	{ "keeper", KIND_SWITCH, offsetof(struct options, keeper), true, "yes|no",
	  "without systemd: a process that starts a new daemon where one ends unasked (default no)" },
	{ "max-layers", KIND_NUMBER, offsetof(struct options, max_layers), true, "N",
	  "unfolded layers of a disk, from which on its commits warn; twice that, and none begins (default 16)" },
	{ "reader-patience", KIND_NUMBER, offsetof(struct options, reader_patience), true, "SECONDS",
	  "how long a fold waits for readers that are no guests (default 300)" },
	{ "qemu-timeout", KIND_NUMBER, offsetof(struct options, qemu_timeout), true, "SECONDS",
	  "how long a qemu-img may go without any progress (default 60)" },
	{ "images-are-mine", KIND_SWITCH, offsetof(struct options, images_are_mine), true, "yes|no",
	  "no other host uses the images, though they lie where it could: fold into them (default no)" },
	{ "unboxed", KIND_SWITCH, offsetof(struct options, unboxed), true, "yes|no",
	  "run qemu-img with all of root's rights, not in a box (default no)" },
};

/*
 * The two arguments that have no name on the command line. They have one in the configuration, so
 * that a service needs that file alone.
 */
static const struct definition places[] = {
	{ "images", KIND_TEXT, offsetof(struct options, images), true, NULL, NULL },
	{ "mount", KIND_TEXT, offsetof(struct options, mount), true, NULL, NULL },
};

/* These are for mount(8) alone, or about what every mount of a revertfs is, or is not, anyway. */
static const char *const dropped[] = {
	"rw",         "auto",     "noauto", "nofail", "_netdev",     "nosuid",
	"nodev",      "dev",      "suid",   "exec",   "owner",       "group",
	"user",       "users",    "nouser", "async",  "allow_other", "default_permissions",
	"norelatime", "defaults",
};
static const char *const dropped_prefixes[] = { "x-", "X-", "user=", "comment=", "helper=" };

static const struct {
	const char *name;
	unsigned long flag;
} mount_flags[] = {
	{ "ro", MS_RDONLY },         { "noexec", MS_NOEXEC },
	{ "noatime", MS_NOATIME },   { "nodiratime", MS_NODIRATIME },
	{ "relatime", MS_RELATIME }, { "strictatime", MS_STRICTATIME },
	{ "sync", MS_SYNCHRONOUS },  { "dirsync", MS_DIRSYNC },
};

static const char *const context_prefixes[] = { "context=", "fscontext=", "defcontext=", "rootcontext=" };

struct reader {
	struct options *options;
	struct sentence *error;
	bool given[ARRAY_SIZE(definitions) + ARRAY_SIZE(places)]; /* on the command line */
	int result;                                               /* of the last argument */
};

static int out_of_memory(struct sentence *error)
{
	return report(error, -ENOMEM, "out of memory");
}

static int set_text(char **place, const char *text, struct sentence *error)
{
	char *copy = strdup(text);

	if (!copy)
		return out_of_memory(error);
	free(*place);
	*place = copy;
	return 0;
}

static int list_add(struct text_list *list, const char *text, size_t length, struct sentence *error)
{
	char **longer = reallocarray(list->items, list->count + 1, sizeof(*longer));

	if (!longer)
		return out_of_memory(error);
	list->items = longer;
	longer[list->count] = strndup(text, length);
	if (!longer[list->count])
		return out_of_memory(error);
	list->count++;
	return 0;
}

static void list_clear(struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
}

static int add_paths(struct text_list *list, const char *text, struct sentence *error)
{
	while (*text) {
		size_t length = strcspn(text, ":");
		int r = 0;

		if (length && *text != '/')
			return report(error, -EINVAL, "'%.*s' must be an absolute path", (int)length, text);
		if (length)
			r = list_add(list, text, length, error);
		if (r < 0)
			return r;
		text += length + (text[length] == ':');
	}
	return 0;
}

static int set_number(unsigned *place, const char *name, const char *text, struct sentence *error)
{
	uint64_t value;

	if (parse_size(text, &value) < 0 || value == 0 || value > 1000000)
		return report(error, -EINVAL, "option '%s': '%s' is not a number from 1 to 1000000", name, text);
	*place = (unsigned)value;
	return 0;
}

static int set_size(uint64_t *place, const char *name, const char *text, struct sentence *error)
{
	uint64_t value;

	if (parse_size(text, &value) < 0 || value == RESERVE_BY_DEFAULT)
		return report(error, -EINVAL, "option '%s': '%s' is not a size, such as 512M or 2G", name, text);
	*place = value;
	return 0;
}

static int set_group(gid_t *place, const char *text, struct sentence *error)
{
	const struct group *group = getgrnam(text);
	uint64_t number;

	if (group) {
		*place = group->gr_gid;
		return 0;
	}
	if (parse_size(text, &number) < 0 || number >= (gid_t)-1)
		return report(error, -EINVAL, "option 'group': there is no group '%s'", text);
	*place = (gid_t)number;
	return 0;
}

static int set_mode(mode_t *place, const char *name, const char *text, struct sentence *error)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (*end || mode & ~0444UL)
		return report(error, -EINVAL, "option '%s': '%s' is no octal mode of reading bits, such as 0444", name,
			      text);
	*place = (mode_t)mode;
	return 0;
}

static int set_passthrough(enum passthrough_mode *place, const char *text, struct sentence *error)
{
	static const char *const names[] = {
		[PASSTHROUGH_AUTO] = "auto", [PASSTHROUGH_NO] = "no", [PASSTHROUGH_REQUIRE] = "require"
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*place = (enum passthrough_mode)i;
			return 0;
		}
	}
	return report(error, -EINVAL, "option 'passthrough': '%s' is not one of no, auto and require", text);
}

static int set_switch(bool *place, const char *name, const char *text, struct sentence *error)
{
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return report(error, -EINVAL, "option '%s': '%s' is neither yes nor no", name, text);
	*place = strcmp(text, "yes") == 0;
	return 0;
}

static int set_value(struct options *options, const struct definition *definition, const char *text,
		     struct sentence *error)
{
	void *member = (char *)options + definition->offset;

	if (!*text)
		return report(error, -EINVAL, "option '%s' has no value", definition->name);
	switch (definition->kind) {
	case KIND_TEXT:
		return set_text(member, text, error);
	case KIND_LIST:
		return list_add(member, text, strlen(text), error);
	case KIND_PATHS:
		return add_paths(member, text, error);
	case KIND_NUMBER:
		return set_number(member, definition->name, text, error);
	case KIND_SIZE:
		return set_size(member, definition->name, text, error);
	case KIND_GROUP:
		return set_group(member, text, error);
	case KIND_MODE:
		return set_mode(member, definition->name, text, error);
	case KIND_PASSTHROUGH:
		return set_passthrough(member, text, error);
	case KIND_SWITCH:
		return set_switch(member, definition->name, text, error);
	}
	return -EINVAL;
}

static bool is_one_of(const char *text, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, names[i]) == 0)
			return true;
	}
	return false;
}

static bool begins_with_one_of(const char *text, const char *const *prefixes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	return false;
}

/* 1 when `text` is one of our options and has been set; 0 when it is none. */
static int read_own_option(struct reader *reader, const char *text)
{
	size_t length = strcspn(text, "=");

	for (size_t i = 0; i < ARRAY_SIZE(definitions); i++) {
		const struct definition *definition = &definitions[i];
		int r;

		if (strncmp(definition->name, text, length) != 0 || definition->name[length] ||
		    (!text[length] && definition->kind != KIND_SWITCH))
			continue;
		reader->given[i] = true;
		r = set_value(reader->options, definition, text[length] ? text + length + 1 : "yes", reader->error);
		return r < 0 ? r : 1;
	}
	return 0;
}

/* The same for options of mount(2) and mount(8). */
static int read_mount_option(struct reader *reader, const char *text)
{
	struct options *options = reader->options;
	char *data;

	if (is_one_of(text, dropped, ARRAY_SIZE(dropped)) ||
	    begins_with_one_of(text, dropped_prefixes, ARRAY_SIZE(dropped_prefixes)))
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(mount_flags); i++) {
		if (strcmp(text, mount_flags[i].name) == 0) {
			options->mount_flags |= mount_flags[i].flag;
			return 1;
		}
	}
	if (!begins_with_one_of(text, context_prefixes, ARRAY_SIZE(context_prefixes)))
		return 0;
	data = format_text("%s%s%s", options->mount_data ? options->mount_data : "", options->mount_data ? "," : "",
			   text);
	if (!data)
		return out_of_memory(reader->error);
	free(options->mount_data);
	options->mount_data = data;
	return 1;
}

static int read_option(struct reader *reader, const char *text)
{
	struct options *options = reader->options;
	int r;

	if (strncmp(text, "fsname=", 7) == 0 || strncmp(text, "subtype=", 8) == 0)
		return report(reader->error, -EINVAL,
			      "option '%s' cannot be chosen: the hook recognises the mount by it", text);
	r = read_own_option(reader, text);
	if (r == 0)
		r = read_mount_option(reader, text);
	if (r != 0)
		return r;
	return list_add(&options->fuse_options, text, strlen(text), reader->error);
}

static int read_switch(struct reader *reader, const char *text)
{
	struct options *options = reader->options;

	if (strcmp(text, "-f") == 0)
		options->foreground = true;
	else if (strcmp(text, "-d") == 0)
		options->debug = options->foreground = true;
	else if (strcmp(text, "-h") == 0 || strcmp(text, "--help") == 0)
		options->help = true;
	else if (strcmp(text, "-V") == 0 || strcmp(text, "--version") == 0)
		options->version = true;
	else if (strcmp(text, "--drop-in") == 0)
		options->drop_in = true;
	else
		return report(reader->error, -EINVAL, "unknown option '%s'; 'revertfs -h' lists them", text);
	return 0;
}

static int read_place(struct reader *reader, const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (!reader->given[ARRAY_SIZE(definitions) + i]) {
			reader->given[ARRAY_SIZE(definitions) + i] = true;
			return set_value(reader->options, &places[i], text, reader->error);
		}
	}
	return report(reader->error, -EINVAL, "'%s' is one argument too many: revertfs takes IMAGES and MOUNTPOINT",
		      text);
}

/*
 * libfuse calls this for each option and each word; 0 means that it was taken, -1 ends the parsing.
 */
static int read_argument(void *data, const char *argument, int key, struct fuse_args *left)
{
	struct reader *reader = data;

	(void)left;
	if (key == FUSE_OPT_KEY_NONOPT)
		reader->result = read_place(reader, argument);
	else if (argument[0] == '-')
		reader->result = read_switch(reader, argument);
	else
		reader->result = read_option(reader, argument);
	return reader->result < 0 ? -1 : 0;
}

static int read_command_line(struct reader *reader, int argc, char **argv)
{
	struct fuse_args arguments = FUSE_ARGS_INIT(argc, argv);
	int r = fuse_opt_parse(&arguments, reader, NULL, read_argument);

	fuse_opt_free_args(&arguments);
	if (r < 0)
		return reader->result < 0 ? reader->result
					  : report(reader->error, -EINVAL, "the command line cannot be understood");
	return 0;
}

/* Set an option from JSON, by way of the texts that would stand on the command line. */
static int set_from_json(struct options *options, const struct definition *definition, struct json_object *value,
			 struct sentence *error)
{
	bool is_list = definition->kind == KIND_LIST || definition->kind == KIND_PATHS;
	json_type wanted = definition->kind == KIND_NUMBER   ? json_type_int
			   : definition->kind == KIND_SWITCH ? json_type_boolean
							     : json_type_string;

	if (is_list && json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++) {
			struct json_object *item = json_object_array_get_idx(value, i);
			int r;

			if (!json_object_is_type(item, json_type_string))
				return report(error, -EINVAL, "'%s' is a list of texts", definition->name);
			r = set_value(options, definition, json_object_get_string(item), error);
			if (r < 0)
				return r;
		}
		return 0;
	}
	if (!json_object_is_type(value, wanted))
		return report(error, -EINVAL, "'%s' is not %s", definition->name,
			      is_list                       ? "a list of texts"
			      : wanted == json_type_int     ? "a number"
			      : wanted == json_type_boolean ? "true or false"
							    : "a text");
	if (definition->kind == KIND_SWITCH)
		return set_value(options, definition, json_object_get_boolean(value) ? "yes" : "no", error);
	return set_value(options, definition, json_object_get_string(value), error);
}

static int read_config_key(struct reader *reader, const char *key, struct json_object *value, struct sentence *error)
{
	size_t own = ARRAY_SIZE(definitions);

	for (size_t i = 0; i < own + ARRAY_SIZE(places); i++) {
		const struct definition *definition = i < own ? &definitions[i] : &places[i - own];

		if (!definition->in_config || strcmp(definition->name, key) != 0)
			continue;
		return reader->given[i] ? 0 : set_from_json(reader->options, definition, value, error);
	}
	return report(error, -EINVAL, "there is no option '%s'", key);
}

static int read_config_text(struct reader *reader, const char *text, size_t length, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *config = NULL;
	int r = json_parse(text, length, &config, error);

	if (r < 0)
		return r;
	if (!json_object_is_type(config, json_type_object))
		return report(error, -EINVAL, "it is not a JSON object");
	json_object_object_foreach (config, key, value) {
		r = read_config_key(reader, key, value, error);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The default file may be missing, the one that was asked for may not. */
static int read_config(struct reader *reader)
{
	struct options *options = reader->options;
	const char *path = options->config ? options->config : CONFIG_DEFAULT;
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP(freep) char *text = NULL;
	struct sentence inner = { "" };
	size_t length;
	int r;

	if (fd < 0 && errno == ENOENT && !options->config)
		return 0;
	if (fd < 0)
		return report(reader->error, -errno, "cannot open the configuration '%s': %m", path);
	r = read_all(fd, CONFIG_MAX, &text, &length);
	if (r < 0)
		return report(reader->error, r, "cannot read the configuration '%s': %s", path, error_text(r));
	r = read_config_text(reader, text, length, &inner);
	if (r < 0)
		return report(reader->error, r, "the configuration '%s': %s", path, inner.text);
	return options->config ? 0 : set_text(&options->config, path, reader->error);
}

static int set_default(char **place, const char *text, struct sentence *error)
{
	return *place ? 0 : set_text(place, text, error);
}

static int set_defaults(struct options *options, struct sentence *error)
{
	int r = set_default(&options->state, "/var/lib/revertfs", error);

	if (r == 0)
		r = set_default(&options->qemu_img, "qemu-img", error);
	if (options->status_mode == MODE_NOT_GIVEN)
		options->status_mode = options->group ? 0440 : 0400;
	if (!options->max_jobs)
		options->max_jobs = 2;
	if (!options->max_layers)
		options->max_layers = 16;
	if (!options->qemu_timeout)
		options->qemu_timeout = 60;
	if (!options->reader_patience)
		options->reader_patience = 300;
	return r;
}

int options_read(int argc, char **argv, struct options *ret_options, struct sentence *error)
{
	struct reader reader = { .options = ret_options, .error = error };
	int r;

	memset(ret_options, 0, sizeof(*ret_options));
	ret_options->reserve = RESERVE_BY_DEFAULT;
	ret_options->status_mode = MODE_NOT_GIVEN;
	ret_options->run = "/run/revertfs";
	r = read_command_line(&reader, argc, argv);
	if (r < 0 || ret_options->help || ret_options->version)
		return r;
	r = read_config(&reader);
	if (r < 0)
		return r;
	if (!ret_options->images || !ret_options->mount)
		return report(error, -EINVAL, "usage: revertfs [-f] [-d] [-o OPTION,...] IMAGES MOUNTPOINT");
	return set_defaults(ret_options, error);
}

void options_free(struct options *options)
{
	free(options->images);
	free(options->mount);
	free(options->state);
	free(options->scratch);
	free(options->config);
	free(options->qemu_img);
	free(options->template_options);
	free(options->mount_data);
	list_clear(&options->protect);
	list_clear(&options->export_dirs);
	list_clear(&options->fuse_options);
	memset(options, 0, sizeof(*options));
}

char *options_help(void)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return NULL;
	fputs("usage: revertfs [-f] [-d] [-o OPTION,...] IMAGES MOUNTPOINT\n\n"
	      "Serves the directory IMAGES at MOUNTPOINT, its protected disk images as overlays that go back to a\n"
	      "known state. Both may come from the configuration instead (\"images\", \"mount\").\n\n"
	      "    -f                     stay in the foreground and log to stderr\n"
	      "    -d                     the same, and say what happens\n"
	      "    -h, -V                 this text; the version\n"
	      "    --drop-in              for systemd: the filesystems that the configuration needs\n",
	      out);
	for (size_t i = 0; i < ARRAY_SIZE(definitions); i++) {
		CLEANUP(freep) char *option = format_text("%s=%s", definitions[i].name, definitions[i].argument);

		fprintf(out, "    -o %-19s %s\n", option ? option : definitions[i].name, definitions[i].help);
	}
	fputs("\nA comma in a value is written \\,. mount(8)'s options (ro, noatime, noexec, x-...) are accepted too.\n"
	      "The mount is always nosuid, nodev, allow_other and default_permissions.\n",
	      out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
