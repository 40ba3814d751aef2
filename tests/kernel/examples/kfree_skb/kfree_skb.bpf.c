// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define ETH_P_IP    0x0800 /* include/uapi/linux/if_ether.h */
#define ETH_P_IPV6  0x86dd
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

struct event {
	WEIGHT;
	u16 eth_proto, ip_proto, port, pad;
	u32 reason;
	u32 padding;
};

static __always_inline u16 swapped(u16 value)
{
	return value << 8 | value >> 8;
}

/* raw tracepoint kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason, struct sock *rx_sk) */
PROGRAM(on_drop)
{
	struct sk_buff *skb = (struct sk_buff *)ctx->args[0];
	void *head = READ(skb, head), *network = head + READ(skb, network_header);
	struct udphdr *transport = head + READ(skb, transport_header);
	struct event event = {};
	u8 protocol = 0;
	u16 port = 0;

	event.eth_proto = swapped(READ(skb, protocol));
	if (event.eth_proto == ETH_P_IP)
		protocol = READ((struct iphdr *)network, protocol);
	else if (event.eth_proto == ETH_P_IPV6)
		protocol = READ((struct ipv6hdr *)network, nexthdr);
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
		port = READ(transport, dest);
	event.ip_proto = protocol;
	event.port = swapped(port);
	event.reason = ctx->args[2];
	count_event(&event);
	return 0;
}
