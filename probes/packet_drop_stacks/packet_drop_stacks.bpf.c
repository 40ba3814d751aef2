// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct event {
	WEIGHT;
	u64 stack[15];
	u32 reason;
	u32 pad;
};

/* raw tracepoint kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason, struct sock *rx_sk) */
PROGRAM(on_drop)
{
	struct event event = {};

	READ_KERNEL_STACK(event.stack);
	event.reason = ctx->args[2];
	count_event(&event);
	return 0;
}
