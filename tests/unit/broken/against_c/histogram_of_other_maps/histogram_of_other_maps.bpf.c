// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

enum kind { KIND_EXEC, KIND_EXIT };
enum how { HOW_OK, HOW_ERROR };

struct event {
	u64 age_ns;
	char comm[16];
	u32 pid;
	u16 kind;
	u16 how;
};

BPF_PERCPU_ARRAY(calls, u64, 1024);
BPF_PERCPU_HASH(calls_elsewhere, u32, u64, 64);
BPF_ARRAY(seen, u32, 1);

struct negative {
	s32 bucket;
};

BPF_HASH(counted_ns, u32, u64, 64);
BPF_HASH(numbered_ns, u32, struct histogram_bucket, 64);
BPF_HASH(negative_ns, struct negative, struct histogram_bucket, 64);

static __always_inline int emit(u16 kind)
{
	u32 zero = 0, *seen_once = seen.lookup(&zero);
	u64 *count = calls.lookup(&zero), one = 1;
	struct event *event;

	if (!count || !seen_once)
		return 0;
	++*count;
	if (calls_elsewhere.update(&zero, &one))
		count_map_full();
	event = reserve_event(sizeof(*event));
	if (!event)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	bpf_get_current_comm(&event->comm, sizeof(event->comm));
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->kind = kind;
	submit_event(event);
	return 0;
}

/* raw tracepoint sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
PROGRAM(on_exec)
{
	return emit(KIND_EXEC);
}

/* raw tracepoint sched_process_exit(struct task_struct *p) */
PROGRAM(on_exit)
{
	return emit(KIND_EXIT);
}
