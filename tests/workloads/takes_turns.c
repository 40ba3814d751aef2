// SPDX-License-Identifier: Apache-2.0
/*
 * takes_turns N NAMES PREFIX: N calls of open that fail with ENOENT, the n-th under the name PREFIX-(n modulo NAMES).
 *
 * So no two calls in a row have one label set.
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
	unsigned long i, n, names;
	char name[32];

	if (argc != 4)
		errx(2, "usage: takes_turns N NAMES PREFIX");
	n = strtoul(argv[1], NULL, 10);
	names = strtoul(argv[2], NULL, 10);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s-%lu", argv[3], i % names);
		prctl(PR_SET_NAME, name);
		if (open("absent/file", O_RDONLY) != -1 || errno != ENOENT)
			err(1, "expected ENOENT, %lu calls before the end", n - i);
	}
	return 0;
}
