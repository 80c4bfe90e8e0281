/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether an image is marked is asked of the file each time: that is two system calls, and no
 * memory of it can be wrong.
 *
 * root->marking is held by one thread, over system calls that wait for the medium: writing a mark
 * and taking it away come one after the other. root->mark_needs counts layers that are about to be
 * recorded; together with the children it says whether a mark is needed. It is raised before a mark
 * is looked for, so who takes one away either sees it or has been before.
 */
#include "image_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "file.h"
#include "file_identity.h"
#include "io.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "mark.h"
#include "private.h"
#include "state_directory.h"

#define STATE_ID_FILE "id"

enum whose { NOBODYS, OURS, ANOTHERS, UNREADABLE };

struct look {
	int fd;
	char file[MARK_FILE_SIZE];
	enum whose whose;
	struct mark mark; /* of OURS and ANOTHERS */
	bool copied;
};

/* --- the state's id --------------------------------------------------------------------------- */

void image_mark_read_id(struct disks *disks)
{
	CLEANUP(close_fdp) int fd = io_open_file(disks->state_fd, STATE_ID_FILE, O_RDONLY);
	CLEANUP(freep) char *text = NULL;

	io_unlink(disks->state_fd, STATE_ID_FILE ".new"); /* a crash was faster */
	if (fd == -ENOENT)
		return;
	if (fd >= 0 && read_all(fd, LAYER_ID_SIZE, &text, NULL) == 0 && layer_id_is_valid(text))
		strcpy(disks->id, text);
	else
		log_error(
			"state directory: '%s' cannot be read, so the marks of its images are taken for another state directory's",
			STATE_ID_FILE);
}

static bool is_own_id(struct disks *disks, const char *id)
{
	bool is = false;

	LOCKED (&disks->lock)
		is = disks->id[0] && strcmp(id, disks->id) == 0;
	return is;
}

/* The medium that fails is not that of the images. */
static int write_id(struct disks *disks, const char *id, struct sentence *error)
{
	int r = state_check(disks, error);

	if (r < 0)
		return r;
	r = io_replace(disks->state_fd, STATE_ID_FILE, id, strlen(id), true);
	return r < 0 ? report(error, r, "the state directory '%s' cannot be written: %s", disks->options->state,
			      error_text(r))
		     : 0;
}

/* It is made when it is first needed. */
static int have_id(struct disks *disks, char id[LAYER_ID_SIZE], struct sentence *error)
{
	int r = 0;

	LOCKED (&disks->records) {
		strcpy(id, disks->id);
		if (id[0])
			break;
		record_new_id(id);
		r = write_id(disks, id, error);
		if (r == 0)
			LOCKED (&disks->lock)
				strcpy(disks->id, id);
	}
	return r;
}

/* --- looking ---------------------------------------------------------------------------------- */

static void close_look(struct look *look)
{
	close_fdp(&look->fd);
}

/* Where a filesystem can tell nothing of its files but their names, a mark is of the name. */
static int name_file(const struct layer *root, int fd, char file[MARK_FILE_SIZE])
{
	char identity[IDENTITY_SIZE];
	int r = file_identity(fd, identity, sizeof(identity));

	if (r == 0)
		mark_name_file(identity[0] ? identity : root->record.image, file);
	return r;
}

/* Whether the flag was not set before. */
static bool is_first(struct layer *root, bool *told)
{
	bool first = false;

	LOCKED (&root->disks->lock) {
		first = !*told;
		*told = true;
	}
	return first;
}

static void judge(struct layer *root, struct look *look, int r)
{
	if (r == 1)
		look->whose = is_own_id(root->disks, look->mark.state) ? OURS : ANOTHERS;
	else
		look->whose = r == -EBADMSG ? UNREADABLE : NOBODYS;
	if (look->copied && is_first(root, &root->copy_told))
		log_info(
			"image '%s' is a copy of an image that had commits which were not folded into it: the mark that was copied with it is ignored",
			root->record.image);
}

