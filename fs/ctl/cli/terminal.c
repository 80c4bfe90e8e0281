/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The environment's COLUMNS counts only where the terminal does not know its width: shells leave an
 * old value there.
 */
#include "terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define USUAL_WIDTH 80
#define LEAST_WIDTH 20

unsigned terminal_width(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size = { 0 };
	uint64_t width = 0;

	if (!isatty(fd))
		return 0;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col)
		width = size.ws_col;
	else if (!columns || parse_size(columns, &width) < 0 || width == 0 || width > 10000)
		width = USUAL_WIDTH;
	return width < LEAST_WIDTH ? LEAST_WIDTH : (unsigned)width;
}

void terminal_look(int fd, struct style *ret_style)
{
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
	bool terminal = isatty(fd);

	setlocale(LC_CTYPE, "");
	*ret_style = (struct style){
		.is_terminal = terminal,
		.width = terminal_width(fd),
		.colour = terminal && !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0,
		.unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
	};
	/* What comes from the daemon is UTF-8, whatever the terminal shows. */
	if (!ret_style->unicode)
		setlocale(LC_CTYPE, "C.UTF-8");
}
