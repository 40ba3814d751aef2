// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct owner {
	u64 cgroup;
};

BPF_PERCPU_HASH(execs, struct owner, u64, 64);

/* raw tracepoint sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
PROGRAM(on_exec)
{
	struct owner owner = {.cgroup = current_cgroup()};
	u64 zero = 0;

	add_to_count(execs.lookup_or_try_init(&owner, &zero), 1);
	return 0;
}
