/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When backing files are registered and released, and what is noted of them. The kernel is this
 * file's own: its ioctl(2) gives ids in their order, and something may happen while it is at work.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "passthrough.h"
#include "wire.h"

static struct {
	struct passthrough passthrough;
	struct passthrough_file file;
	uint32_t last_id;
	int32_t noted;
	int fd;
	int given; /* the last id */
	uint32_t released;
	bool open_again; /* the file, while its backing file is released */
} world;

int ioctl(int fd, unsigned long request, ...)
{
	(void)fd;
	if (request == WIRE_BACKING_OPEN)
		return ++world.given;
	world.released++;
	if (world.open_again)
		passthrough_enter(&world.passthrough, &world.file, world.fd, &world.noted);
	world.open_again = false;
	return 0;
}

static void begin(void)
{
	memset(&world, 0, sizeof(world));
	passthrough_init(&world.passthrough, &world.last_id);
	passthrough_allow(&world.passthrough, 0);
	world.fd = open(TEST_DIR, O_RDWR | O_TMPFILE, 0600);
	check(world.fd >= 0);
}

static void end(void)
{
	close(world.fd);
	passthrough_destroy(&world.passthrough);
}

static int32_t enter(void)
{
	return passthrough_enter(&world.passthrough, &world.file, world.fd, &world.noted);
}

static void leave(void)
{
	passthrough_leave(&world.passthrough, &world.file, &world.noted);
}

TEST(all_descriptors_of_a_file_have_one_backing_file_until_the_last_is_closed)
{
	begin();
	check_int(enter(), 1);
	check_int(enter(), 1);
	check_int(world.noted, 1);
	leave();
	check_int(world.released, 0);
	check_int(world.noted, 1);
	leave();
	check_int(world.released, 1);
	check_int(world.noted, 0);
	check_int(world.last_id, 1);
	end();
}

TEST(a_file_that_is_opened_again_while_it_is_released_keeps_its_note)
{
	begin();
	check_int(enter(), 1);
	world.open_again = true;
	leave();
	check_int(world.released, 1);
	check_int(world.noted, 2);
	check_int(world.file.backing_id, 2);
	leave();
	check_int(world.noted, 0);
	end();
}
