// SPDX-License-Identifier: Apache-2.0
/*
 * file_calls FOLDER OPENS READS WRITES: so many calls on a new file "file" in the folder.
 *
 * The first open makes the file. The order is: opens, writes, reads.
 */
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char byte = 0;
	int file = -1;

	if (argc != 5 || chdir(argv[1]))
		err(1, "file_calls FOLDER OPENS READS WRITES");
	for (long opens = atol(argv[2]); opens > 0; opens--) {
		file = open("file", O_RDWR | O_CREAT, 0600);
		if (file < 0 || (opens > 1 && close(file)))
			err(1, "cannot open the file");
	}
	for (long writes = atol(argv[4]); writes > 0; writes--)
		if (pwrite(file, &byte, 1, 0) != 1)
			err(1, "cannot write");
	for (long reads = atol(argv[3]); reads > 0; reads--)
		if (pread(file, &byte, 1, 0) != 1)
			err(1, "cannot read");
	return 0;
}
