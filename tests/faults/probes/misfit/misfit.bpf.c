// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define EVENT	    100201
#define SHORT_EVENT 100202
#define LONG_EVENT  100203

struct event {
	char comm[16];
};

struct longer {
	char comm[16];
	u64 more;
};

/* raw tracepoint sys_enter(struct pt_regs *regs, long id): what a probe must not do, another size in the same ring */
PROGRAM(on_enter)
{
	u64 id = ctx->args[1], shorter = 0;
	struct longer longer = {};
	struct event *event;

	if (id == SHORT_EVENT)
		events.ringbuf_output(&shorter, sizeof(shorter), 0);
	if (id == LONG_EVENT)
		events.ringbuf_output(&longer, sizeof(longer), 0);
	if (id != EVENT)
		return 0;
	event = reserve_event(sizeof(*event));
	if (!event)
		return 0;
	bpf_get_current_comm(&event->comm, sizeof(event->comm));
	submit_event(event);
	return 0;
}
