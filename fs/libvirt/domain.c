/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XML comes from libvirt, but names and paths in it are whatever the domain's owner chose.
 * `type='volume'` disks name a pool and a volume. libvirt resolves them only after `prepare`, so
 * the pool's own XML is read here: first from /run, where libvirt keeps that of active pools, with
 * the <pool> inside another element.
 */
#include "domain.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shown.h"
#include "xml.h"

#define POOL_XML_MAX (1 << 20)

void domain_forget_chain(struct domain_disk *disk)
{
	for (size_t i = 0; i < disk->chain_length; i++)
		free(disk->chain[i]);
	free(disk->chain);
	disk->chain = NULL;
	disk->chain_length = 0;
	disk->backing_store = false;
}

static void free_disk(struct domain_disk *disk)
{
	free(disk->target);
	free(disk->type);
	free(disk->device);
	free(disk->format);
	free(disk->path);
	free(disk->pool);
	free(disk->volume);
	free(disk->problem);
	domain_forget_chain(disk);
}

void domain_free(struct domain *domain)
{
	if (!domain)
		return;
	for (size_t i = 0; i < domain->count; i++)
		free_disk(&domain->disks[i]);
	free(domain->disks);
	free(domain->name);
	free(domain);
}

void domain_freep(struct domain **domain)
{
	domain_free(*domain);
}

struct domain_disk *domain_find(const struct domain *domain, const char *target)
{
	for (size_t i = 0; i < domain->count; i++)
		if (strcmp(domain->disks[i].target, target) == 0)
			return &domain->disks[i];
	return NULL;
}

bool domain_disk_uses(const struct domain_disk *disk, const char *path)
{
	for (size_t i = 0; i < disk->chain_length; i++)
		if (strcmp(disk->chain[i], path) == 0)
			return true;
	return disk->path && strcmp(disk->path, path) == 0;
}

/*
 * What a served disk cannot be: it is a whole qcow2 file of its own, whatever the image is, and
 * QEMU is told nothing else of it. libvirt writes <encryption> into <source>; it used to be beside
 * it.
 */
static const char *find_misfit(xmlNodePtr disk)
{
	static const struct {
		bool of_source;
		const char *element, *words;
	} misfits[] = {
		{ true, "encryption",
		  "is decrypted by QEMU (<encryption>), and what revertfs serves is not encrypted" },
		{ false, "encryption",
		  "is decrypted by QEMU (<encryption>), and what revertfs serves is not encrypted" },
		{ true, "slices", "is a part of its file (<slices>), and revertfs serves files as a whole" },
		{ true, "dataStore", "is kept in two files (<dataStore>), of which one would not revert" },
		{ false, "mirror", "is being copied elsewhere (<mirror>), and what is copied does not revert" },
		{ false, "shareable",
		  "is <shareable/>, and QEMU shares no qcow2 disk, which all are that revertfs serves" },
	};
	xmlNodePtr source = xml_child(disk, "source");

	for (size_t i = 0; i < ARRAY_SIZE(misfits); i++)
		if (xml_child(misfits[i].of_source ? source : disk, misfits[i].element))
			return misfits[i].words;
	return NULL;
}

/* Each <backingStore> lies in the one of the file that stands on it. */
static int read_chain(xmlNodePtr node, struct domain_disk *disk)
{
	for (node = xml_child(node, "backingStore"); node && disk->chain_length < DOMAIN_CHAIN_MAX;
	     node = xml_child(node, "backingStore")) {
		CLEANUP(freep) char *file = xml_attribute(xml_child(node, "source"), "file");
		char **longer;

		if (!file)
			continue;
		longer = reallocarray(disk->chain, disk->chain_length + 1, sizeof(*longer));
		if (!longer)
			return -ENOMEM;
		disk->chain = longer;
		longer[disk->chain_length++] = steal_pointer(&file);
	}
	return 0;
}

