// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define FIRST_EPHEMERAL 32768

BPF_HASH(drops, u16, u64, FIRST_EPHEMERAL);

/* raw tracepoint udp_fail_queue_rcv_skb(int rc, struct sock *sk, struct sk_buff *skb) */
PROGRAM(on_full_queue)
{
	struct sock *sk = (struct sock *)ctx->args[1];
	u64 zero = 0;
	u16 port = READ(sk, __sk_common.skc_num);

	if (port >= FIRST_EPHEMERAL)
		port = 0;
	add_to_count(drops.lookup_or_try_init(&port, &zero), 1);
	return 0;
}
