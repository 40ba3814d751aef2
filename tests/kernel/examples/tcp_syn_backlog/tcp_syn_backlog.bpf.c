// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define TCP_LISTEN 10 /* include/net/tcp_states.h */

struct backlog {
	u32 port;
	u32 bucket;
};

BPF_HASH(backlogs, struct backlog, struct histogram_bucket, 8192);

/* raw tracepoint sk_data_ready(const struct sock *sk): of a listener, when a connection waits for accept(2) */
PROGRAM(on_data_ready)
{
	struct sock *sk = (struct sock *)ctx->args[0];
	struct histogram_bucket empty = {};
	struct backlog backlog = {};
	u32 waiting;

	if (READ(sk, __sk_common.skc_state) != TCP_LISTEN)
		return 0;
	waiting = LOAD(sk, sk_ack_backlog);
	backlog.port = READ(sk, __sk_common.skc_num);
	backlog.bucket = LINEAR_BUCKET(backlogs, waiting);
	count_in_bucket(backlogs.lookup_or_try_init(&backlog, &empty), waiting);
	return 0;
}
