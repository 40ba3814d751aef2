// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

BPF_HASH(timer_starts, u64, u64, 1024);

/* raw tracepoint timer_start(struct timer_list *timer, unsigned long bucket_expiry) */
PROGRAM(on_start)
{
	struct timer_list *timer = (struct timer_list *)ctx->args[0];
	u64 function = (u64)LOAD(timer, function), zero = 0;

	add_to_count(timer_starts.lookup_or_try_init(&function, &zero), 1);
	return 0;
}
