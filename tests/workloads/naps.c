// SPDX-License-Identifier: Apache-2.0
/* naps N: sleeps N times for a millisecond, so that the kernel wakes it now and then. */
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
	struct timespec nap = {0, 1000000};
	unsigned long n;

	for (n = argc > 1 ? strtoul(argv[1], NULL, 10) : 0; n; n--)
		nanosleep(&nap, NULL);
	return 0;
}
