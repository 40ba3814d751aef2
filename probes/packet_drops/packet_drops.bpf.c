// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

/* include/uapi/linux/if_ether.h */
enum protocol {
	PROTOCOL_NONE = 0,
	PROTOCOL_IPV4 = 0x0800,
	PROTOCOL_ARP = 0x0806,
	PROTOCOL_VLAN = 0x8100,
	PROTOCOL_IPV6 = 0x86DD,
	PROTOCOL_LLDP = 0x88CC
};

struct event {
	WEIGHT;
	u64 location;
	u32 reason;
	u16 protocol;
	u16 pad;
};

/* raw tracepoint kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason, struct sock *rx_sk) */
PROGRAM(on_drop)
{
	struct sk_buff *packet = (struct sk_buff *)ctx->args[0];
	struct event event = {};

	event.location = ctx->args[1];
	event.reason = ctx->args[2];
	event.protocol = __builtin_bswap16(READ(packet, protocol));
	count_event(&event);
	return 0;
}
