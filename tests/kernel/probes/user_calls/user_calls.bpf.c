// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

enum sum { SUM_CALLS, SUM_ARGUMENTS, SUM_RETURNS, SUM_RETURNED, SUM_STARTS, SUMS };

BPF_ARRAY(user_sums, u64, SUMS);

static __always_inline void add(u32 index, u64 number)
{
	u64 *sum = user_sums.lookup(&index);

	if (sum)
		lock_xadd(sum, number);
}

/* long double_of(long number) of the workload user_calls */
PROGRAM(on_call)
{
	add(SUM_CALLS, 1);
	add(SUM_ARGUMENTS, ctx->args[0]);
	return 0;
}

/* the same */
PROGRAM(on_return)
{
	add(SUM_RETURNS, 1);
	add(SUM_RETURNED, ctx->args[0]);
	return 0;
}

/* raw tracepoint sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
PROGRAM(on_exec)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];

	if (LOAD(task, tgid))
		add(SUM_STARTS, 1);
	return 0;
}
