// SPDX-License-Identifier: Apache-2.0
/*
 * renames N: N calls of open that fail with ENOENT, each under a name that the process has not had before.
 *
 * Any local user can do this: every call is a new label set for a probe that labels by comm.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
	unsigned long i, n;
	char name[32];

	if (argc != 2)
		errx(2, "usage: renames N");
	n = strtoul(argv[1], NULL, 10);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "r%.14lx", i);
		prctl(PR_SET_NAME, name);
		if (open("absent/file", O_RDONLY) != -1 || errno != ENOENT)
			err(1, "expected ENOENT, %lu calls before the end", n - i);
	}
	return 0;
}
