// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct owner {
	u64 cgroup;
};

struct program {
	char comm[16];
};

struct adjustment {
	u64 made_ns;
	s32 excess; /* of the score over that of 1000, at which a task is killed first */
	u32 padding;
};

/* Living tasks by the control group in which they were born. */
BPF_HASH(tasks, struct owner, s64, 1024);
/* Task id to that control group: a task that is older than the probe is not here, and its end counts nothing. */
BPF_HASH(born, u32, struct owner, 8192);
/* The latest adjustment of each program that runs. */
BPF_HASH(adjustments, struct program, struct adjustment, 64);

/* raw tracepoint sched_process_fork(struct task_struct *parent, struct task_struct *child) */
PROGRAM(on_fork)
{
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	struct owner owner = {.cgroup = current_cgroup()};
	u32 pid = READ(child, pid);
	s64 zero = 0, *living = tasks.lookup_or_try_init(&owner, &zero);

	if (!living || born.update(&pid, &owner)) {
		count_map_full();
		return 0;
	}
	lock_xadd(living, 1);
	return 0;
}

/* raw tracepoint sched_process_exit(struct task_struct *p) */
PROGRAM(on_exit)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct program program = {};
	struct owner *owner;
	u32 pid = READ(task, pid);
	s64 *living;

	READ_ARRAY(program.comm, task, comm);
	if (adjustments.lookup(&program))
		adjustments.delete(&program);
	owner = born.lookup(&pid);
	if (!owner)
		return 0;
	living = tasks.lookup(owner);
	if (living)
		lock_xadd(living, -1);
	born.delete(&pid);
	return 0;
}

/* raw tracepoint oom_score_adj_update(struct task_struct *task) */
PROGRAM(on_adjust)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct signal_struct *signal = READ(task, signal);
	struct adjustment adjustment = {.made_ns = bpf_ktime_get_ns(), .excess = READ(signal, oom_score_adj) - 1000};
	struct program program = {};

	READ_ARRAY(program.comm, task, comm);
	if (adjustments.update(&program, &adjustment))
		count_map_full();
	return 0;
}
