// SPDX-License-Identifier: Apache-2.0
/* forks_fail N: fails N times to fork, for its user may have no more processes. As root; becomes nobody. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define NOBODY 65534

int main(int argc, char **argv)
{
	struct rlimit one = {1, 1};
	unsigned long n;
	pid_t pid;

	if (argc != 2)
		return 2;
	if (setrlimit(RLIMIT_NPROC, &one) || setuid(NOBODY))
		err(1, "setuid");
	for (n = strtoul(argv[1], NULL, 10); n; n--) {
		pid = fork();
		if (!pid)
			_exit(0);
		if (pid > 0 || errno != EAGAIN)
			err(1, "fork did not fail with EAGAIN");
	}
	return 0;
}
