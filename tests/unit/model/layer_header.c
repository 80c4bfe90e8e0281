/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which texts name a layer in a qcow2 header: today's path and that of earlier builds, of this
 * layer in this mount, and nothing that only looks so.
 */
#include "test.h"

#include "layer_header.h"

#define SEALED "0123456789abcdef"
#define ROOT "fedcba9876543210"

static struct options options = { .mount = (char *)"/srv/vm" };
static struct disks disks = { .options = &options };
static struct layer root = { .record = { .id = ROOT, .image = (char *)"sub/web1.qcow2" }, .disks = &disks };
static struct layer sealed = { .record = { .id = SEALED, .parent = ROOT }, .disks = &disks, .next = &root };

static void is_path_of(const struct layer *layer, const char *wanted)
{
	char *path = layer_view_path(layer);

	check_str(path, wanted);
	check(layer_is_named_by(layer, path));
	free(path);
}

TEST(each_kind_has_one_path_for_new_headers)
{
	is_path_of(&sealed, "/srv/vm/.revertfs/layers/" SEALED ".qcow2");
	is_path_of(&root, "/srv/vm/.revertfs/layers/" ROOT ".backing_file.img");
}

TEST(headers_of_earlier_builds_name_the_same)
{
	check(layer_is_named_by(&sealed, "/srv/vm/.revertfs/layers/" SEALED));
	check(layer_is_named_by(&root, "/srv/vm/.revertfs/images/sub/web1.qcow2"));
}

TEST(nothing_else_names_them)
{
	static const char *const others[] = { "",
					      "/srv/vm",
					      "/srv/vm/.revertfs/layers/",
					      "/srv/vm/.revertfs/images/",
					      "/srv/vm/.revertfs/layers/" SEALED ".qcow",
					      "/srv/vm/.revertfs/layers/" SEALED ".qcow2/",
					      "/srv/vm/.revertfs/layers/" SEALED ".qcow2/..",
					      "/srv/vm/.revertfs/layers/" SEALED "/",
					      "/srv/vm/.revertfs/layers/" SEALED "0",
					      "/srv/vm/.revertfs/layers/" SEALED ".backing_file.img",
					      "/srv/vm/.revertfs/layers/0123456789ABCDEF.qcow2",
					      "/srv/vm/.revertfs/layers/0123456789abcde",
					      "/srv/vm/.revertfs/layers/../layers/" SEALED ".qcow2",
					      "/srv/vm/.revertfs/layers//" SEALED ".qcow2",
					      "/srv/vm/.revertfs/layers/" ROOT,
					      "/srv/vm/.revertfs/layers/" ROOT ".qcow2",
					      "/srv/vm/.revertfs/layers/" ROOT ".backing_file",
					      "/srv/vm/.revertfs/layers/" ROOT ".backing_file.img.img",
					      "/srv/vm/.revertfs/images/web1.qcow2",
					      "/srv/vm/.revertfs/images/sub/web1.qcow2/",
					      "/srv/vm/.revertfs/images/sub",
					      "/srv/vm2/.revertfs/images/sub/web1.qcow2",
					      "/srv/vm/sub/web1.qcow2",
					      "srv/vm/.revertfs/layers/" SEALED ".qcow2",
					      "json:{\"file\":\"/srv/vm/.revertfs/layers/" SEALED ".qcow2\"}" };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (layer_is_named_by(&sealed, others[i]) || layer_is_named_by(&root, others[i]))
			test_fail(__FILE__, __LINE__, "'%s' is taken for a layer", others[i]);
}

TEST(a_name_beneath_layers_finds_what_it_says)
{
	disks.layers = &sealed;
	check(layer_find_view_locked(&disks, SEALED) == &sealed);
	check(layer_find_view_locked(&disks, SEALED ".qcow2") == &sealed);
	check(layer_find_view_locked(&disks, ROOT ".backing_file.img") == &root);
	check(!layer_find_view_locked(&disks, ROOT));
	check(!layer_find_view_locked(&disks, ROOT ".qcow2"));
	check(!layer_find_view_locked(&disks, SEALED ".backing_file.img"));
	check(!layer_find_view_locked(&disks, SEALED ".json"));
	check(!layer_find_view_locked(&disks, ""));
	disks.layers = NULL;
}
