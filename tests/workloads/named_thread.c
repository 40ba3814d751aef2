// SPDX-License-Identifier: Apache-2.0
/* named_thread NAME N: a thread that calls itself NAME fails to open and to execute a file, N times each. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static char **arguments;

static void *fail(void *unused)
{
	unsigned long n;

	(void)unused;
	if (pthread_setname_np(pthread_self(), arguments[1]))
		err(1, "%s", arguments[1]);
	for (n = strtoul(arguments[2], NULL, 10); n; n--) {
		if (open("/dev/null/none", O_RDONLY) >= 0)
			errx(1, "open");
		execl("/dev/null/none", "none", NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc != 3)
		return 2;
	arguments = argv;
	return pthread_create(&thread, NULL, fail, NULL) || pthread_join(thread, NULL);
}
