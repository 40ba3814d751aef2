// SPDX-License-Identifier: Apache-2.0
/*
 * interrupted_open RESTARTED INTERRUPTED: opens a FIFO whose writer comes late, while signals arrive.
 *
 * A child sends one signal at a time, whenever the opener sleeps: first RESTARTED whose handler has SA_RESTART, then
 * INTERRUPTED whose handler has not. The opener calls open again after each EINTR, of which it must see INTERRUPTED.
 * Then the child opens the other end. Both are one process name. Works in the current directory, which must be its own.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile unsigned long *handled;

static void handle(int number)
{
	(void)number;
	++*handled;
}

static void on(int number, int flags)
{
	struct sigaction action = {.sa_handler = handle, .sa_flags = flags};

	sigaction(number, &action, NULL);
}

static char state_in(int stat)
{
	char text[512] = "";

	if (pread(stat, text, sizeof(text) - 1, 0) <= 0)
		err(1, "/proc/PID/stat");
	return strrchr(text, ')')[2];
}

static void send(pid_t opener, int stat, int number, unsigned long count)
{
	unsigned long before;

	for (; count; count--) {
		while (state_in(stat) != 'S')
			;
		before = *handled;
		kill(opener, number);
		while (*handled == before)
			;
	}
	while (state_in(stat) != 'S')
		;
}

int main(int argc, char **argv)
{
	pid_t opener = getpid();
	unsigned long expected, seen = 0;
	char path[64];
	int status, fifo;

	if (argc != 3)
		return 2;
	expected = strtoul(argv[2], NULL, 10);
	handled = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unlink("fifo");
	if (handled == MAP_FAILED || mkfifo("fifo", 0600))
		err(1, "fifo");
	on(SIGUSR1, SA_RESTART);
	on(SIGUSR2, 0);
	if (!fork()) {
		snprintf(path, sizeof(path), "/proc/%d/stat", opener);
		fifo = open(path, O_RDONLY);
		send(opener, fifo, SIGUSR1, strtoul(argv[1], NULL, 10));
		send(opener, fifo, SIGUSR2, expected);
		_exit(open("fifo", O_WRONLY) < 0);
	}
	while ((fifo = open("fifo", O_RDONLY)) < 0 && errno == EINTR)
		seen++;
	while (wait(&status) < 0)
		;
	return fifo < 0 || status || seen != expected;
}