static int read_disk(xmlNodePtr node, struct domain_disk *disk)
{
	xmlNodePtr source = xml_child(node, "source");

	disk->target = xml_attribute(xml_child(node, "target"), "dev");
	disk->type = xml_attribute(node, "type");
	disk->device = xml_attribute(node, "device");
	disk->format = xml_attribute(xml_child(node, "driver"), "type");
	if (!disk->type || strcmp(disk->type, "file") == 0)
		disk->path = xml_attribute(source, "file");
	disk->pool = xml_attribute(source, "pool");
	disk->volume = xml_attribute(source, "volume");
	disk->transient = xml_child(node, "transient");
	disk->backing_store = xml_child(node, "backingStore");
	disk->misfit = find_misfit(node);
	disk->readonly = xml_child(node, "readonly") != NULL;
	return read_chain(node, disk);
}

/* A disk without a target is left out: no configuration can name it. */
static int add_disk(struct domain *domain, xmlNodePtr node)
{
	struct domain_disk *larger = reallocarray(domain->disks, domain->count + 1, sizeof(*larger));
	int r;

	if (!larger)
		return -ENOMEM;
	domain->disks = larger;
	larger[domain->count] = (struct domain_disk){ 0 };
	r = read_disk(node, &larger[domain->count]);
	if (r == 0 && larger[domain->count].target)
		domain->count++;
	else
		free_disk(&larger[domain->count]);
	return r;
}

static int add_disks(struct domain *domain, xmlNodePtr devices)
{
	xmlNodePtr node = xml_child(devices, "disk");

	for (; node; node = xml_element_from(node->next, "disk")) {
		int r = add_disk(domain, node);

		if (r < 0)
			return r;
	}
	return 0;
}

static bool read_uuid(xmlNodePtr root, char uuid[UUID_TEXT_SIZE])
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	CLEANUP(freep) char *text = xml_content(xml_child(root, "uuid"));

	if (!text || strlen(text) != sizeof(shape) - 1)
		return false;
	for (size_t i = 0; i < sizeof(shape); i++) {
		if (shape[i] == 'x' ? !isxdigit((unsigned char)text[i]) : text[i] != shape[i])
			return false;
		uuid[i] = (char)tolower((unsigned char)text[i]);
	}
	return true;
}

/* `root` is the element, or NULL. */
static int read_domain(xmlNodePtr root, struct domain **ret_domain, struct sentence *error)
{
	CLEANUP(domain_freep) struct domain *domain = calloc(1, sizeof(*domain));

	if (!domain)
		return report(error, -ENOMEM, "out of memory");
	if (!root || !xml_is_element(root, "domain") || !read_uuid(root, domain->uuid))
		return report(error, -EBADMSG, "what libvirt gave to the hook is no domain's XML with a UUID");
	domain->name = xml_content(xml_child(root, "name"));
	if (add_disks(domain, xml_child(root, "devices")) < 0)
		return report(error, -ENOMEM, "out of memory");
	*ret_domain = steal_pointer(&domain);
	return 0;
}

static int parse_bounded(const char *text, size_t length, xmlDocPtr *ret_document, struct sentence *error)
{
	return length > DOMAIN_XML_MAX ? report(error, -EFBIG, "too long")
				       : xml_parse(text, length, ret_document, error);
}

int domain_parse(const char *text, size_t length, struct domain **ret_domain, struct sentence *error)
{
	CLEANUP(xml_free_documentp) xmlDocPtr document = NULL;
	int r = parse_bounded(text, length, &document, error);

	if (r < 0)
		return report_context(error, r, "the domain's XML, which libvirt gives to its hooks, is ");
	return read_domain(xmlDocGetRootElement(document), ret_domain, error);
}

int domain_parse_snapshot(const char *text, size_t length, struct domain **ret_domain, struct sentence *error)
{
	CLEANUP(xml_free_documentp) xmlDocPtr document = NULL;
	int r = parse_bounded(text, length, &document, error);
	xmlNodePtr domain;

	if (r < 0)
		return report_context(error, r, "the XML of a snapshot is ");
	domain = xml_child(xmlDocGetRootElement(document), "domain");
	return domain ? read_domain(domain, ret_domain, error)
		      : report(error, -ENOENT, "the snapshot remembers no domain");
}

static bool remove_chain(xmlNodePtr disk)
{
	bool removed = false;
	xmlNodePtr chain;

	while ((chain = xml_child(disk, "backingStore"))) {
		xmlUnlinkNode(chain);
		xmlFreeNode(chain);
		removed = true;
	}
	return removed;
}

