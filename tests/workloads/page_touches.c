// SPDX-License-Identifier: Apache-2.0
/*
 * page_touches N: the first write to each of N pages, all by one instruction.
 *
 * Sleeps between, because the kernel throttles perf events above kernel.perf_event_max_sample_rate.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096L

static __attribute__((noinline)) void touch(volatile char *page)
{
	*page = 1;
}

int main(int argc, char **argv)
{
	long pages = argc > 1 ? atol(argv[1]) : 0;
	char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || madvise(memory, pages * PAGE, MADV_NOHUGEPAGE))
		err(1, "cannot map %ld pages", pages);
	for (long page = 0; page < pages; page++) {
		touch(memory + page * PAGE);
		if (page % 16 == 0)
			usleep(1000);
	}
	return 0;
}
