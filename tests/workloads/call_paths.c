// SPDX-License-Identifier: Apache-2.0
/*
 * call_paths CALLS WRITES: gives the process its own name again, so many times by prctl, so many by /proc/self/comm.
 * The kernel comes to the same function in two ways.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned long calls, writes;
	char name[16];
	int file;

	if (argc != 3)
		errx(2, "usage: call_paths CALLS WRITES");
	if (prctl(PR_GET_NAME, name))
		err(1, "PR_GET_NAME");
	for (calls = strtoul(argv[1], NULL, 10); calls; calls--)
		if (prctl(PR_SET_NAME, name))
			err(1, "PR_SET_NAME");
	file = open("/proc/self/comm", O_WRONLY);
	for (writes = strtoul(argv[2], NULL, 10); writes; writes--)
		if (write(file, name, strlen(name)) < 0)
			err(1, "/proc/self/comm");
	return 0;
}