static int look_at(struct layer *root, int flags, struct look *look)
{
	struct disks *disks = root->disks;
	int r;

	*look = (struct look){ .fd = layer_open_file(root, flags) };
	if (look->fd < 0)
		return look->fd;
	r = name_file(root, look->fd, look->file);
	if (r < 0)
		return r;
	r = mark_read(disks->images_fd, look->fd, look->file, &look->mark, &look->copied);
	judge(root, look, r);
	return r < 0 && r != -EBADMSG ? r : 0;
}

/* There is no file, as whoever goes on will say, or no mark can be made of it. */
static bool has_none(const struct look *look, int error)
{
	if (look->fd < 0)
		return error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -EXDEV;
	return error == -EOPNOTSUPP;
}

int image_mark_check(struct layer *root, const char *disk, struct sentence *error)
{
	CLEANUP(close_look) struct look look = { .fd = -1 };
	struct sentence quoted;
	const char *image = root->record.image, *name = quote_name(disk ? disk : image, &quoted);
	const char *verb = disk ? "set" : "protect", *setting = disk ? "image=mine" : "force=yes";
	int r = look_at(root, O_PATH, &look);

	if (r < 0 && !has_none(&look, r))
		return report(
			error, -EIO,
			"image '%s': its mark, which says whether it has commits in another state directory, cannot be read, so nothing was done: %s; see to the filesystem of the images, then give the command again",
			image, error_text(r));
	if (r < 0 || look.whose == NOBODYS || look.whose == OURS)
		return 0;
	if (look.whose == UNREADABLE)
		return report(
			error, -EBUSY,
			"image '%s' has a mark of revertfs that this version cannot read: commits that are not folded into it may be in another state directory; if they are not needed, '%s %s %s' gives them up",
			image, verb, name, setting);
	return report(
		error, -EBUSY,
		"image '%s' has commits that are not folded into it and are in another state directory, '%.200s' of host '%s' (id %s); start revertfs with that one as state=, or, if it is gone for ever, give them up with '%s %s %s'",
		image, look.mark.path[0] ? look.mark.path : "?", look.mark.host[0] ? look.mark.host : "?",
		look.mark.state, verb, name, setting);
}

/* Most files have no mark at all, which is two system calls. */
static bool may_be_marked(const struct disks *disks, int fd)
{
	CLEANUP(close_fdp) int directory = -1;
	ssize_t n = file_get_xattr(fd, MARK_XATTR, NULL, 0);

	if (n != -ENODATA && n != -EOPNOTSUPP && n != -EPERM && n != -EACCES)
		return true;
	directory = private_directory(disks->images_fd, false);
	return directory != -ENOENT && directory != -EPERM;
}

int image_mark_read_plain(struct disks *disks, int fd, struct mark *ret_mark)
{
	char identity[IDENTITY_SIZE], file[MARK_FILE_SIZE];
	bool copied;
	int r;

	if (!may_be_marked(disks, fd))
		return 0;
	r = file_identity(fd, identity, sizeof(identity));
	if (r < 0 || !identity[0])
		return r == -EOPNOTSUPP ? 0 : r;
	mark_name_file(identity, file);
	r = mark_read(disks->images_fd, fd, file, ret_mark, &copied);
	return r == 1 && is_own_id(disks, ret_mark->state) ? 0 : r;
}

static void tell_unwritable(int r, const struct mark *mark)
{
	if (r == 1)
		log_warning(
			"an image that is no disk here cannot be written in the mount, nor removed, renamed or linked, and others like it neither: it has commits in another state directory, '%.200s' of host '%s' (id %s); 'protect NAME' says more",
			mark->path, mark->host, mark->state);
	else if (r == -EBADMSG)
		log_warning(
			"an image that is no disk here cannot be written in the mount, nor removed, renamed or linked, and others like it neither: it has a mark of revertfs that this version cannot read; 'protect NAME' says more");
	else
		log_error(
			"a file that is no disk here cannot be written in the mount, nor removed, renamed or linked, and others like it neither: whether it is an image with commits in another state directory cannot be read: %s; see to the filesystem of the images",
			error_text(r));
}

