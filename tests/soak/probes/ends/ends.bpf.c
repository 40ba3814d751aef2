// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct event {
	u64 lived_ns;
	char comm[16];
};

/* raw tracepoint sched_process_exit(struct task_struct *p) */
PROGRAM(on_exit)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct event *event;

	if (READ(task, pid) != READ(task, tgid)) /* a thread */
		return 0;
	event = reserve_event(sizeof(*event));
	if (!event)
		return 0;
	event->lived_ns = bpf_ktime_get_boot_ns() - READ(task, start_boottime);
	READ_ARRAY(event->comm, task, comm);
	submit_event(event);
	return 0;
}
