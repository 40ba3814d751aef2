// SPDX-License-Identifier: Apache-2.0
/* user_calls N: N calls of a function of this program, with the numbers from 0, which returns the double of each. */
#include <stdlib.h>

__attribute__((noinline)) long double_of(long number)
{
	__asm__ volatile("" ::: "memory");
	return 2 * number;
}

int main(int argc, char **argv)
{
	long times = argc > 1 ? atol(argv[1]) : 0;

	for (long number = 0; number < times; number++)
		if (double_of(number) != 2 * number)
			return 1;
	return 0;
}
