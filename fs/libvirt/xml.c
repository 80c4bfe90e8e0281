/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxml2 with nothing from outside: no network, no DTD, no entities (a document type is refused).
 * The caller bounds the text.
 */
#include "xml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>

static const int parse_options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA;

void xml_free_documentp(xmlDocPtr *document)
{
	xmlFreeDoc(*document);
}

static void xml_free_parserp(xmlParserCtxtPtr *parser)
{
	xmlFreeParserCtxt(*parser);
}

/*
 * libxml2 prints some errors to stderr whatever the options say; but nothing may stand there beside
 * our own sentence.
 */
static void ignore_message(void *context, const char *format, ...)
{
	(void)context;
	(void)format;
}

int xml_parse(const char *text, size_t length, xmlDocPtr *ret_document, struct sentence *error)
{
	CLEANUP(xml_free_parserp) xmlParserCtxtPtr parser = xmlNewParserCtxt();
	CLEANUP(xml_free_documentp) xmlDocPtr document = NULL;

	if (!parser)
		return report(error, -ENOMEM, "out of memory");
	xmlSetGenericErrorFunc(NULL, ignore_message);
	document = xmlCtxtReadMemory(parser, text, (int)length, NULL, NULL, parse_options);
	if (!document)
		return report(error, -EBADMSG, "not valid XML (line %d)", parser->lastError.line);
	if (xmlGetIntSubset(document) || !xmlDocGetRootElement(document))
		return report(error, -EBADMSG, "XML with a document type, which is not accepted");
	*ret_document = steal_pointer(&document);
	return 0;
}

bool xml_is_element(xmlNodePtr node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

xmlNodePtr xml_element_from(xmlNodePtr node, const char *name)
{
	while (node && !xml_is_element(node, name))
		node = node->next;
	return node;
}

xmlNodePtr xml_child(xmlNodePtr parent, const char *name)
{
	return parent ? xml_element_from(parent->children, name) : NULL;
}

/* A copy, since libxml2's texts need not be free()'s to free. */
char *xml_owned(xmlChar *text)
{
	char *copy = text ? strdup((const char *)text) : NULL;

	xmlFree(text);
	return copy;
}

char *xml_attribute(xmlNodePtr node, const char *name)
{
	return node ? xml_owned(xmlGetNoNsProp(node, (const xmlChar *)name)) : NULL;
}

char *xml_content(xmlNodePtr node)
{
	return node ? xml_owned(xmlNodeGetContent(node)) : NULL;
}
