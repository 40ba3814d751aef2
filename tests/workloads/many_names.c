// SPDX-License-Identifier: Apache-2.0
/*
 * many_names COUNT PROGRAM PREFIX CGROUPS CGROUP: runs PROGRAM COUNT times, each time under another name, in cgroups
 * that come and go.
 *
 * Names, and so comms, are PREFIX and six digits, of symbolic links in the working directory. The cgroups are
 * CGROUP/PREFIX-NUMBER.service: each is made, gets its share of the processes from their fork on (CLONE_INTO_CGROUP),
 * and is removed with their names when they have ended. Needs Linux 5.7.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program, *prefix;

static void name_of(unsigned long number, char name[16])
{
	if (snprintf(name, 16, "%s%06lu", prefix, number) >= 16)
		errx(1, "%s%06lu is no comm: more than 15 characters", prefix, number);
}

static void start(int cgroup, unsigned long number)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup,
	};
	static char *environment[] = {NULL};
	char name[16], *argv[] = {name, NULL};
	long pid;

	name_of(number, name);
	if (symlink(program, name))
		err(1, "symlink %s", name);
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		err(1, "clone3");
	if (pid == 0) {
		execve(name, argv, environment);
		_exit(127);
	}
}

static void reap(void)
{
	int status;

	if (wait(&status) < 0)
		err(1, "wait");
	if (status)
		errx(1, "a process ended with wait status %#x", status);
}

/* Run the processes first ... end - 1 in a cgroup of their own. */
static void fill(const char *path, unsigned long first, unsigned long end)
{
	unsigned long n;
	char name[16];
	int cgroup;

	if (mkdir(path, 0755))
		err(1, "mkdir %s", path);
	cgroup = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		err(1, "open %s", path);
	for (n = first; n < end; n++)
		start(cgroup, n);
	for (n = first; n < end; n++)
		reap();
	for (n = first; n < end; n++) {
		name_of(n, name);
		if (unlink(name))
			err(1, "unlink %s", name);
	}
	close(cgroup);
	if (rmdir(path))
		err(1, "rmdir %s", path);
}

int main(int argc, char **argv)
{
	unsigned long count, cgroups, n;
	char path[4096];

	if (argc != 6)
		errx(2, "usage: many_names COUNT PROGRAM PREFIX CGROUPS CGROUP");
	count = strtoul(argv[1], NULL, 10);
	program = argv[2];
	prefix = argv[3];
	cgroups = strtoul(argv[4], NULL, 10);
	for (n = 0; n < cgroups; n++) {
		snprintf(path, sizeof(path), "%s/%s-%lu.service", argv[5], prefix, n);
		fill(path, n * count / cgroups, (n + 1) * count / cgroups);
	}
	return 0;
}
