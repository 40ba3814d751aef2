// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

enum sum {
	SUM_TWICE,
	SUM_NUMBERS,
	SUM_NEGATIVES,
	SUM_BEYOND,
	SUM_GUARDED,
	SUM_DOUBLES,
	SUM_SEVENS,
	SUM_THREE_HUNDREDS,
	SUM_ODD,
	SUM_ODD_NUMBERS,
	SUMS
};

BPF_ARRAY(mark_sums, u64, SUMS);

struct event {
	WEIGHT;
	u64 cgroup;
	u64 odd;
	char comm[16];
};

static __always_inline void add(u32 index, u64 number)
{
	u64 *sum = mark_sums.lookup(&index);

	if (sum)
		lock_xadd(sum, number);
}

/* known.twice(long number, int less) of the workload marks */
PROGRAM(on_twice)
{
	add(SUM_TWICE, 1);
	add(SUM_NUMBERS, ctx->args[0]);
	add(SUM_NEGATIVES, -ctx->args[1]);
	add(SUM_BEYOND, ctx->args[2] + ctx->args[11]);
	return 0;
}

/* known.guarded(long number, long twice) */
PROGRAM(on_guarded)
{
	add(SUM_GUARDED, 1);
	add(SUM_DOUBLES, ctx->args[1]);
	return 0;
}

/* known.constants(int minus_seven, unsigned short three_hundred) */
PROGRAM(on_constants)
{
	add(SUM_SEVENS, -ctx->args[0]);
	add(SUM_THREE_HUNDREDS, ctx->args[1]);
	return 0;
}

/* known.odd(long number, double) */
PROGRAM(on_odd)
{
	struct event event = {};

	add(SUM_ODD, 1);
	add(SUM_ODD_NUMBERS, ctx->args[0]);
	event.cgroup = current_cgroup();
	event.odd = ctx->args[0] & 1;
	current_comm(event.comm);
	count_event(&event);
	return 0;
}
