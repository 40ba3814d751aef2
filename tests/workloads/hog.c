// SPDX-License-Identifier: Apache-2.0
/* hog MIB: writes to so many MiB of memory, page by page, and exits 0 if the kernel lets it. */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 0) << 20, page = sysconf(_SC_PAGESIZE), at;
	volatile char *memory = malloc(bytes);

	for (at = 0; memory && at < bytes; at += page)
		memory[at] = 1;
	return !memory;
}
