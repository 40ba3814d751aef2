// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

/* Numbers that no kernel has as system calls. */
#define FIRST 100100
#define LAST  100199

/* No more than this: the test wants it full. */
BPF_HASH(calls, u32, u64, 8);

/* raw tracepoint sys_enter(struct pt_regs *regs, long id) */
PROGRAM(on_enter)
{
	u64 id = ctx->args[1], zero = 0, *count;
	u32 number = id;

	if (id < FIRST || id > LAST)
		return 0;
	count = calls.lookup_or_try_init(&number, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		count_map_full();
	return 0;
}
