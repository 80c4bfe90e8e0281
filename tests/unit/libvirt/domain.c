/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hook reads from a domain's XML, and what it does not fall for.
 */
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "domain.h"

#define UUID "0f7f9e1c-2d6b-4c1e-9a53-6f1b0c7d8e90"
#define DOMAIN(devices) \
	"<domain type='kvm' id='1'><name>x</name><uuid>" UUID "</uuid><devices>" devices "</devices></domain>"

static struct domain *parse(const char *text)
{
	struct sentence error = { "" };
	struct domain *domain = NULL;

	if (domain_parse(text, strlen(text), &domain, &error) < 0)
		test_fail(__FILE__, __LINE__, "%s", error.text);
	return domain;
}

static void refused(const char *text, const char *words)
{
	struct sentence error = { "" };
	struct domain *domain = NULL;

	check_errno(domain_parse(text, strlen(text), &domain, &error), EBADMSG);
	check(!domain);
	check_contains(error.text, words);
}

static void put(const char *directory, const char *name, const char *text)
{
	CLEANUP(freep) char *parent = format_text("%s/%s", TEST_DIR, directory);
	CLEANUP(freep) char *path = format_text("%s/%s", parent, name);
	FILE *file;

	mkdir(parent, 0700);
	file = fopen(path, "w");
	check(file);
	fputs(text, file);
	fclose(file);
}

/* The path of the volume "v 1.qcow2" in the pool "p", or the problem. */
static char *resolved(const char *pool, const char *volume)
{
	CLEANUP(freep) char *run = format_text("%s/run", TEST_DIR);
	CLEANUP(freep) char *etc = format_text("%s/etc", TEST_DIR);
	CLEANUP(freep)
	char *xml = format_text(DOMAIN("<disk type='volume'><source pool='%s' volume='%s'/><target dev='vda'/></disk>"),
				pool, volume);
	const char *const dirs[] = { run, etc };
	struct domain *domain = parse(xml);
	char *result;

	domain_resolve_volume(&domain->disks[0], dirs, 2);
	result = strdup(domain->disks[0].path ? domain->disks[0].path : domain->disks[0].problem);
	domain_free(domain);
	return result;
}

static void resolves(const char *pool, const char *volume, const char *expected)
{
	CLEANUP(freep) char *result = resolved(pool, volume);

	check_contains(result, expected);
}

TEST(a_chain_is_read_from_the_top_down_and_no_deeper_than_it_may_be)
{
	struct domain *domain = parse(DOMAIN(
		"<disk><source file='/s'/><backingStore type='file'><source file='/a'/><backingStore type='block'>"
		"<source dev='/dev/x'/><backingStore type='file'><source file='/b'/><backingStore/></backingStore>"
		"</backingStore></backingStore><target dev='vda'/></disk>"
		"<disk><backingStore/><target dev='vdb'/></disk><disk><target dev='vdc'/></disk>"));
	CLEANUP(freep) char *deep = strdup("");

	check_int(domain->disks[0].chain_length, 2);
	check_str(domain->disks[0].chain[0], "/a");
	check_str(domain->disks[0].chain[1], "/b");
	check(domain->disks[1].backing_store && !domain->disks[1].chain_length);
	check(!domain->disks[2].backing_store && !domain->disks[2].chain_length);
	domain_forget_chain(&domain->disks[0]);
	check(!domain->disks[0].backing_store && !domain->disks[0].chain_length && !domain->disks[0].chain);
	domain_free(domain);
	for (int i = 0; i < 100; i++) {
		char *deeper = format_text("<backingStore type='file'><source file='/%d'/>%s</backingStore>", i, deep);

		free(deep);
		deep = deeper;
	}
	{
		CLEANUP(freep) char *text = format_text(DOMAIN("<disk>%s<target dev='vda'/></disk>"), deep);

		domain = parse(text);
	}
	check_int(domain->disks[0].chain_length, DOMAIN_CHAIN_MAX);
	check_str(domain->disks[0].chain[0], "/99");
	domain_free(domain);
}

