/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aside.h"

#include <string.h>

#include "util.h"

static const char *const words[] = { ASIDE_BEFORE_REVERT, ASIDE_CRASH,       ASIDE_SAVED,
				     ASIDE_SNAPSHOTS,     ASIDE_UNCOMMITTED, ASIDE_UNDECIDED,
				     ASIDE_UNDONE,        ASIDE_UNHOOKED,    ASIDE_UNSYNCED };

bool aside_is_name(const char *snapshot)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t length = strlen(words[i]);

		if (strncmp(snapshot, words[i], length) == 0 && snapshot[length] == '-')
			return true;
	}
	return false;
}
