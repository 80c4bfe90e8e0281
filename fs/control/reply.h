/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The members of the JSON answers, made of what the verbs give back. Other programs read them: keys
 * and types stay (revertfs-control(7)).
 *
 * A result that came only so far, because its verb failed, adds the members that it has.
 */
#ifndef REVERTFS_CONTROL_REPLY_H
#define REVERTFS_CONTROL_REPLY_H

#include <json-c/json.h>

#include "export.h"

void reply_export(struct json_object *answer, const struct export_request *request,
		   const struct export_result *result);

#endif
