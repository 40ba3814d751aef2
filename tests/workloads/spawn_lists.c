// SPDX-License-Identifier: Apache-2.0
/*
 * spawn_lists FILE N PROGRAM: runs PROGRAM N times, one after another, with the argument lists of FILE in turn.
 *
 * FILE has for each list the number of its arguments as a 32-bit integer, then the arguments with their NULs. The
 * list begins with argv[0].
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_LISTS 1024

static char **lists[MOST_LISTS];

static char *read_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY);
	struct stat status;
	char *data;

	if (fd < 0 || fstat(fd, &status))
		err(1, "%s", path);
	data = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (data == MAP_FAILED)
		err(1, "mmap");
	*size = status.st_size;
	return data;
}

static size_t read_lists(const char *path)
{
	size_t size, count = 0;
	char *at = read_file(path, &size), *end = at + size;

	while (at < end && count < MOST_LISTS) {
		uint32_t arguments;
		char **list;

		memcpy(&arguments, at, sizeof(arguments));
		at += sizeof(arguments);
		list = calloc(arguments + 1, sizeof(*list));
		if (!list)
			err(1, "calloc");
		for (uint32_t n = 0; n < arguments; n++, at += strlen(at) + 1)
			list[n] = at;
		lists[count++] = list;
	}
	return count;
}

static void run(const char *program, char **list)
{
	static char *environment[] = {NULL};
	pid_t pid = vfork();

	if (pid < 0)
		err(1, "vfork");
	if (pid == 0) {
		execve(program, list, environment);
		_exit(127);
	}
	if (waitpid(pid, NULL, 0) < 0)
		err(1, "waitpid");
}

int main(int argc, char **argv)
{
	size_t count;

	if (argc != 4)
		errx(2, "usage: spawn_lists FILE N PROGRAM");
	count = read_lists(argv[1]);
	for (unsigned long n = 0; n < strtoul(argv[2], NULL, 10); n++)
		run(argv[3], lists[n % count]);
	return 0;
}
