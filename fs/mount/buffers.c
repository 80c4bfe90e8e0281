/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each buffer is a mapping of its own. Those that are not in use are a list, which lies in their
 * first bytes; the one that was used last is used next.
 */
#include "buffers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lock.h"
#include "log.h"

struct spare {
	struct spare *next;
};

struct buffers {
	unsigned kept;
	pthread_mutex_t lock; /* guards all below */
	struct spare *spares;
	unsigned count; /* spares and those in use */
	bool complained;
};

/* Where a limit on locked memory forbids the lock, the daemon serves all the same. */
static void lock_in_memory(struct buffers *buffers, void *memory)
{
	bool complains = false;
	int error;

	/*
	 * A fork would make the pages copy-on-write, and the kernel might move them into a huge
	 * page: both make them inaccessible for a moment.
	 */
	madvise(memory, BUFFER_SIZE, MADV_DONTFORK);
	madvise(memory, BUFFER_SIZE, MADV_NOHUGEPAGE);
	if (mlock(memory, BUFFER_SIZE) == 0)
		return;
	error = -errno;
	LOCKED (&buffers->lock) {
		complains = !buffers->complained;
		buffers->complained = true;
	}
	if (complains)
		log_warning(
			"the memory for requests cannot be locked (%s): a request that is being read when the daemon is killed may fail",
			error_text(error));
}

static struct spare *map_buffer(struct buffers *buffers)
{
	void *memory =
		mmap(NULL, BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	lock_in_memory(buffers, memory);
	LOCKED (&buffers->lock)
		buffers->count++;
	return memory;
}

char *buffer_get(struct buffers *buffers)
{
	struct spare *spare = NULL;

	LOCKED (&buffers->lock) {
		spare = buffers->spares;
		if (spare)
			buffers->spares = spare->next;
	}
	return (char *)(spare ? spare : map_buffer(buffers));
}

void buffer_put(struct buffers *buffers, char *buffer)
{
	struct spare *spare = (struct spare *)(void *)buffer;

	if (spare)
		LOCKED (&buffers->lock) {
			spare->next = buffers->spares;
			buffers->spares = spare;
		}
}

void buffers_trim(struct buffers *buffers)
{
	LOCKED (&buffers->lock)
		while (buffers->count > buffers->kept && buffers->spares) {
			struct spare *spare = buffers->spares;

			buffers->spares = spare->next;
			buffers->count--;
			munmap(spare, BUFFER_SIZE);
		}
}

int buffers_new(unsigned kept, struct buffers **ret_buffers, struct sentence *error)
{
	struct buffers *buffers = calloc(1, sizeof(*buffers));
	struct spare *spare = NULL;

	if (!buffers)
		return report(error, -ENOMEM, "out of memory");
	pthread_mutex_init(&buffers->lock, NULL);
	buffers->kept = kept;
	for (unsigned i = 0; i < kept; i++) {
		spare = map_buffer(buffers);
		if (!spare) {
			report(error, -ENOMEM, "no memory for requests: %s", error_text(-errno));
			buffers_free(buffers);
			return -ENOMEM;
		}
		buffer_put(buffers, (char *)spare);
	}
	*ret_buffers = buffers;
	return 0;
}

void buffers_free(struct buffers *buffers)
{
	if (!buffers)
		return;
	buffers->kept = 0;
	buffers_trim(buffers);
	pthread_mutex_destroy(&buffers->lock);
	free(buffers);
}
