// SPDX-License-Identifier: Apache-2.0
/*
 * spawn N PROGRAM [ARGUMENT...]: runs PROGRAM N times, as fast as it can, some at once, and waits for all.
 *
 * Prints one line "STATUS COUNT" for each wait status that it met.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE 32

static unsigned long counts[65536];

static void start(char **argv)
{
	static char *environment[] = {NULL};
	pid_t pid = vfork();

	if (pid < 0)
		err(1, "vfork");
	if (pid == 0) {
		execve(argv[0], argv, environment);
		_exit(127);
	}
}

static void reap(void)
{
	int status;

	if (wait(&status) < 0)
		err(1, "wait");
	counts[status & 0xffff]++;
}

int main(int argc, char **argv)
{
	unsigned long running = 0, n;

	if (argc < 3)
		errx(2, "usage: spawn N PROGRAM [ARGUMENT...]");
	for (n = strtoul(argv[1], NULL, 10); n; n--) {
		if (running == AT_ONCE) {
			reap();
			running--;
		}
		start(argv + 2);
		running++;
	}
	for (; running; running--)
		reap();
	for (n = 0; n < 65536; n++)
		if (counts[n])
			printf("%lu %lu\n", n, counts[n]);
	return 0;
}
