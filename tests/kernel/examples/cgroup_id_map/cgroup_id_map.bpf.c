// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct event {
	WEIGHT;
	u64 cgroup;
};

/* raw tracepoint sched_migrate_task(struct task_struct *p, int dest_cpu) */
PROGRAM(on_migration)
{
	struct event event = {};

	event.cgroup = cgroup_of((struct task_struct *)ctx->args[0]);
	count_event(&event);
	return 0;
}
