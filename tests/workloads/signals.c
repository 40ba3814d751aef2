// SPDX-License-Identifier: Apache-2.0
/* signals N M K: sends itself N signals with a handler, M that it ignores, and K more than one that it has blocked. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void handle(int signal)
{
	(void)signal;
}

static void send(int signal, const char *count)
{
	unsigned long n;

	for (n = strtoul(count, NULL, 10); n; n--)
		kill(getpid(), signal);
}

int main(int argc, char **argv)
{
	sigset_t blocked;

	if (argc != 4)
		return 2;
	signal(SIGUSR1, handle);
	signal(SIGUSR2, SIG_IGN);
	signal(SIGHUP, handle);
	send(SIGUSR1, argv[1]);
	send(SIGUSR2, argv[2]);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGHUP);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	kill(getpid(), SIGHUP);
	send(SIGHUP, argv[3]);
	return 0;
}
