/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A root has no name beneath layers/ without a suffix, nor has another layer the root's: each of
 * the two says what it is.
 */
#include "layer_header.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "layer.h"

static const char *suffix_of(const struct layer *layer)
{
	return layer->record.image ? LAYER_VIEW_ROOT_SUFFIX : LAYER_FILE_SUFFIX;
}

void layer_view_name(const struct layer *layer, char name[LAYER_VIEW_NAME_SIZE])
{
	snprintf(name, LAYER_VIEW_NAME_SIZE, "%s%s", layer->record.id, suffix_of(layer));
}

static bool is_called(const struct layer *layer, const char *name)
{
	size_t length = strlen(layer->record.id);
	const char *suffix = name + length;

	if (strncmp(name, layer->record.id, length) != 0)
		return false;
	return strcmp(suffix, suffix_of(layer)) == 0 || (!layer->record.image && !*suffix);
}

struct layer *layer_find_view_locked(struct disks *disks, const char *name)
{
	struct layer *layer = disks->layers;

	while (layer && !is_called(layer, name))
		layer = layer->next;
	return layer;
}

char *layer_view_path(const struct layer *layer)
{
	char name[LAYER_VIEW_NAME_SIZE];

	layer_view_name(layer, name);
	return format_text("%s/.revertfs/layers/%s", layer->disks->options->mount, name);
}

/* What follows `beginning`, or NULL where the text does not begin so. */
static const char *behind(const char *text, const char *beginning)
{
	size_t length = strlen(beginning);

	return strncmp(text, beginning, length) == 0 ? text + length : NULL;
}

bool layer_is_named_by(const struct layer *layer, const char *path)
{
	const char *below = behind(path, layer->disks->options->mount);
	const char *name = below ? behind(below, "/.revertfs/layers/") : NULL;
	const char *image = below ? behind(below, "/.revertfs/images/") : NULL;

	if (name)
		return is_called(layer, name);
	return image && layer->record.image && strcmp(image, layer->record.image) == 0;
}

int layer_check_header(const struct layer *layer, int fd, const struct layer *parent, struct sentence *error)
{
	struct qcow2_header header;
	int r = qcow2_read_header(fd, &header, error);

	if (r < 0)
		return r == -ENOEXEC ? -EBADMSG : r;
	if (!layer_is_named_by(parent, header.backing) ||
	    strcmp(header.backing_format, format_name(parent->record.format)) != 0)
		return report(error, -EBADMSG, "layer %s names '%.200s' as its backing file instead of layer %s",
			      layer->record.id, header.backing, parent->record.id);
	r = qcow2_check_alone(&header, error);
	return r < 0 ? report_context(error, r, "layer %s: ", layer->record.id) : 0;
}

int layer_check_scratch(struct layer *layer, int fd, struct qcow2_header *ret_header, struct sentence *error)
{
	struct qcow2_header header;
	struct blank *blank;
	int r = layer_blank(layer, &blank, error);

	if (r == 0)
		r = qcow2_read_header(fd, &header, error);
	if (r < 0)
		return r == -ENOEXEC ? -EBADMSG : r;
	if (ret_header)
		*ret_header = header;
	if (layer_is_named_by(layer, header.backing))
		strcpy(header.backing, blank_header(blank)->backing);
	return qcow2_check_scratch(&header, blank_header(blank), error);
}
