// SPDX-License-Identifier: Apache-2.0
/*
 * timed CALL N ROUNDS [PROGRAM]: makes N calls, ROUNDS times over, and prints what one call took in each round, in
 * nanoseconds, one number a line. CALL is
 *   getppid	a system call that does nothing
 *   failing	an open of a path that is not there
 *   opening	an open of /dev/null, and its close
 *   spawn	vfork and execve of PROGRAM, and the wait for its end
 *
 * It stays on the last CPU, and so do its children: what moves between CPUs takes now longer and now shorter.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char **program;

static void getppid_once(void)
{
	syscall(SYS_getppid);
}

static void open_and_fail(void)
{
	syscall(SYS_openat, AT_FDCWD, "/absent/file", O_RDONLY);
}

static void open_and_close(void)
{
	syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY));
}

static void spawn(void)
{
	static char *environment[] = {NULL};
	pid_t pid = vfork();
	int status;

	if (pid == 0) {
		execve(program[0], program, environment);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
		err(1, "spawning %s", program[0]);
}

static const struct {
	const char *name;
	void (*once)(void);
} calls[] = {
	{"getppid", getppid_once},
	{"failing", open_and_fail},
	{"opening", open_and_close},
	{"spawn", spawn},
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static double one_round(void (*once)(void), long n)
{
	double start = now();
	long i;

	for (i = 0; i < n; i++)
		once();
	return (now() - start) / n;
}

static void stay_on_last_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "sched_setaffinity");
}

int main(int argc, char **argv)
{
	unsigned long i;
	long round;

	if (argc < 4)
		errx(2, "usage: timed CALL N ROUNDS [PROGRAM]");
	program = argv + 4;
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(argv[1], calls[i].name))
			break;
	if (i == sizeof(calls) / sizeof(calls[0]) || (calls[i].once == spawn && argc < 5))
		errx(2, "no such call, or no program to spawn: %s", argv[1]);
	stay_on_last_cpu();
	for (round = 0; round < atol(argv[3]); round++)
		printf("%.1f\n", one_round(calls[i].once, atol(argv[2])));
	return 0;
}
