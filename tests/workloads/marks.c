// SPDX-License-Identifier: Apache-2.0
/*
 * marks N: reaches USDT probes, each N times with the numbers from 0, and prints how often it reached `guarded`.
 * Without N it does so for each number of times that it reads.
 *
 *   known.twice	two places, with the number in a register and on the stack, and its negative in 4 bytes
 *   known.guarded	behind a semaphore, with the number and its double as the element of an array
 *   known.constants	-7 in 4 bytes, and 300 in 2 bytes
 *   known.odd		an argument in a vector register, behind the number
 *
 * A note is written as sys/sdt.h does, which need not be installed:
 * https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation
 */
#include <stdio.h>
#include <stdlib.h>

#define MARK(name, semaphore, arguments, ...)                                                    \
	__asm__ volatile("990:	nop\n"                                                            \
			 ".pushsection .note.stapsdt,\"\",\"note\"\n"                            \
			 ".balign 4\n"                                                           \
			 ".4byte 992f-991f, 994f-993f, 3\n"                                      \
			 "991: .asciz \"stapsdt\"\n"                                             \
			 "992: .balign 4\n"                                                      \
			 "993: .8byte 990b, _.stapsdt.base, " semaphore "\n"                     \
			 ".asciz \"known\"\n.asciz \"" name "\"\n.asciz \"" arguments "\"\n"     \
			 "994: .balign 4\n"                                                      \
			 ".popsection\n"                                                         \
			 ".ifndef _.stapsdt.base\n"                                              \
			 ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
			 ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n"                        \
			 "_.stapsdt.base: .space 1\n.size _.stapsdt.base, 1\n"                   \
			 ".popsection\n.endif\n"                                                 \
			 :                                                                       \
			 : __VA_ARGS__                                                           \
			 : "memory")

__attribute__((section(".probes"), used)) volatile unsigned short guard = 0;

static long reach(long times)
{
	long on = 0;

	for (long number = 0; number < times; number++) {
		volatile long stored = number;
		long doubles[] = {0, 2 * number};

		MARK("twice", "0", "8@%[number] -4@%[less]", [number] "r"(number), [less] "r"(-(int)number));
		MARK("twice", "0", "8@%[number] -4@%[less]", [number] "m"(stored), [less] "r"(-(int)number));
		if (guard) {
			on++;
			MARK("guarded", "guard", "8@%[number] 8@(%[array],%[index],8)", [number] "r"(number),
			     [array] "r"(doubles), [index] "r"(1L), "m"(doubles));
		}
		MARK("constants", "0", "-4@%[less] 2@%[more]", [less] "i"(-7), [more] "i"(300));
		MARK("odd", "0", "8@%[number] 8f@%%xmm0", [number] "r"(number));
	}
	return on;
}

int main(int argc, char **argv)
{
	long times;

	if (argc > 1) {
		printf("%ld\n", reach(atol(argv[1])));
		return 0;
	}
	while (scanf("%ld", &times) == 1) {
		printf("%ld\n", reach(times));
		fflush(stdout);
	}
	return 0;
}
