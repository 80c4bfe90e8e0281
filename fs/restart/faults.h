/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests at which a daemon took a fault.
 *
 * The kernel sends an unanswered request again to the next daemon, and one that crashes the daemon
 * would crash all its successors. So each thread says which request it works on, and when it takes
 * a fault there, a handler of the signal marks the request in the handover; then the signal does
 * what it would have done. Only what a thread did itself counts: SIGSEGV, SIGBUS, SIGFPE and SIGILL
 * that the processor raised, and abort(3); no signal that was sent, and no SIGKILL.
 */
#ifndef REVERTFS_RESTART_FAULTS_H
#define REVERTFS_RESTART_FAULTS_H

#include "handover.h"

/*
 * Catch the signals, and mark faults in this handover (borrowed, for the rest of the process's
 * life). To be called once, before the first request.
 */
void faults_watch(struct handover *handover);

/* This thread works on that request; on none. A thread that does not say so marks nothing. */
void faults_begin(uint64_t unique, uint32_t opcode);
void faults_end(void);

/* How many daemons took a fault at this request; and forget that, for it has its answer. */
unsigned faults_count(struct handover *handover, uint64_t unique);
void faults_forget(struct handover *handover, uint64_t unique);

#endif
