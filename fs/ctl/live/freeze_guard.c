/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard is forked, without an exec, and has a socket to revertctl. It sends two notices: that
 * the guest stands still, or will not; and that the guest goes on again. One byte from revertctl,
 * or the end of the socket, tells it to let the guest go on.
 *
 * What may have happened counts as happened: an agent that is late with a freeze still freezes, and
 * a virsh that was killed may have paused. So resuming and thawing are owed from the moment a pause
 * or a freeze was asked for, until libvirt says that they are done, or that the domain has ended.
 *
 * A guest that somebody else has frozen is quiesced as well, and is not thawed. Nobody can keep him
 * from thawing it meanwhile: so the agent is asked before the pause and after it, and what was made
 * in between counts only if the guest was frozen both times.
 */
#include "freeze_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "log.h"

#define AGENT_TIMEOUT_S 10 /* for requests that an agent answers at once */
#define RETRY_MS 1000
#define GIVE_UP_S 600     /* after that long, a resume could surprise whoever has taken over the guest */
#define PATIENCE_MS 30000 /* how long revertctl waits for the guard's last notice */
#define SLACK_MS 60000    /* for the guard's work before and after the time that was asked for */
#define GUARD_FD 3

struct notice {
	int error;         /* first: the guest does not stand still; last: it may not go on */
	bool quiesced;     /* first */
	bool was_frozen;   /* first: by somebody else */
	bool too_late;     /* last: the guest went on before revertctl told the guard */
	uint64_t deadline; /* first */
	struct freeze_guard_times times;
	struct sentence text; /* of the error; or why the guest is not quiesced */
};

/* The guest, as far as the guard knows; or revertctl in its place. */
struct guest {
	const struct freeze_guard_plan *plan;
	int fd; /* to revertctl */
	uint64_t deadline;
	bool may_be_frozen, may_be_paused;
	bool quiesced, was_frozen;
	uint64_t froze_ms, paused_ms; /* when that began */
};

/* ---- the way back */

/*
 * The domain's state, or "gone" where there is no such domain any more; NULL when libvirt does not
 * say. free() it.
 */
static char *state_of_domain(const struct guest *guest)
{
	char *state = NULL;
	struct sentence why;

	if (virsh_domain_state(guest->plan->virsh, guest->plan->domain, &state, &why) == 0)
		return state;
	return strstr(why.text, "failed to get domain") ? strdup("gone") : NULL;
}

static bool has_ended(const char *state)
{
	return state && (strcmp(state, "gone") == 0 || strcmp(state, "shut off") == 0 || strcmp(state, "crashed") == 0);
}

static int resume_once(struct guest *guest, struct sentence *error)
{
	int r = virsh_domain_do(guest->plan->virsh, "resume", guest->plan->domain, error);
	CLEANUP(freep) char *state = r < 0 ? state_of_domain(guest) : NULL;

	return state && (has_ended(state) || strcmp(state, "running") == 0) ? 0 : r;
}

/* How many filesystems were thawed; 0 when the domain has ended. */
static int thaw_once(struct guest *guest, struct sentence *error)
{
	int r = agent_thaw(guest->plan->virsh, guest->plan->domain, AGENT_TIMEOUT_S, error);
	CLEANUP(freep) char *state = r < 0 ? state_of_domain(guest) : NULL;

	return has_ended(state) ? 0 : r;
}

/* What does not answer may have been thawed. */
static bool is_still_frozen(const struct guest *guest)
{
	struct sentence why;
	bool frozen = false;

	return agent_is_frozen(guest->plan->virsh, guest->plan->domain, AGENT_TIMEOUT_S, &frozen, &why) == 0 && frozen;
}

static int try_until_done(struct guest *guest, int (*once)(struct guest *, struct sentence *), unsigned *ret_tries,
			  struct sentence *error)
{
	uint64_t give_up = monotonic_ms() + GIVE_UP_S * 1000;

	for (*ret_tries = 1;; ++*ret_tries) {
		int r = once(guest, error);

		if (r >= 0 || monotonic_ms() > give_up)
			return r;
		log_warning("domain '%s': %s; tried again", guest->plan->domain, error->text);
		poll(NULL, 0, RETRY_MS);
	}
}

static int resume_and_thaw(struct guest *guest, struct notice *notice)
{
	unsigned tries;
	int r = 0;

	if (guest->may_be_paused) {
		r = try_until_done(guest, resume_once, &tries, &notice->text);
		notice->times.paused_ms = (double)(monotonic_ms() - guest->paused_ms);
	}
	if (r == 0 && guest->may_be_frozen) {
		r = try_until_done(guest, thaw_once, &tries, &notice->text);
		notice->times.frozen_ms = (double)(monotonic_ms() - guest->froze_ms);
		/*
		 * Nothing was left to thaw: somebody else had thawed the guest, perhaps before the
		 * pause.
		 */
		notice->too_late |= r == 0 && tries == 1 && guest->quiesced;
	}
	if (r == 0 && guest->was_frozen)
		notice->too_late |= !is_still_frozen(guest);
	if (r >= 0)
		return 0;
	log_error("domain '%s' may still stand still: %s; try 'virsh resume', then 'virsh domfsthaw'",
		  guest->plan->domain, notice->text.text);
	return r;
}

