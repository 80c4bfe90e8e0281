/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The INIT is answered here and not by libfuse, for two reasons: passthrough and resending are
 * newer than many versions of libfuse, and a daemon that takes over an open connection gets no
 * INIT. libfuse is given the same bytes afterwards (channel.c), in a first start and in a restart.
 *
 *   HANDLE_KILLPRIV_V2   asked for with passthrough and never without. With it, the daemon has to
 *                        clear suid bits. Without it, the kernel asks the daemon before every write
 *                        that it passes through whether the file has capabilities: that is slow,
 *                        and the write hangs while no daemon runs
 *   ATOMIC_O_TRUNC       not asked for: the kernel then truncates by a request of its own
 *   max_background       as large as it can be: were the kernel to hold back what is read ahead and
 *                        closed, one user's would keep all others' back. The daemon does it by
 *                        user and filesystem
 *   DONT_MASK            asked for where the kernel enforces ACLs: the daemon then has to apply the
 *                        umask, which does not count in a directory with a default ACL
 */
#include "handshake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "log.h"

#define OVERLAYFS_MAGIC 0x794c7630
#define LEAST_MINOR 27       /* Linux 4.18 */
#define MINOR 40             /* the latest that wire.h describes: Linux 6.9 */
#define READ_SIZE 8192       /* the kernel refuses to read into less */
#define MAX_BACKGROUND 65535 /* as many as there can be */

#define ALWAYS_WANTED                                                                                       \
	(WIRE_ASYNC_READ | WIRE_BIG_WRITES | WIRE_AUTO_INVAL_DATA | WIRE_ASYNC_DIO | WIRE_PARALLEL_DIROPS | \
	 WIRE_MAX_PAGES | WIRE_INIT_EXT | WIRE_DIRECT_IO_ALLOW_MMAP | WIRE_HAS_RESEND)

static bool is_on_overlayfs(const char *directory)
{
	struct statfs st;

	return directory && statfs(directory, &st) == 0 && st.f_type == OVERLAYFS_MAGIC;
}

struct wishes handshake_wishes(const struct options *options, bool acls)
{
	bool stacked = is_on_overlayfs(options->images) || is_on_overlayfs(options->state) ||
		       is_on_overlayfs(options->scratch);

	return (struct wishes){ .acls = acls, .passthrough = options->passthrough, .stack_depth = stacked ? 2 : 1 };
}

static int receive(int fd, struct handshake *handshake, struct sentence *error)
{
	CLEANUP(freep) char *message = malloc(READ_SIZE);
	const size_t least = sizeof(struct wire_request) + offsetof(struct wire_init, flags2);
	ssize_t n;

	if (!message)
		return report(error, -ENOMEM, "out of memory");
	do {
		n = read(fd, message, READ_SIZE);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < 0)
		return report(error, -errno, "the kernel's first message cannot be read: %m");
	if ((size_t)n > sizeof(handshake->init))
		n = sizeof(handshake->init);
	memcpy(&handshake->init, message, (size_t)n);
	handshake->init_length = (uint32_t)n;
	if ((size_t)n < least || handshake->init.request.opcode != WIRE_INIT)
		return report(error, -EPROTO, "the kernel's first message is not an INIT");
	/* The message was cut to what is kept of it; libfuse reads the length from the message. */
	handshake->init.request.length = (uint32_t)n;
	return 0;
}

static uint64_t offered(const struct wire_init *init)
{
	return init->flags | (init->flags & WIRE_INIT_EXT ? (uint64_t)init->flags2 << 32 : 0);
}

static uint64_t wanted(const struct wishes *wishes, uint64_t can)
{
	uint64_t want = ALWAYS_WANTED;

	if (wishes->acls)
		want |= WIRE_POSIX_ACL | WIRE_DONT_MASK;
	if (wishes->passthrough != PASSTHROUGH_NO && can & WIRE_PASSTHROUGH && can & WIRE_HANDLE_KILLPRIV_V2)
		want |= WIRE_PASSTHROUGH | WIRE_HANDLE_KILLPRIV_V2;
	return want & can;
}

static int check(const struct wishes *wishes, const struct handshake *handshake, struct sentence *error)
{
	const struct wire_init *init = &handshake->init.init;

	if (init->major != WIRE_MAJOR || init->minor < LEAST_MINOR)
		return report(error, -EPROTO, "the kernel speaks FUSE %u.%u, and revertfs needs %u.%u or later",
			      init->major, init->minor, WIRE_MAJOR, LEAST_MINOR);
	if (wishes->passthrough == PASSTHROUGH_REQUIRE && !(handshake->granted & WIRE_PASSTHROUGH))
		return report(
			error, -EOPNOTSUPP,
			"this kernel has no FUSE passthrough (Linux 6.9 and later, CONFIG_FUSE_PASSTHROUGH), which "
			"passthrough=require asks for");
	return 0;
}

static int answer(int fd, const struct wishes *wishes, const struct handshake *handshake, struct sentence *error)
{
	const struct wire_init *init = &handshake->init.init;
	struct {
		struct wire_reply header;
		struct wire_init_reply body;
	} reply = {
		.header = { .length = sizeof(reply), .unique = handshake->init.request.unique },
		.body = {
			.major = WIRE_MAJOR,
			.minor = init->minor < MINOR ? init->minor : MINOR,
			.max_readahead = HANDSHAKE_MAX_WRITE,
			.flags = (uint32_t)handshake->granted,
			.flags2 = (uint32_t)(handshake->granted >> 32),
			.max_background = MAX_BACKGROUND,
			.congestion_threshold = MAX_BACKGROUND,
			.max_write = HANDSHAKE_MAX_WRITE,
			.time_gran = 1,
			.max_pages = (uint16_t)(HANDSHAKE_MAX_WRITE / (uint32_t)sysconf(_SC_PAGESIZE)),
		},
	};

	if (handshake->granted & WIRE_PASSTHROUGH)
		reply.body.max_stack_depth = wishes->stack_depth;
	if (write(fd, &reply, sizeof(reply)) != (ssize_t)sizeof(reply))
		return report(error, -errno, "the kernel refuses the answer to its first message: %m");
	return 0;
}

int handshake_answer(int fd, const struct wishes *wishes, struct handshake *ret_handshake, struct sentence *error)
{
	struct handshake handshake = { .granted = 0 };
	int r = receive(fd, &handshake, error);

	if (r < 0)
		return r;
	handshake.granted = wanted(wishes, offered(&handshake.init.init));
	r = check(wishes, &handshake, error);
	if (r == 0)
		r = answer(fd, wishes, &handshake, error);
	if (r == 0)
		*ret_handshake = handshake;
	if (r == 0)
		log_debug("fuse", "the kernel speaks FUSE %u.%u and is granted flags %#llx", handshake.init.init.major,
			  handshake.init.init.minor, (unsigned long long)handshake.granted);
	return r;
}
