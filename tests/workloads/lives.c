// SPDX-License-Identifier: Apache-2.0
/*
 * lives MILLISECONDS: exits after that time.
 * lives until-eof: exits when its standard input ends.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec left;
	long ms;
	char byte;

	if (argc != 2)
		errx(2, "usage: lives MILLISECONDS|until-eof");
	if (!strcmp(argv[1], "until-eof")) {
		while (read(0, &byte, 1) > 0)
			;
		return 0;
	}
	ms = atol(argv[1]);
	left = (struct timespec){ms / 1000, ms % 1000 * 1000000};
	while (nanosleep(&left, &left))
		;
	return 0;
}
