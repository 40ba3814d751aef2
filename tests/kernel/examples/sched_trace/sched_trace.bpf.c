// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

enum { WAKEUP, SWITCH, MIGRATE };

struct event {
	u64 time_ns;
	char comm[16];
	u32 pid, tid;
	u32 kind, state;
	u32 preempted, cpu;
};

static __always_inline int send(struct task_struct *task, u32 kind, u32 state, u32 preempted, u32 cpu)
{
	struct event *event;

	if (only_pid != ANY && READ(task, tgid) != only_pid)
		return 0;
	event = begin_record();
	if (!event)
		return 0;
	event->time_ns = bpf_ktime_get_boot_ns();
	READ_ARRAY(event->comm, task, comm);
	event->pid = READ(task, tgid);
	event->tid = READ(task, pid);
	event->kind = kind;
	event->state = state;
	event->preempted = preempted;
	event->cpu = cpu;
	send_record(event, sizeof(*event));
	return 0;
}

/* raw tracepoint sched_wakeup(struct task_struct *p) */
PROGRAM(on_wakeup)
{
	return send((struct task_struct *)ctx->args[0], WAKEUP, 0, 0, bpf_get_smp_processor_id());
}

/* raw tracepoint sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned prev_state) */
PROGRAM(on_switch)
{
	return send((struct task_struct *)ctx->args[1], SWITCH, ctx->args[3], ctx->args[0], bpf_get_smp_processor_id());
}

/* raw tracepoint sched_migrate_task(struct task_struct *p, int dest_cpu) */
PROGRAM(on_migration)
{
	return send((struct task_struct *)ctx->args[0], MIGRATE, 0, 0, ctx->args[1]);
}
