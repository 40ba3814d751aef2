// SPDX-License-Identifier: Apache-2.0
/*
 * int80 (CALL N)...: a 64-bit program that makes calls through the 32-bit table of x86, where numbers mean other calls.
 *
 * CALL is a name from the table below. Exits 1 at the first that ends otherwise than it should, 77 where the kernel
 * has no 32-bit table or the machine is no x86-64.
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
static const struct call {
	const char *name;
	int number; /* arch/x86/entry/syscalls/syscall_32.tbl */
	long argument;
	int error; /* 0: succeeds */
} calls[] = {
	{"getppid", 64, 0, 0},			   /* semget in the 64-bit table */
	{"open", 5, 0, EFAULT},			   /* fstat in the 64-bit table */
	{"sched_rr_get_interval", 161, 0, EFAULT}, /* chroot in the 64-bit table */
};

static void no_table(int number)
{
	(void)number;
	_exit(77);
}

static int int80(int number, long argument)
{
	int result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(argument), "c"(0), "d"(0)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static void make(const char *name, unsigned long n)
{
	const struct call *call = calls;
	int result;

	while (strcmp(name, call->name))
		if (++call == calls + sizeof(calls) / sizeof(calls[0]))
			errx(2, "no such call: %s", name);
	for (; n; n--) {
		result = int80(call->number, call->argument);
		if (result == -ENOSYS)
			_exit(77);
		if (call->error ? result != -call->error : result < 0)
			errx(1, "%s: returned %d", name, result);
	}
}

int main(int argc, char **argv)
{
	int i;

	signal(SIGSEGV, no_table);
	for (i = 1; i + 1 < argc; i += 2)
		make(argv[i], strtoul(argv[i + 1], NULL, 10));
	return argc % 2 ? 0 : 2;
}
#else
int main(void)
{
	return 77;
}
#endif
