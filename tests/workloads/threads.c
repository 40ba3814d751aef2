// SPDX-License-Identifier: Apache-2.0
/* threads N: creates N threads, one after the other. */
#include <err.h>
#include <pthread.h>
#include <stdlib.h>

static void *end(void *unused)
{
	return unused;
}

int main(int argc, char **argv)
{
	unsigned long n;
	pthread_t thread;

	if (argc != 2)
		return 2;
	for (n = strtoul(argv[1], NULL, 10); n; n--)
		if (pthread_create(&thread, NULL, end, NULL) || pthread_join(thread, NULL))
			errx(1, "thread");
	return 0;
}
