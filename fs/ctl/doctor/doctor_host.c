/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host below and beside the daemon: the kernel, programs, the hook, file modes, AppArmor and
 * SELinux.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "box.h"
#include "doctor.h"
#include "host.h"
#include "other_hooks.h"
#include "status_json.h"

#define PASSTHROUGH_MAJOR 6
#define PASSTHROUGH_MINOR 9
#define SMALL_FILE (1 << 20)

/* The whole text of a small file, to free(); NULL when the file cannot be read. */
static char *text_of(const char *path)
{
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = NULL;

	return fd >= 0 && read_all(fd, SMALL_FILE, &text, NULL) == 0 ? text : NULL;
}

static bool file_says(const char *path, const char *words)
{
	CLEANUP(freep) char *text = text_of(path);

	return text && strstr(text, words);
}

static bool has_line(const char *path, const char *line)
{
	CLEANUP(freep) char *text = text_of(path);
	char *place = NULL;

	for (char *l = text ? strtok_r(text, "\n", &place) : NULL; l; l = strtok_r(NULL, "\n", &place))
		if (strcmp(l, line) == 0)
			return true;
	return false;
}

/* ---- kernel */

static bool kernel_has_passthrough(char release[65])
{
	unsigned major = 0, minor = 0;
	struct utsname name;

	if (uname(&name) < 0)
		return true;
	snprintf(release, 65, "%s", name.release);
	sscanf(release, "%u.%u", &major, &minor);
	return major > PASSTHROUGH_MAJOR || (major == PASSTHROUGH_MAJOR && minor >= PASSTHROUGH_MINOR);
}

void doctor_check_kernel(struct doctor *doctor)
{
	char release[65] = "?";
	bool able = kernel_has_passthrough(release);

	if (access("/dev/fuse", R_OK | W_OK) < 0)
		doctor_note(doctor, LEVEL_PROBLEM, "modprobe fuse, and be root", "/dev/fuse cannot be used: %s",
			    error_text(-errno));
	if (!able)
		doctor_note(doctor, LEVEL_NOTE, "Linux 6.9 or later reads and writes open disks by itself",
			    "Linux %s has no FUSE passthrough: the daemon does the disks' I/O", release);
	for (size_t i = 0; i < doctor->mount_count && able; i++)
		if (doctor->mounts[i].status && !flag_of(doctor->mounts[i].status, "passthrough"))
			doctor_note(
				doctor, LEVEL_NOTE,
				"look for passthrough= in the configuration, and in the daemon's log why it was not granted",
				"'%s' has no passthrough, though Linux %s has it", doctor->mounts[i].mount->point,
				release);
}

/* ---- programs */

/* An older daemon does not say. */
static void check_box(struct doctor *doctor, const struct doctor_mount *mount)
{
	struct json_object *boxed;

	if (!mount->status || !json_object_object_get_ex(mount->status, "boxed", &boxed) ||
	    json_object_get_boolean(boxed))
		return;
	if (box_landlock() == 0)
		doctor_note(
			doctor, LEVEL_WARNING,
			"boot a kernel with Landlock (Linux 5.13 or later, 'landlock' in lsm=); until then keep qcow2 images root's",
			"at '%s' qemu-img does not run in a box: this kernel has no Landlock", mount->mount->point);
	else
		doctor_note(doctor, LEVEL_WARNING,
			    "take unboxed= out of the configuration; else the daemon's log says what forbids Landlock",
			    "at '%s' qemu-img does not run in a box, though this kernel has Landlock",
			    mount->mount->point);
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	CLEANUP(freep) char *copy = strdup(path ? path : "/usr/bin:/bin");
	char *rest = copy, *directory;

	while (rest && (directory = strsep(&rest, ":"))) {
		CLEANUP(freep) char *file = format_text("%s/%s", directory, program);

		if (file && access(file, X_OK) == 0)
			return true;
	}
	return false;
}

void doctor_check_tools(struct doctor *doctor)
{
	if (!in_path("qemu-img"))
		doctor_note(doctor, LEVEL_PROBLEM, "install qemu-utils", "qemu-img is not in PATH");
	if (!in_path("virsh"))
		doctor_note(doctor, LEVEL_NOTE, "install libvirt-clients, where there is libvirt",
			    "virsh is not in PATH: what is about domains is not looked at");
	for (size_t i = 0; i < doctor->mount_count; i++)
		check_box(doctor, &doctor->mounts[i]);
}

void doctor_check_hook(struct doctor *doctor)
{
	CLEANUP(virsh_free_names) char **others = other_hooks_find();
	struct sentence why;
	int r = host_check_hook(&why);

	if (r < 0)
		doctor_note_sentence(doctor, r == -ESTALE ? LEVEL_WARNING : LEVEL_PROBLEM, &why);
	for (char **other = others; other && *other; other++) {
		other_hooks_say(*other, &why);
		doctor_note_sentence(doctor, LEVEL_PROBLEM, &why);
	}
}

