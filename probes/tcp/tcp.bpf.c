// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define IPPROTO_TCP 6 /* include/uapi/linux/in.h */

enum kind { KIND_CONNECT, KIND_CONNECT_FAILURE, KIND_ACCEPT, KIND_RETRANSMIT, KIND_RESET_SENT, KIND_RESET_RECEIVED };
/* include/net/tcp_states.h */
enum connection_state {
	STATE_ESTABLISHED = 1,
	STATE_SYN_SENT,
	STATE_SYN_RECV,
	STATE_FIN_WAIT1,
	STATE_FIN_WAIT2,
	STATE_TIME_WAIT,
	STATE_CLOSE,
	STATE_CLOSE_WAIT,
	STATE_LAST_ACK,
	STATE_LISTEN,
	STATE_CLOSING,
	STATE_NEW_SYN_RECV
};

struct event {
	WEIGHT;
	u64 cgroup;
	u64 latency_ns;
	u32 error;
	u8 kind;
	u8 state;
	u16 pad;
};

/* Address of a socket that connects, to the boot-clock time of its first SYN; 1.3 MB. */
BPF_HASH(connecting, u64, u64, 16384);

static __always_inline u8 state_of(struct sock *sk)
{
	return READ(sk, __sk_common.skc_state);
}

/*
 * The cgroup that made the socket; an accepted socket has the one of its listener. 0 without a socket, and for the
 * smaller structs that stand for a socket in TIME_WAIT and NEW_SYN_RECV.
 */
static __always_inline u64 cgroup_of_socket(struct sock *sk)
{
	struct cgroup *cgroup;
	struct kernfs_node *node;
	u8 state;

	if (!sk)
		return 0;
	state = state_of(sk);
	if (state == STATE_TIME_WAIT || state == STATE_NEW_SYN_RECV)
		return 0;
	cgroup = READ(sk, sk_cgrp_data.cgroup);
	node = READ(cgroup, kn);
	return READ(node, id);
}

static __always_inline void count(struct sock *sk, u8 kind, u8 state, u32 error)
{
	struct event event = {};

	event.cgroup = cgroup_of_socket(sk);
	event.kind = kind;
	event.state = state;
	event.error = error;
	count_event(&event);
}

static __always_inline void end_connect(struct sock *sk, u64 address, bool connected)
{
	u64 *found = connecting.lookup(&address), start;
	struct event event = {};

	if (!found)
		return;
	start = *found;
	connecting.delete(&address);
	if (!connected) {
		count(sk, KIND_CONNECT_FAILURE, 0, READ(sk, sk_err));
		return;
	}
	event.cgroup = cgroup_of_socket(sk);
	event.kind = KIND_CONNECT;
	event.latency_ns = bpf_ktime_get_boot_ns() - start;
	observe_event(&event, latency_ns);
}

/* raw tracepoint inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate) */
PROGRAM(on_state)
{
	struct sock *sk = (struct sock *)ctx->args[0];
	u64 address = ctx->args[0], now;
	u32 from = ctx->args[1], to = ctx->args[2];

	if (READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (to == STATE_SYN_SENT) {
		now = bpf_ktime_get_boot_ns();
		if (connecting.update(&address, &now))
			count_note_lost();
	} else if (from == STATE_SYN_SENT) {
		end_connect(sk, address, to == STATE_ESTABLISHED);
	} else if (from == STATE_SYN_RECV && to == STATE_ESTABLISHED) {
		count(sk, KIND_ACCEPT, 0, 0);
	}
	return 0;
}

/* raw tracepoint tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb), and later more */
PROGRAM(on_retransmit)
{
	struct sock *sk = (struct sock *)ctx->args[0];

	count(sk, KIND_RETRANSMIT, state_of(sk), 0);
	return 0;
}

/* raw tracepoint tcp_retransmit_synack(const struct sock *sk, const struct request_sock *req): sk is the listener */
PROGRAM(on_retransmit_synack)
{
	count((struct sock *)ctx->args[0], KIND_RETRANSMIT, STATE_SYN_RECV, 0);
	return 0;
}

/* raw tracepoint tcp_send_reset(const struct sock *sk, const struct sk_buff *skb), and later more; sk may be NULL */
PROGRAM(on_send_reset)
{
	count((struct sock *)ctx->args[0], KIND_RESET_SENT, 0, 0);
	return 0;
}

/* raw tracepoint tcp_receive_reset(struct sock *sk) */
PROGRAM(on_receive_reset)
{
	count((struct sock *)ctx->args[0], KIND_RESET_RECEIVED, 0, 0);
	return 0;
}
