// SPDX-License-Identifier: Apache-2.0
/*
 * calls (CALL N)...: makes each CALL exactly N times. Exits 1 at the first that ends otherwise than it should.
 *
 * CALL is a name from the table, or a number that no kernel has as a system call.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct timespec interval;

static const struct call {
	const char *name;
	long number;
	long argument;
	int error; /* 0: succeeds */
} calls[] = {
	{"getppid", SYS_getppid, 0, 0},
	{"close", SYS_close, -1, EBADF},
	/* Hardly any program makes this call, so that its counts can be equal. */
	{"sched_rr_get_interval", SYS_sched_rr_get_interval, 0, 0},
	{"sched_rr_get_interval(-1)", SYS_sched_rr_get_interval, -1, EINVAL},
};

static struct call find(const char *name)
{
	struct call unknown = {name, atol(name), 0, ENOSYS};
	unsigned long i;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(name, calls[i].name))
			return calls[i];
	if (unknown.number <= 0)
		errx(2, "no such call: %s", name);
	return unknown;
}

static void make(struct call call, unsigned long n)
{
	for (; n; n--) {
		errno = 0;
		if ((syscall(call.number, call.argument, &interval) < 0) != (call.error != 0) || errno != call.error)
			err(1, "%s: expected errno %d", call.name, call.error);
	}
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i + 1 < argc; i += 2)
		make(find(argv[i]), strtoul(argv[i + 1], NULL, 10));
	return argc % 2 ? 0 : 2;
}
