/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's XML has other sources for some disks, and nothing else is changed. */
#include "domain_edit.h"
#include "test.h"

static const char xml[] =
	"<domain type='kvm'>\n  <name>a &amp; b</name>\n  <!-- mine -->\n  <devices>\n"
	"    <disk type='file' device='disk'>\n      <driver name='qemu' type='raw' cache='none'/>\n"
	"      <source file='/i/a.img'/>\n      <target dev='vda'/>\n    </disk>\n"
	"    <disk type='volume'>\n      <source pool='p' volume='v'/>\n      <target dev='vdb'/>\n    </disk>\n"
	"  </devices>\n</domain>\n";

TEST(the_source_and_the_driver_are_changed_and_nothing_else)
{
	static const struct disk_change change = { "vda", "/m/a & 'b'.img", "qcow2" };
	CLEANUP(freep) char *before = NULL;
	CLEANUP(freep) char *after = NULL;
	struct sentence why = { "" };

	check_int(domain_edit_disks(xml, &change, 1, &before, &after, &why), 0);
	check_contains(after, "<driver name=\"qemu\" type=\"qcow2\" cache=\"none\"/>");
	check_contains(after, "<source file=\"/m/a &amp; 'b'.img\"/>");
	check_contains(after, "<!-- mine -->");
	check_contains(after, "a &amp; b");
	check_contains(before, "type=\"raw\"");
	check_contains(after, "<source pool=\"p\" volume=\"v\"/>");
}

TEST(a_volume_becomes_a_file_and_a_missing_driver_is_made)
{
	static const struct disk_change change = { "vdb", "/m/v", "qcow2" };
	CLEANUP(freep) char *before = NULL;
	CLEANUP(freep) char *after = NULL;
	struct sentence why = { "" };

	check_int(domain_edit_disks(xml, &change, 1, &before, &after, &why), 0);
	check_contains(after, "<disk type=\"file\"><driver type=\"qcow2\"/>");
	check_contains(after, "<source file=\"/m/v\"/>");
	check(!strstr(after, "pool="));
}

TEST(a_disk_that_is_not_there_and_no_XML_are_refused)
{
	static const struct disk_change change = { "vdz", "/m/v", "qcow2" };
	char *before = NULL, *after = NULL;
	struct sentence why = { "" };

	check_errno(domain_edit_disks(xml, &change, 1, &before, &after, &why), ENOENT);
	check_contains(why.text, "no disk 'vdz'");
	check_errno(domain_edit_disks("<domain", &change, 1, &before, &after, &why), EBADMSG);
}
