// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define IPV4	   0x0800 /* include/uapi/linux/if_ether.h: ETH_P_IP */
#define UDP_BYTES  8	  /* RFC 768 */
#define DNS_HEADER 12	  /* RFC 1035, section 4.1.1 */
#define DNS_PORT   53

struct event {
	WEIGHT;
	char name[48];
};

/* raw tracepoint net_dev_queue(struct sk_buff *skb) */
PROGRAM(on_send)
{
	struct sk_buff *packet = (struct sk_buff *)ctx->args[0];
	unsigned char *datagram = READ(packet, head) + READ(packet, transport_header);
	struct event event = {};
	u16 ports[2] = {};

	bpf_probe_read_kernel(ports, sizeof(ports), datagram);
	if (READ(packet, protocol) != __builtin_bswap16(IPV4) || ports[1] != __builtin_bswap16(DNS_PORT))
		return 0;
	bpf_probe_read_kernel_str(event.name, sizeof(event.name), datagram + UDP_BYTES + DNS_HEADER);
	count_event(&event);
	return 0;
}
