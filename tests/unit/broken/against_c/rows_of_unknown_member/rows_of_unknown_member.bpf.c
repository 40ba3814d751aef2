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

struct row {
	u64 cgroup;
	char comm[16];
	s32 excess;
	u32 kind;
};

BPF_PERCPU_ARRAY(calls, u64, 1024);
BPF_PERCPU_HASH(calls_elsewhere, u32, u64, 64);
BPF_ARRAY(seen, u32, 1);
BPF_HASH(depth, u32, s64, 64);

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

/* iterator task(struct bpf_iter_meta *meta, struct task_struct *task) */
PROGRAM(each_task)
{
	struct row row = {};

	emit_row(ctx, &row);
	return 0;
}
