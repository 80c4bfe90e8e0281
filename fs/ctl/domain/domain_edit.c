/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxml2 keeps blanks and comments. What it writes in another way, as quotes, is the same in both
 * texts.
 */
#include "domain_edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "xml.h"

static char *dump(xmlDocPtr document)
{
	xmlBufferPtr buffer = xmlBufferCreate();
	char *text = NULL;

	if (buffer && xmlNodeDump(buffer, document, xmlDocGetRootElement(document), 0, 0) >= 0)
		text = format_text("%s\n", (const char *)xmlBufferContent(buffer));
	xmlBufferFree(buffer);
	return text;
}

static xmlNodePtr find_disk(xmlDocPtr document, const char *target)
{
	xmlNodePtr disk = xml_child(xml_child(xmlDocGetRootElement(document), "devices"), "disk");

	for (; disk; disk = xml_element_from(disk->next, "disk")) {
		CLEANUP(freep) char *device = xml_attribute(xml_child(disk, "target"), "dev");

		if (device && strcmp(device, target) == 0)
			return disk;
	}
	return NULL;
}

/* The child of this name. A child that is not there yet is made, as the first one. */
static xmlNodePtr child_to_set(xmlNodePtr disk, const char *name)
{
	xmlNodePtr node = xml_child(disk, name);

	if (node || !disk->children)
		return node;
	node = xmlNewNode(NULL, (const xmlChar *)name);
	return node ? xmlAddPrevSibling(disk->children, node) : NULL;
}

static bool set(xmlNodePtr node, const char *name, const char *value)
{
	return node && xmlSetProp(node, (const xmlChar *)name, (const xmlChar *)value);
}

static int change_disk(xmlNodePtr disk, const struct disk_change *change)
{
	static const char *const of_volume[] = { "pool", "volume", "mode" };
	xmlNodePtr source = xml_child(disk, "source");

	for (size_t i = 0; source && i < ARRAY_SIZE(of_volume); i++)
		xmlUnsetProp(source, (const xmlChar *)of_volume[i]);
	if (!set(disk, "type", "file") || !set(source, "file", change->path) ||
	    !set(child_to_set(disk, "driver"), "type", change->format))
		return -ENOMEM;
	return 0;
}

int domain_edit_disks(const char *xml, const struct disk_change *changes, size_t count, char **ret_before,
		      char **ret_after, struct sentence *error)
{
	CLEANUP(xml_free_documentp) xmlDocPtr document = NULL;
	CLEANUP(freep) char *before = NULL;
	int r = xml_parse(xml, strlen(xml), &document, error);

	if (r < 0)
		return report_context(error, r, "the domain's XML is ");
	before = dump(document);
	for (size_t i = 0; i < count && r == 0; i++) {
		xmlNodePtr disk = find_disk(document, changes[i].target);

		if (!disk)
			return report(error, -ENOENT, "the domain has no disk '%s'", changes[i].target);
		r = change_disk(disk, &changes[i]);
	}
	*ret_after = r == 0 ? dump(document) : NULL;
	if (!before || !*ret_after)
		return report(error, -ENOMEM, "out of memory");
	*ret_before = steal_pointer(&before);
	return 0;
}