/* ---- the guard */

static void start_clock(struct guest *guest)
{
	guest->deadline = monotonic_ms() + (uint64_t)guest->plan->timeout_s * 1000;
}

static int freeze(struct guest *guest, struct sentence *error)
{
	const struct freeze_guard_plan *plan = guest->plan;
	bool frozen = false;
	int r = agent_is_frozen(plan->virsh, plan->domain, AGENT_TIMEOUT_S, &frozen, error);

	if (r < 0)
		return r;
	start_clock(guest);
	guest->was_frozen = guest->quiesced = frozen;
	if (frozen)
		return 0;
	guest->froze_ms = monotonic_ms();
	guest->may_be_frozen = true;
	r = agent_freeze(plan->virsh, plan->domain, plan->timeout_s, error);
	if (r == 0)
		return report(error, -ENODATA, "the guest's agent found no filesystem to freeze");
	if (r > 0 && monotonic_ms() >= guest->deadline)
		return report(error, -ETIMEDOUT, "the guest took more than %u s to freeze its filesystems",
			      plan->timeout_s);
	guest->quiesced = r > 0;
	return r < 0 ? r : 0;
}

/* A freeze that failed may have been done in part, or may come late: thaw. */
static int freeze_or_not(struct guest *guest, struct notice *notice)
{
	struct sentence why;
	int r = freeze(guest, &notice->text);

	if (r == 0)
		return 0;
	if (guest->may_be_frozen && thaw_once(guest, &why) >= 0)
		guest->may_be_frozen = false;
	start_clock(guest);
	return guest->plan->quiesce == QUIESCE_REQUIRE ? r : 0;
}

static bool revertctl_is_gone(const struct guest *guest)
{
	struct pollfd polled = { .fd = guest->fd, .events = POLLIN };

	return poll(&polled, 1, 0) > 0;
}

static int freeze_and_pause(struct guest *guest, struct notice *notice)
{
	int r = 0;

	start_clock(guest);
	if (guest->plan->quiesce != QUIESCE_NO)
		r = freeze_or_not(guest, notice);
	if (r == 0 && revertctl_is_gone(guest))
		r = -EPIPE;
	if (r < 0)
		return r;
	guest->paused_ms = monotonic_ms();
	guest->may_be_paused = true;
	notice->quiesced = guest->quiesced;
	notice->was_frozen = guest->was_frozen;
	notice->deadline = guest->deadline;
	return virsh_domain_do(guest->plan->virsh, "suspend", guest->plan->domain, &notice->text);
}

/*
 * True when revertctl has told the guard to end the pause; false when revertctl is gone, or the
 * time is over.
 */
static bool wait_for_caller(struct guest *guest)
{
	for (;;) {
		struct pollfd polled = { .fd = guest->fd, .events = POLLIN };
		uint64_t now = monotonic_ms();
		char word;

		if (now >= guest->deadline) {
			log_warning("domain '%s': its time of %u s is over, the guest goes on", guest->plan->domain,
				    guest->plan->timeout_s);
			return false;
		}
		if (poll(&polled, 1, (int)(guest->deadline - now)) <= 0)
			continue;
		if (recv(guest->fd, &word, 1, 0) == 1)
			return true;
		log_warning("domain '%s': revertctl is gone, the guest goes on", guest->plan->domain);
		return false;
	}
}

static void send_notice(struct guest *guest, const struct notice *notice)
{
	/* revertctl may be gone. */
	if (send(guest->fd, notice, sizeof(*notice), MSG_NOSIGNAL) < 0)
		log_debug("guard", "revertctl is gone, a notice is lost");
}

static void watch_over(struct guest *guest)
{
	struct notice first = { 0 }, last = { 0 };

	first.error = freeze_and_pause(guest, &first);
	send_notice(guest, &first);
	if (first.error == 0)
		last.too_late = !wait_for_caller(guest);
	last.error = resume_and_thaw(guest, &last);
	send_notice(guest, &last);
}

/*
 * Leave the caller's terminal and signals, and keep no descriptor of the caller's but the socket.
 */
static void detach_from_caller(int fd)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	prctl(PR_SET_NAME, "revertctl-guard");
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	if (fd != GUARD_FD && dup2(fd, GUARD_FD) < 0)
		_exit(EXIT_FAILURE);
	fcntl(GUARD_FD, F_SETFD, FD_CLOEXEC);
	for (int i = 0; i < GUARD_FD; i++)
		if (null < 0 || dup2(null, i) < 0)
			close(i);
	close_range(GUARD_FD + 1, ~0U, 0);
	if (chdir("/") < 0)
		log_debug("guard", "it keeps the working directory busy");
	log_to_syslog();
}