/* ---- rights */

static void check_writable(struct doctor *doctor, const char *path)
{
	CLEANUP(freep) char *fix = format_text("chmod go-w '%s'", path);
	struct stat st;

	if (stat(path, &st) < 0 || S_ISLNK(st.st_mode))
		return;
	if (st.st_mode & 022)
		doctor_note(doctor, LEVEL_WARNING, fix, "'%s' may be written by others, who then decide what reverts",
			    path);
	if (st.st_uid != 0)
		doctor_note(doctor, LEVEL_WARNING, "chown it to root", "'%s' belongs to uid %u", path,
			    (unsigned)st.st_uid);
}

static void check_config_dir(struct doctor *doctor)
{
	DIR *directory = opendir(HOST_CONFIG_DIR);
	struct dirent *entry;

	if (!directory) {
		doctor_note(doctor, LEVEL_WARNING, "make install, or mkdir it", "'%s' cannot be read: %s",
			    HOST_CONFIG_DIR, error_text(-errno));
		return;
	}
	check_writable(doctor, HOST_HOOKS);
	check_writable(doctor, HOST_CONFIG_DIR);
	while ((entry = readdir(directory))) {
		CLEANUP(freep) char *path = format_text(HOST_CONFIG_DIR "/%s", entry->d_name);

		if (path && entry->d_name[0] != '.')
			check_writable(doctor, path);
	}
	closedir(directory);
	if (access(HOST_HOOK, F_OK) == 0)
		check_writable(doctor, HOST_HOOK);
}

static void check_state(struct doctor *doctor, const char *state)
{
	CLEANUP(freep) char *fix = format_text("chmod 700 '%s'", state);
	struct stat st;

	if (state[0] == '/' && stat(state, &st) == 0 && (st.st_mode & 077))
		doctor_note(doctor, LEVEL_WARNING, fix, "the state directory '%s' is open to others (mode %04o)", state,
			    st.st_mode & 07777);
}

/*
 * The directories above the mount, which QEMU's user has to walk through. The mount itself is not
 * touched: its daemon may hang.
 */
static void check_way(struct doctor *doctor, const char *point)
{
	CLEANUP(freep) char *path = strdup(point);
	struct stat st;

	for (char *slash = path ? strrchr(path, '/') : NULL; slash && slash > path; slash = strrchr(path, '/')) {
		*slash = '\0';
		if (stat(path, &st) == 0 && !(st.st_mode & 0001)) {
			CLEANUP(freep) char *fix = format_text("chmod o+x '%s'", path);

			doctor_note(doctor, LEVEL_WARNING, fix,
				    "QEMU's user may not walk through '%s' to the mount '%s'", path, point);
		}
	}
}

void doctor_check_rights(struct doctor *doctor)
{
	check_config_dir(doctor);
	for (size_t i = 0; i < doctor->mount_count; i++) {
		check_way(doctor, doctor->mounts[i].mount->point);
		if (doctor->mounts[i].status)
			check_state(doctor, string_of(doctor->mounts[i].status, "state", ""));
	}
}

/* ---- AppArmor and SELinux */

static bool apparmor_confines(const char *point)
{
	static const char *const rules[] = { "/etc/apparmor.d/local/abstractions/libvirt-qemu",
					     "/etc/apparmor.d/abstractions/libvirt-qemu",
					     "/etc/apparmor.d/libvirt/TEMPLATE.qemu" };

	if (!file_says("/sys/module/apparmor/parameters/enabled", "Y") ||
	    !file_says("/sys/kernel/security/apparmor/profiles", "virt-aa-helper"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (file_says(rules[i], point))
			return false;
	return !has_line("/etc/libvirt/qemu.conf", "security_driver = \"none\"");
}

static bool selinux_confines(void)
{
	return file_says("/sys/fs/selinux/enforce", "1") && !file_says("/sys/fs/selinux/booleans/virt_use_fusefs", "1");
}

void doctor_check_policy(struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->mount_count; i++) {
		const char *point = doctor->mounts[i].mount->point;
		CLEANUP(freep) char *rule = NULL;

		if (!apparmor_confines(point))
			continue;
		rule = format_text("if a domain does not start with 'Permission denied': add '\"%s/**\" rwk,' to "
				   "/etc/apparmor.d/local/abstractions/libvirt-qemu",
				   point);
		doctor_note(doctor, LEVEL_WARNING, rule,
			    "AppArmor confines libvirt's guests, and no rule of it names the mount '%s'", point);
	}
	if (selinux_confines())
		doctor_note(doctor, LEVEL_WARNING, "setsebool -P virt_use_fusefs on",
			    "SELinux is enforcing, and keeps guests from disks in FUSE mounts");
}
