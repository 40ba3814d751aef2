// SPDX-License-Identifier: Apache-2.0
/* observes: calls the system call 100021, which no kernel has, with each number on its standard input. */
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>

#define OBSERVE 100021

int main(void)
{
	unsigned long number;

	while (scanf("%lu", &number) == 1)
		syscall(OBSERVE, number);
	return 0;
}
