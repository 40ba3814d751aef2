// SPDX-License-Identifier: Apache-2.0
/* bpf_calls N M: makes N maps, and asks M times for a program that does not exist. */
#include <err.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};
	union bpf_attr program = {.prog_id = -1};
	unsigned long n;
	int fd;

	if (argc != 3)
		return 2;
	for (n = strtoul(argv[1], NULL, 10); n; n--) {
		fd = syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof(map));
		if (fd < 0)
			err(1, "BPF_MAP_CREATE");
		close(fd);
	}
	for (n = strtoul(argv[2], NULL, 10); n; n--)
		if (syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &program, sizeof(program)) >= 0 || errno != ENOENT)
			err(1, "BPF_PROG_GET_FD_BY_ID");
	return 0;
}
