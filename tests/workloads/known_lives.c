// SPDX-License-Identifier: Apache-2.0
/*
 * known_lives N LEAST_US GROWTH: N processes without exec, some at once. The first lives for LEAST_US, each further one
 * for GROWTH times as long.
 *
 * Prints one line "LEAST MOST" for each process, then waits for the end of its standard input. The two numbers are
 * bounds of the lifetime, from fork to end, in nanoseconds: the time between the child's own first and last reading of
 * the clock, and the time between the parent's readings before the fork and after waitpid.
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE 24

struct life {
	double us;
	unsigned long least, most;
};

static struct life *lives;
static unsigned long count;
static atomic_ulong next;

static unsigned long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ul + time.tv_nsec;
}

static void live(struct life *life)
{
	unsigned long first = now(), until = first + life->us * 1000;
	struct timespec end = {until / 1000000000ul, until % 1000000000ul};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL))
		;
	life->least = now() - first;
	_exit(0);
}

static void *parent(void *unused)
{
	unsigned long n, before;
	pid_t pid;

	while ((n = atomic_fetch_add(&next, 1)) < count) {
		before = now();
		pid = fork();
		if (pid < 0)
			err(1, "fork");
		if (pid == 0)
			live(&lives[n]);
		if (waitpid(pid, NULL, 0) < 0)
			err(1, "waitpid");
		lives[n].most = now() - before;
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t threads[AT_ONCE];
	double us, growth;
	unsigned long n;
	char byte;

	if (argc != 4)
		errx(2, "usage: known_lives N LEAST_US GROWTH");
	count = strtoul(argv[1], NULL, 10);
	us = strtod(argv[2], NULL);
	growth = strtod(argv[3], NULL);
	lives = mmap(NULL, count * sizeof(*lives), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (lives == MAP_FAILED)
		err(1, "mmap");
	for (n = 0; n < count; n++, us *= growth)
		lives[n].us = us;
	for (n = 0; n < AT_ONCE; n++)
		if (pthread_create(&threads[n], NULL, parent, NULL))
			errx(1, "pthread_create");
	for (n = 0; n < AT_ONCE; n++)
		pthread_join(threads[n], NULL);
	for (n = 0; n < count; n++)
		printf("%lu %lu\n", lives[n].least, lives[n].most);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
