// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct who {
	char comm[16];
};

BPF_PERCPU_HASH(wakeups, struct who, u64, 4096);

/* raw tracepoint sched_wakeup(struct task_struct *p) */
PROGRAM(on_wakeup)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct who who = {};
	u64 zero = 0;

	READ_ARRAY(who.comm, task, comm);
	add_to_count(wakeups.lookup_or_try_init(&who, &zero), 1);
	return 0;
}
