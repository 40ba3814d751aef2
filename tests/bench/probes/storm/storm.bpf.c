// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define STORM 1023 /* a number that no kernel has as a system call */

struct event {
	u64 cgroup;
	char comm[16];
	u32 set;
	u32 pad;
};

/* raw tracepoint sys_enter(struct pt_regs *regs, long id) */
PROGRAM(on_enter)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
	struct event *event;

	if (ctx->args[1] != STORM)
		return 0;
	event = reserve_event(sizeof(*event));
	if (!event)
		return 0;
	event->cgroup = current_cgroup();
	current_comm(event->comm);
	event->set = READ(regs, di);
	event->pad = 0;
	submit_event(event);
	return 0;
}
