// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct event {
	WEIGHT;
	u64 cgroup;
	u64 wait_ns;
};

/* Thread id to the boot-clock time at which the thread began to wait for a CPU; 1.3 MB. */
BPF_HASH(waiting, u32, u64, 16384);

static __always_inline void begin_wait(struct task_struct *task)
{
	u32 pid = READ(task, pid);
	u64 now = bpf_ktime_get_boot_ns();

	if (pid && waiting.update(&pid, &now))
		count_note_lost();
}

/* raw tracepoint sched_wakeup(struct task_struct *p) */
PROGRAM(on_wakeup)
{
	begin_wait((struct task_struct *)ctx->args[0]);
	return 0;
}

/* raw tracepoint sched_wakeup_new(struct task_struct *p) */
PROGRAM(on_new)
{
	begin_wait((struct task_struct *)ctx->args[0]);
	return 0;
}

/*
 * A thread that leaves the CPU still queued begins to wait. Since Linux 6.12 (commit 152e11f6df29) a sleeping thread
 * may stay queued for a while; the wake-up then begins the wait anew.
 */
/* raw tracepoint sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next), and later prev_state
 */
PROGRAM(on_switch)
{
	struct task_struct *prev = (struct task_struct *)ctx->args[1], *next = (struct task_struct *)ctx->args[2];
	u32 pid = READ(next, pid);
	struct event event = {};
	u64 *start;

	if (READ(prev, on_rq))
		begin_wait(prev);
	start = waiting.lookup(&pid);
	if (!start)
		return 0;
	event.cgroup = cgroup_of(next);
	event.wait_ns = bpf_ktime_get_boot_ns() - *start;
	waiting.delete(&pid);
	observe_event(&event, wait_ns);
	return 0;
}
