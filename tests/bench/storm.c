// SPDX-License-Identifier: Apache-2.0
/*
 * storm N RATE SETS: N calls of a system call that no kernel has, which the probe `storm` makes an event of each; RATE
 * of them a second, spread over its milliseconds, 0: as many as can be. Their argument runs from 0 to SETS - 1 and
 * again.
 *
 * Prints how many nanoseconds it took.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define STORM 1023
#define SLOT  1000000L /* ns */

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

int main(int argc, char **argv)
{
	long n, rate, sets, a_slot, i, start = now(), slot = start;

	if (argc != 4)
		errx(2, "usage: storm N RATE SETS");
	n = atol(argv[1]);
	rate = atol(argv[2]);
	sets = atol(argv[3]);
	a_slot = rate ? rate / (1000000000L / SLOT) : n;
	for (i = 0; i < n; i++) {
		if (rate && i && i % a_slot == 0)
			for (slot += SLOT; now() < slot;)
				;
		syscall(STORM, i % sets);
	}
	printf("%ld\n", now() - start);
	return 0;
}