int domain_without_chains(const char *text, size_t length, bool (*is_ours)(const void *context, const char *target),
			  const void *context, char **ret_text, struct sentence *error)
{
	CLEANUP(xml_free_documentp) xmlDocPtr document = NULL;
	xmlChar *dump = NULL;
	xmlNodePtr node;
	bool changed = false;
	int size, r = xml_parse(text, length, &document, error);

	if (r < 0)
		return r;
	node = xml_child(xml_child(xmlDocGetRootElement(document), "devices"), "disk");
	for (; node; node = xml_element_from(node->next, "disk")) {
		CLEANUP(freep) char *target = xml_attribute(xml_child(node, "target"), "dev");

		if (target && is_ours(context, target))
			changed |= remove_chain(node);
	}
	*ret_text = NULL;
	if (!changed)
		return 0;
	xmlDocDumpMemory(document, &dump, &size);
	*ret_text = xml_owned(dump);
	return *ret_text ? 0 : report(error, -ENOMEM, "out of memory");
}

/* The type of a pool says whether its volumes are files in a directory. */
static char *path_in_pool(xmlNodePtr pool, const struct domain_disk *disk, struct sentence *error)
{
	CLEANUP(freep) char *type = xml_attribute(pool, "type");
	CLEANUP(freep) char *directory = xml_content(xml_child(xml_child(pool, "target"), "path"));

	if (!type || (strcmp(type, "dir") != 0 && strcmp(type, "fs") != 0 && strcmp(type, "netfs") != 0)) {
		report(error, -EINVAL, "volumes of the storage pool '%s' are not files of a directory", disk->pool);
		return NULL;
	}
	if (!directory || directory[0] != '/') {
		report(error, -EINVAL, "the storage pool '%s' has no target path", disk->pool);
		return NULL;
	}
	return format_text("%s/%s", directory, disk->volume);
}

static char *path_from_xml(int fd, const struct domain_disk *disk, struct sentence *error)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(xml_free_documentp) xmlDocPtr document = NULL;
	xmlNodePtr root, pool;
	size_t length;
	int r = read_all(fd, POOL_XML_MAX, &text, &length);

	if (r < 0) {
		report(error, r, "cannot read the storage pool '%s': %s", disk->pool, error_text(r));
		return NULL;
	}
	if (xml_parse(text, length, &document, error) < 0) {
		report_context(error, -EBADMSG, "the definition of the storage pool '%s' is ", disk->pool);
		return NULL;
	}
	root = xmlDocGetRootElement(document);
	pool = xml_is_element(root, "pool") ? root : xml_child(root, "pool");
	if (!pool) {
		report(error, -EBADMSG, "the definition of the storage pool '%s' has no pool in it", disk->pool);
		return NULL;
	}
	return path_in_pool(pool, disk, error);
}

static int open_pool(const char *pool, const char *const *storage_dirs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		CLEANUP(freep) char *file = format_text("%s/%s.xml", storage_dirs[i], pool);
		int fd = file ? open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;

		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}

static char *find_volume(const struct domain_disk *disk, const char *const *storage_dirs, size_t count,
			 struct sentence *error)
{
	CLEANUP(close_fdp) int fd = -1;

	if (!disk->pool || !disk->volume || !name_is_usable(disk->pool) || !name_is_usable(disk->volume)) {
		report(error, -EINVAL, "its storage pool or volume has no usable name");
		return NULL;
	}
	fd = open_pool(disk->pool, storage_dirs, count);
	if (fd < 0) {
		report(error, -ENOENT, "the storage pool '%s' is not there: define and start it with virsh",
		       disk->pool);
		return NULL;
	}
	return path_from_xml(fd, disk, error);
}

void domain_resolve_volume(struct domain_disk *disk, const char *const *storage_dirs, size_t count)
{
	struct sentence why = { "out of memory" };

	if (!disk->type || strcmp(disk->type, "volume") != 0 || disk->path)
		return;
	disk->path = find_volume(disk, storage_dirs, count, &why);
	if (!disk->path && !disk->problem)
		disk->problem = strdup(why.text);
}