int disks_check_plain_write(struct disks *disks, int fd)
{
	struct mark mark;
	int r = image_mark_read_plain(disks, fd, &mark);
	bool anothers = r == 1 || r == -EBADMSG, *told = anothers ? &disks->anothers_told : &disks->unread_told;
	bool tell = false;

	if (r == 0)
		return 0;
	LOCKED (&disks->lock) {
		tell = !*told;
		*told = true;
	}
	if (tell)
		tell_unwritable(r, &mark);
	return anothers ? -EROFS : r;
}

/* --- changing --------------------------------------------------------------------------------- */

static void begin(struct layer *root)
{
	struct disks *disks = root->disks;

	LOCKED (&disks->lock) {
		while (root->marking)
			pthread_cond_wait(&disks->changed, &disks->lock);
		root->marking = true;
	}
}

static void end(struct layer *root)
{
	LOCKED (&root->disks->lock) {
		root->marking = false;
		pthread_cond_broadcast(&root->disks->changed);
	}
}

static bool is_needed(const struct layer *root)
{
	bool needed = false;

	LOCKED (&root->disks->lock)
		needed = root->children || root->mark_needs;
	return needed;
}

/*
 * While the disks are loaded nobody waits for an image's filesystem: image_marks_settle() does
 * later. Where a record could not be read, it may be that of a layer on the image: the mark that
 * there is stays as the layers do, and none is made, for the image may well be a whole disk.
 */
static bool may_go(const struct layer *root)
{
	bool settled = false;

	LOCKED (&root->disks->lock)
		settled = root->disks->marks_settled && !root->disks->incomplete;
	return settled && !is_needed(root);
}

static void tell_unmarked(struct layer *root, int error)
{
	if (!is_first(root, &root->unmarked_told))
		return;
	if (error == -EPERM)
		log_warning(
			"image '%s' cannot be marked as having commits of this state directory: '%s/.revertfs' is not root's alone; remove it, for a daemon with another state directory would take the image for the whole disk",
			root->record.image, root->disks->options->images);
	else
		log_warning(
			"image '%s' cannot be marked as having commits of this state directory: %s; a daemon with another state directory would take the image for the whole disk",
			root->record.image, error_text(error));
}

static int refuse_unmarked(int r, struct sentence *error)
{
	return report(error, r, "its image cannot be marked as having commits: %s", error_text(r));
}

static int write_ours(struct layer *root, const struct look *look, struct sentence *error)
{
	struct disks *disks = root->disks;
	struct mark mark = { 0 };
	int r = have_id(disks, mark.state, error);

	if (r < 0)
		return r;
	strcpy(mark.file, look->file);
	if (gethostname(mark.host, sizeof(mark.host) - 1) < 0 || !text_is_clean(mark.host))
		strcpy(mark.host, "?");
	snprintf(mark.path, sizeof(mark.path), "%s",
		 text_is_clean(disks->options->state) ? disks->options->state : "?");
	r = mark_write(disks->images_fd, look->fd, &mark);
	if (r == -EROFS || r == -EPERM) {
		tell_unmarked(root, r);
		return 0;
	}
	if (r == 0)
		log_debug("disk", "image '%s' is marked: layers of this state directory stand on it",
			  root->record.image);
	return r < 0 ? refuse_unmarked(r, error) : 0;
}

/*
 * Another's mark stays as it is: it keeps others away as ours would, and what may be refused for
 * it has been refused. An image that is not there needs none.
 */
static int ensure(struct layer *root, struct sentence *error)
{
	CLEANUP(close_look) struct look look = { .fd = -1 };
	int r = look_at(root, O_RDONLY, &look);

	if (r < 0)
		return r == -ENOENT ? 0 : refuse_unmarked(r, error);
	return look.whose == NOBODYS ? write_ours(root, &look, error) : 0;
}

