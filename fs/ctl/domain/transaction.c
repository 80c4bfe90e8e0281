/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An undo that fails does not keep the steps before it from being undone: what can be as it was,
 * is.
 */
#include "transaction.h"

int transaction_run(const struct transaction_step *steps, size_t count, void *subject, const char *undone,
		    struct sentence *error)
{
	struct sentence why = { "" }, stuck = { "" };
	size_t failed = 0;
	int r = 0;

	for (failed = 0; failed < count; failed++) {
		r = steps[failed].act(subject, &why);
		if (r < 0)
			break;
	}
	if (r == 0)
		return 0;
	for (size_t i = failed + 1; i-- > 0;) {
		struct sentence before = stuck, inner = { "" };

		if (steps[i].undo && steps[i].undo(subject, &inner) < 0)
			report(&stuck, r, "%s%s%s", before.text, *before.text ? "; " : "", inner.text);
	}
	if (*stuck.text)
		return report(error, r, "%s; and this could not be taken back: %s", why.text, stuck.text);
	return report(error, r, "%s; %s", why.text, undone);
}