/* ---- revertctl's side */

static int receive(const struct freeze_guard *guard, uint64_t patience_ms, struct notice *ret_notice)
{
	uint64_t deadline = monotonic_ms() + patience_ms;

	for (;;) {
		struct pollfd polled = { .fd = guard->fd, .events = POLLIN };
		uint64_t now = monotonic_ms();

		if (now >= deadline)
			return -ETIMEDOUT;
		if (poll(&polled, 1, (int)(deadline - now)) <= 0)
			continue;
		return recv(guard->fd, ret_notice, sizeof(*ret_notice), 0) == sizeof(*ret_notice) ? 0 : -ECONNRESET;
	}
}

/* The guard was killed: resume and thaw in its place. */
static int act_for_guard(const struct freeze_guard *guard, struct notice *notice)
{
	struct guest guest = { .plan = &guard->plan,
			       .fd = -1,
			       .may_be_paused = true,
			       .may_be_frozen = guard->plan.quiesce != QUIESCE_NO && !guard->was_frozen };

	guest.paused_ms = guest.froze_ms = monotonic_ms();
	notice->error = resume_and_thaw(&guest, notice);
	notice->too_late = true;
	return notice->error;
}

static int last_notice(struct freeze_guard *guard, struct notice *notice, struct sentence *error)
{
	int r = receive(guard, PATIENCE_MS, notice);

	close_fdp(&guard->fd);
	if (r == -ETIMEDOUT)
		return report(
			error, r,
			"the guest does not go on yet; process %d goes on trying for %u minutes, syslog says why, and "
			"'virsh resume' and 'virsh domfsthaw' may help",
			(int)guard->pid, GIVE_UP_S / 60);
	if (r < 0)
		act_for_guard(guard, notice);
	waitpid(guard->pid, NULL, 0);
	return notice->error < 0 ? report(error, notice->error,
					  "the guest may still stand still: %s; try 'virsh "
					  "resume', then 'virsh domfsthaw'",
					  notice->text.text)
				 : 0;
}

static int spawn_guard(struct freeze_guard *guard, struct sentence *error)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return report(error, -errno, "no socket can be made: %s", error_text(-errno));
	guard->pid = fork();
	if (guard->pid == 0) {
		struct guest guest = { .plan = &guard->plan, .fd = GUARD_FD };

		detach_from_caller(ends[1]);
		watch_over(&guest);
		_exit(EXIT_SUCCESS);
	}
	close(ends[1]);
	guard->fd = ends[0];
	if (guard->pid > 0)
		return 0;
	close_fdp(&guard->fd);
	return report(error, -errno, "no process can be started: %s", error_text(-errno));
}

int freeze_guard_begin(const struct freeze_guard_plan *plan, struct freeze_guard *ret_guard, struct sentence *error)
{
	struct freeze_guard guard = { .plan = *plan, .fd = -1 };
	struct notice first = { 0 }, last = { 0 };
	struct sentence why;
	int r = spawn_guard(&guard, error);

	if (r < 0)
		return r;
	r = receive(&guard, (uint64_t)plan->timeout_s * 1000 + SLACK_MS, &first);
	if (r == 0 && first.error == 0) {
		guard.quiesced = first.quiesced;
		guard.was_frozen = first.was_frozen;
		guard.why_not = first.text;
		guard.deadline = first.deadline;
		*ret_guard = guard;
		return 0;
	}
	if (r < 0)
		report(error, r, "the process that was to pause the guest is gone, or hangs");
	else
		r = report(error, first.error, "%s", first.text.text);
	if (last_notice(&guard, &last, &why) < 0)
		report_context(error, r, "%s; what came first: ", why.text);
	return r;
}

int freeze_guard_end(struct freeze_guard *guard, struct freeze_guard_times *ret_times, struct sentence *error)
{
	struct notice last = { 0 };
	int r;

	/* When the guard is gone, receiving says so. */
	if (send(guard->fd, "", 1, MSG_NOSIGNAL) < 0)
		log_debug("guard", "it is gone");
	r = last_notice(guard, &last, error);
	if (r < 0)
		return r;
	*ret_times = last.times;
	if (last.too_late)
		return report(
			error, -ETIME,
			"the guest had gone on before that was done, after %u s or because somebody else thawed it",
			guard->plan.timeout_s);
	return 0;
}

void freeze_guard_endp(struct freeze_guard *guard)
{
	struct freeze_guard_times times;
	struct sentence why;

	if (guard->fd >= 0 && freeze_guard_end(guard, &times, &why) < 0)
		log_warning("%s", why.text);
}