TEST(what_does_not_go_together_with_a_served_disk_is_found)
{
	static const struct {
		const char *source, *disk, *words;
	} misfits[] = {
		{ "<encryption/>", "", "<encryption>" },
		{ "", "<encryption/>", "<encryption>" },
		{ "<slices/>", "", "<slices>" },
		{ "<dataStore/>", "", "<dataStore>" },
		{ "", "<mirror/>", "<mirror>" },
		{ "", "<shareable/>", "<shareable/>" },
		{ "", "<readonly/>", NULL },
		{ "<seclabel/>", "<iotune/>", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(misfits); i++) {
		CLEANUP(freep)
		char *text = format_text(
			DOMAIN("<disk type='file'><source file='/a'>%s</source>%s<target dev='vda'/></disk>"),
			misfits[i].source, misfits[i].disk);
		struct domain *domain = parse(text);

		if (misfits[i].words)
			check_contains(domain->disks[0].misfit, misfits[i].words);
		else
			check_str(domain->disks[0].misfit, NULL);
		domain_free(domain);
	}
}

TEST(a_snapshot_has_the_domain_that_it_remembers)
{
	static const char text[] = "<domainsnapshot><name>s</name>" DOMAIN(
		"<disk><source file='/a'/><target dev='vda'/></disk>") "</domainsnapshot>";
	static const char none[] = "<domainsnapshot><name>s</name></domainsnapshot>";
	struct domain *domain = NULL;

	check_int(domain_parse_snapshot(text, strlen(text), &domain, NULL), 0);
	check_str(domain->disks[0].path, "/a");
	domain_free(domain);
	domain = NULL;
	check_errno(domain_parse_snapshot(none, strlen(none), &domain, NULL), ENOENT);
	check_errno(domain_parse_snapshot("<x", 2, &domain, NULL), EBADMSG);
	check(!domain);
}

TEST(a_disk_has_what_its_elements_say)
{
	struct domain *domain =
		parse(DOMAIN("<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
			     "<source file='/srv/vm/a.qcow2' index='1'/><target dev='vda' bus='virtio'/></disk>"));

	check_str(domain->uuid, UUID);
	check_int(domain->count, 1);
	check_str(domain->disks[0].target, "vda");
	check_str(domain->disks[0].type, "file");
	check_str(domain->disks[0].device, "disk");
	check_str(domain->disks[0].format, "qcow2");
	check_str(domain->disks[0].path, "/srv/vm/a.qcow2");
	check(!domain->disks[0].transient);
	check(!domain->disks[0].backing_store);
	domain_free(domain);
}

TEST(paths_are_read_with_their_entities_and_quotes)
{
	struct domain *domain =
		parse(DOMAIN("<disk type='file'><source file='/a b/&amp;&apos;&quot;&lt;&#233;\xc3\xa9'/>"
			     "<target dev='vda'/></disk>"));

	check_str(domain->disks[0].path, "/a b/&'\"<\xc3\xa9\xc3\xa9");
	domain_free(domain);
}

TEST(a_backing_chain_is_not_taken_for_the_disk)
{
	struct domain *domain = parse(DOMAIN("<disk type='file'><driver type='qcow2'/><source file='/top'/>"
					     "<backingStore type='file'><format type='raw'/><source file='/base'/>"
					     "<backingStore/></backingStore><target dev='vda'/></disk>"));

	check_int(domain->count, 1);
	check_str(domain->disks[0].path, "/top");
	check_str(domain->disks[0].format, "qcow2");
	check(domain->disks[0].backing_store);
	domain_free(domain);
}

TEST(disks_outside_devices_do_not_count)
{
	struct domain *domain =
		parse("<domain><metadata><devices><disk type='file'><target dev='vdb'/></disk></devices>"
		      "</metadata><uuid>" UUID "</uuid><devices><disk type='file'><target dev='vda'/></disk>"
		      "</devices></domain>");

	check_int(domain->count, 1);
	check_str(domain->disks[0].target, "vda");
	domain_free(domain);
}

TEST(a_disk_without_a_target_does_not_count)
{
	struct domain *domain =
		parse(DOMAIN("<disk type='file'/><disk><target/></disk><disk><target dev='sda'/></disk>"));

	check_int(domain->count, 1);
	check(domain_find(domain, "sda"));
	check(!domain_find(domain, "vda"));
	domain_free(domain);
}

TEST(a_domain_may_have_no_devices)
{
	struct domain *domain = parse("<domain><uuid>" UUID "</uuid></domain>");

	check_int(domain->count, 0);
	domain_free(domain);
}

TEST(a_uuid_is_read_in_lower_case)
{
	struct domain *domain = parse("<domain><uuid>0F7F9E1C-2D6B-4C1E-9A53-6F1B0C7D8E90</uuid></domain>");

	check_str(domain->uuid, UUID);
	domain_free(domain);
}

TEST(without_a_valid_uuid_it_is_no_domain)
{
	refused("<domain><name>x</name></domain>", "no domain's XML");
	refused("<domain><uuid>0f7f9e1c</uuid></domain>", "no domain's XML");
	refused("<domain><uuid>0f7f9e1c-2d6b-4c1e-9a53-6f1b0c7d8e9 </uuid></domain>", "no domain's XML");
	refused("<domain><uuid>" UUID "0</uuid></domain>", "no domain's XML");
	refused("<pool><uuid>" UUID "</uuid></pool>", "no domain's XML");
}

TEST(what_is_not_xml_is_refused)
{
	refused("", "not valid XML");
	refused("hello", "not valid XML");
	refused("<domain>", "not valid XML");
	refused(DOMAIN("") "<more/>", "not valid XML");
	refused("<domain><uuid>" UUID "</uuid>\xff</domain>", "not valid XML");
}

TEST(a_document_type_is_refused)
{
	refused("<!DOCTYPE domain [<!ENTITY a 'x'>]>" DOMAIN(""), "document type");
	refused("<!DOCTYPE domain SYSTEM 'file:///etc/passwd'>" DOMAIN(""), "document type");
}

TEST(entities_that_multiply_are_refused_in_no_time)
{
	refused("<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
		"<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;'>"
		"<!ENTITY e '&d;&d;&d;&d;&d;&d;&d;&d;'><!ENTITY f '&e;&e;&e;&e;&e;&e;&e;&e;'>]>" DOMAIN(
			"<disk type='file'><source file='&f;&f;&f;&f;&f;&f;&f;'/><target dev='vda'/></disk>"),
		"XML");
}

TEST(external_entities_are_not_read)
{
	refused("<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><domain><uuid>&x;</uuid></domain>", "XML");
}

TEST(more_than_a_domain_can_have_is_refused)
{
	struct sentence error = { "" };
	struct domain *domain = NULL;

	check_errno(domain_parse("", DOMAIN_XML_MAX + 1, &domain, &error), EFBIG);
}

TEST(a_volume_is_a_file_in_its_pools_directory)
{
	put("etc", "p.xml",
	    "<!-- WARNING: THIS IS AN AUTO-GENERATED FILE -->\n"
	    "<pool type='dir'><name>p</name><target><path>/srv/v &amp; m</path></target></pool>\n");
	resolves("p", "v 1.qcow2", "/srv/v & m/v 1.qcow2");
}

TEST(the_active_pool_counts_before_the_defined_one)
{
	put("etc", "q.xml", "<pool type='dir'><target><path>/old</path></target></pool>");
	put("run", "q.xml", "<poolstate><pool type='netfs'><target><path>/new</path></target></pool></poolstate>");
	resolves("q", "v", "/new/v");
}

TEST(a_pool_that_is_no_directory_is_a_problem)
{
	put("etc", "l.xml", "<pool type='logical'><target><path>/dev/vg</path></target></pool>");
	resolves("l", "v", "volumes of the storage pool 'l' are not files");
}

TEST(a_pool_that_is_not_there_or_broken_is_a_problem)
{
	put("etc", "b.xml", "<pool type='dir'>");
	put("etc", "n.xml", "<network/>");
	put("etc", "r.xml", "<pool type='dir'><target><path>relative</path></target></pool>");
	resolves("none", "v", "'none' is not there");
	resolves("b", "v", "not valid XML");
	resolves("n", "v", "has no pool in it");
	resolves("r", "v", "has no target path");
}

TEST(names_of_pools_and_volumes_do_not_lead_elsewhere)
{
	put("etc", "s.xml", "<pool type='dir'><target><path>/s</path></target></pool>");
	resolves("../etc/s", "v", "no usable name");
	resolves("s", "../v", "no usable name");
	resolves("s", "..", "no usable name");
	resolves("", "v", "no usable name");
}

TEST(a_file_needs_no_pool)
{
	struct domain *domain = parse(DOMAIN("<disk type='file'><source file='/a'/><target dev='vda'/></disk>"));

	domain_resolve_volume(&domain->disks[0], NULL, 0);
	check_str(domain->disks[0].path, "/a");
	check(!domain->disks[0].problem);
	domain_free(domain);
}
