// SPDX-License-Identifier: Apache-2.0
/*
 * page_lookups READS WRITES CACHED ABSENT: looks pages of the new file "pages" up in the page cache.
 *
 * Reads READS pages that are not in the cache, and twice more. Then writes WRITES new pages, and reads each after its
 * write. Then writes to CACHED pages and to ABSENT pages of a private mapping, for which the kernel looks the file's
 * pages up: the first are in the cache, the others are not.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE   4096L
#define PAGES  1024L
#define ABSENT 512L /* from this page on no page is read before */

static char page[PAGE];

static void read_page(int file, long number)
{
	if (pread(file, page, PAGE, number * PAGE) != PAGE)
		err(1, "cannot read page %ld", number);
}

static void write_page(int file, long number)
{
	if (pwrite(file, page, PAGE, number * PAGE) != PAGE)
		err(1, "cannot write page %ld", number);
}

/* Makes the file, and drops its pages. */
static int make_file(void)
{
	int file = open("pages", O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (file < 0)
		err(1, "cannot make the file");
	for (long number = 0; number < PAGES; number++)
		write_page(file, number);
	if (fsync(file) || posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) ||
	    posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM))
		err(1, "cannot drop the pages");
	return file;
}

int main(int argc, char **argv)
{
	long reads = argc > 1 ? atol(argv[1]) : 0, writes = argc > 2 ? atol(argv[2]) : 0;
	long cached = argc > 3 ? atol(argv[3]) : 0, absent = argc > 4 ? atol(argv[4]) : 0;
	int file = make_file();
	volatile char *mapped = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);

	if (mapped == MAP_FAILED || madvise((void *)mapped, PAGES * PAGE, MADV_RANDOM))
		err(1, "cannot map the file");
	for (int round = 0; round < 3; round++)
		for (long number = 0; number < reads; number++)
			read_page(file, number);
	for (long number = PAGES; number < PAGES + writes; number++) {
		write_page(file, number);
		read_page(file, number);
	}
	for (long number = 0; number < cached; number++)
		mapped[number * PAGE] = 1;
	for (long number = ABSENT; number < ABSENT + absent; number++)
		mapped[number * PAGE] = 1;
	return 0;
}
