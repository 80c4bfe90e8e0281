/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading XML that others wrote: parsing with nothing from outside, and walking elements by name.
 */
#ifndef REVERTFS_LIBVIRT_XML_H
#define REVERTFS_LIBVIRT_XML_H

#include <stdbool.h>
#include <stddef.h>

#include <libxml/tree.h>

#include "util.h"

/*
 * -EBADMSG with the end of a sentence: "not valid XML (line 3)". The document is the caller's to
 * free.
 */
int xml_parse(const char *text, size_t length, xmlDocPtr *ret_document, struct sentence *error);
void xml_free_documentp(xmlDocPtr *document); /* for CLEANUP() */

/*
 * Whether a node is an element of this name; the first such from `node` on, among its siblings; the
 * first child. NULL where there is none.
 */
bool xml_is_element(xmlNodePtr node, const char *name);
xmlNodePtr xml_element_from(xmlNodePtr node, const char *name);
xmlNodePtr xml_child(xmlNodePtr parent, const char *name);

/* Texts to free(); NULL where it is absent, or the node is NULL. */
char *xml_attribute(xmlNodePtr node, const char *name);
char *xml_content(xmlNodePtr node);
char *xml_owned(xmlChar *text); /* of libxml2's own */

#endif
