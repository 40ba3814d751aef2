// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define OBSERVE 100021

struct event {
	u64 value_ns;
	char comm[16];
};

/* raw tracepoint sys_enter(struct pt_regs *regs, long id) */
PROGRAM(on_enter)
{
	struct event *event;

	if (ctx->args[1] != OBSERVE)
		return 0;
	event = reserve_event(sizeof(*event));
	if (!event)
		return 0;
	event->value_ns = READ((struct pt_regs *)ctx->args[0], di);
	bpf_get_current_comm(&event->comm, sizeof(event->comm));
	submit_event(event);
	return 0;
}
