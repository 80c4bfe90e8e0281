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

#include "disk.h"
#include "domain_request.h"
#include "export.h"
#include "once.h"

void reply_commit(struct json_object *answer, const struct commit_result *result);
void reply_live(struct json_object *answer, const struct live_result *result);
void reply_clone(struct json_object *answer, const struct sentence *missing);
void reply_move(struct json_object *answer, const struct move_result *result);
void reply_export(struct json_object *answer, const struct export_request *request, const struct export_result *result);
void reply_session(struct json_object *answer, const struct session_result *result);
void reply_restarted(struct json_object *answer, const struct once_result *result, bool is_live);

#endif
