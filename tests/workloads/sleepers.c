// SPDX-License-Identifier: Apache-2.0
/*
 * sleepers N T: makes N processes of T threads each that sleep, and says when all are there. At each byte of its input
 * it ends one, and says so. All end with it. It calls itself parent, so only they have the program's name.
 */
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void *sleep_on(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void be(unsigned long threads, int born)
{
	pthread_t thread;

	while (--threads)
		if (pthread_create(&thread, NULL, sleep_on, NULL))
			errx(1, "thread");
	if (write(born, "b", 1) != 1)
		err(1, "write");
	sleep_on(NULL);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	unsigned long n, i;
	pid_t *pids;
	int born[2];
	char byte;

	if (argc != 3 || pipe(born))
		return 2;
	n = strtoul(argv[1], NULL, 10);
	pids = calloc(n, sizeof(*pids));
	for (i = 0; i < n; i++)
		if (!(pids[i] = fork()))
			be(strtoul(argv[2], NULL, 10), born[1]);
	prctl(PR_SET_NAME, "parent");
	for (i = 0; i < n; i++)
		if (read(born[0], &byte, 1) != 1)
			err(1, "read");
	setlinebuf(stdout);
	for (puts("born"); n && read(0, &byte, 1) == 1; puts("ended"))
		end(pids[--n]);
	while (n)
		end(pids[--n]);
	return 0;
}
