// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct where {
	char comm[16];
	u64 address;
};

BPF_HASH(faults, struct where, u64, 4096);
BPF_PERCPU_ARRAY(ticks, u64, 1);

/* perf event page-faults */
PROGRAM(on_fault)
{
	struct where where = {};
	u64 zero = 0;

	bpf_get_current_comm(where.comm, sizeof(where.comm));
	/* "page_t": a workload of the tests */
	if (where.comm[0] != 'p' || where.comm[1] != 'a' || where.comm[2] != 'g' || where.comm[3] != 'e' ||
	    where.comm[4] != '_' || where.comm[5] != 't')
		return 0;
	where.address = ctx->args[0];
	add_to_count(faults.lookup_or_try_init(&where, &zero), 1);
	return 0;
}

/* perf event cpu-clock */
PROGRAM(on_tick)
{
	u32 index = 0;
	u64 *count = ticks.lookup(&index);

	if (count)
		++*count;
	return 0;
}
