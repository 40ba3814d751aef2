// SPDX-License-Identifier: Apache-2.0
/*
 * reads N M: N reads of 7 bytes from /dev/zero, then M reads of 7 bytes that fail with EBADF, since the file is open
 * for writing only.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define BYTES 7

int main(int argc, char **argv)
{
	long good = argc > 1 ? atol(argv[1]) : 0, bad = argc > 2 ? atol(argv[2]) : 0;
	int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
	char bytes[BYTES];

	if (zero < 0 || null < 0)
		err(1, "cannot open the files");
	while (good--)
		if (read(zero, bytes, BYTES) != BYTES)
			err(1, "a read has failed");
	while (bad--)
		if (read(null, bytes, BYTES) != -1 || errno != EBADF)
			err(1, "a read has not failed");
	return 0;
}