int image_mark_need(struct layer *root, struct sentence *error)
{
	int r;

	LOCKED (&root->disks->lock)
		root->mark_needs++;
	begin(root);
	r = ensure(root, error);
	end(root);
	if (r < 0)
		image_mark_done(root);
	return r;
}

void image_mark_done(struct layer *root)
{
	LOCKED (&root->disks->lock)
		root->mark_needs--;
	image_mark_drop(root);
}

static void drop(struct layer *root)
{
	CLEANUP(close_look) struct look look = { .fd = -1 };
	int r;

	/* Where there is none, a crash may have left half of one. */
	if (look_at(root, O_RDONLY, &look) < 0 || look.whose == ANOTHERS || look.whose == UNREADABLE)
		return;
	r = mark_remove(root->disks->images_fd, look.fd, look.file);
	if (r < 0)
		log_warning(
			"image '%s' has no commits any more, and its mark cannot be removed: %s; the next start tries again",
			root->record.image, error_text(r));
	else
		log_debug("disk", "image '%s' has no mark any more: no layer stands on it", root->record.image);
}

void image_mark_drop(struct layer *root)
{
	if (!may_go(root))
		return;
	begin(root);
	if (may_go(root))
		drop(root);
	end(root);
}

void image_mark_forget(struct layer *root)
{
	begin(root);
	drop(root);
	end(root);
}

static int take(struct layer *root)
{
	CLEANUP(close_look) struct look look = { .fd = -1 };
	int r = look_at(root, O_RDONLY, &look);

	if (r < 0)
		return r;
	if (look.whose == ANOTHERS)
		log_warning(
			"image '%s': the commits that are in state directory '%.200s' of host '%s' (id %s) are given up",
			root->record.image, look.mark.path, look.mark.host, look.mark.state);
	if (!may_go(root))
		return look.whose == OURS ? 0 : write_ours(root, &look, NULL);
	return mark_remove(root->disks->images_fd, look.fd, look.file);
}

int image_mark_take(struct layer *root)
{
	int r;

	begin(root);
	r = take(root);
	end(root);
	return r;
}

/* --- at start --------------------------------------------------------------------------------- */

/* For the status and the doctor, until a command that succeeds; what a disk says already stays. */
static void tell_disks(const struct layer *root, const struct sentence *why)
{
	LOCKED (&root->disks->lock)
		for (struct disk *disk = root->disks->first; disk; disk = disk->next_disk)
			if (disk->root == root && !disk->last_error.text[0])
				disk->last_error = *why;
}

static void settle(struct layer *root)
{
	struct sentence why;
	int r = 0;

	begin(root);
	if (is_needed(root))
		r = ensure(root, &why);
	else if (may_go(root))
		drop(root);
	end(root);
	if (r < 0)
		log_warning("disk '%s': %s", root->record.image, why.text);
	if (image_mark_check(root, root->record.image, &why) < 0) {
		log_error("%s", why.text);
		tell_disks(root, &why);
	}
}

/* Of each root a reference, up to NULL; NULL where memory runs out. */
static struct layer **all_roots(struct disks *disks)
{
	struct layer **roots = NULL;
	size_t count = 0;

	LOCKED (&disks->lock) {
		for (const struct layer *layer = disks->layers; layer; layer = layer->next)
			count += layer->record.image != NULL;
		roots = calloc(count + 1, sizeof(*roots));
		for (struct layer *layer = disks->layers; layer && roots; layer = layer->next)
			if (layer->record.image)
				roots[--count] = layer_get_locked(layer);
	}
	return roots;
}

static bool is_stopping(struct disks *disks)
{
	bool stopping = false;

	LOCKED (&disks->lock)
		stopping = disks->stopping;
	return stopping;
}

void image_marks_settle(struct disks *disks)
{
	CLEANUP(freep) struct layer **roots = all_roots(disks);

	LOCKED (&disks->lock)
		disks->marks_settled = true;
	for (size_t i = 0; roots && roots[i]; i++) {
		if (!is_stopping(disks))
			settle(roots[i]);
		layer_put(roots[i]);
	}
	log_debug("disk", "the marks of the images are settled");
}
