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
 * Parse a text. On failure -EBADMSG or -ENOMEM, with the end of a sentence: "not valid XML (line
 * 3)". Free the document with xmlFreeDoc().
 */
int xml_parse(const char *text, size_t length, xmlDocPtr *ret_document, struct sentence *error);
void xml_free_documentp(xmlDocPtr *document); /* for CLEANUP() */

/*
 * Whether a node is an element of this name; the first such element among `node` and the siblings
 * after it; the first such child. NULL where there is none.
 */
bool xml_is_element(xmlNodePtr node, const char *name);
xmlNodePtr xml_element_from(xmlNodePtr node, const char *name);
xmlNodePtr xml_child(xmlNodePtr parent, const char *name);

/* Texts, which the caller frees with free(); NULL where there is none, or the node is NULL. */
char *xml_attribute(xmlNodePtr node, const char *name);
char *xml_content(xmlNodePtr node);
char *xml_owned(xmlChar *text); /* made of one of libxml2's, which is freed */

#endif
