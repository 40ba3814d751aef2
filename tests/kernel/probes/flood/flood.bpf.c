// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define FLOOD 100019

struct event {
	char comm[16];
};

/* raw tracepoint sys_enter(struct pt_regs *regs, long id) */
PROGRAM(on_enter)
{
	struct event *event;

	if (ctx->args[1] != FLOOD)
		return 0;
	event = reserve_event(sizeof(*event));
	if (!event)
		return 0;
	bpf_get_current_comm(&event->comm, sizeof(event->comm));
	submit_event(event);
	return 0;
}
