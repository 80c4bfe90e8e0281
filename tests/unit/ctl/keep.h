/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Texts that stay in memory until a test's end, so that each check of one is one line. For ASan a
 * leak is what nothing points to.
 */
#ifndef TEST_CTL_KEEP_H
#define TEST_CTL_KEEP_H

#include "test.h"

static void *kept[512];
static size_t kept_count;

static void *keep(void *pointer)
{
	check(kept_count < sizeof(kept) / sizeof(kept[0]));
	return kept[kept_count++] = pointer;
}

#endif
