// SPDX-License-Identifier: GPL-2.0
#include "probed.bpf.h"

struct event {
	u64 cgroup;
	char comm[16];
};

/* raw tracepoint sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
PROGRAM(on_exec)
{
	struct event *event = reserve_event(sizeof(*event));

	if (!event)
		return 0;
	event->cgroup = current_cgroup();
	bpf_get_current_comm(&event->comm, sizeof(event->comm));
	submit_event(event);
	return 0;
}
