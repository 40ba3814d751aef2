// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct event {
	WEIGHT;
	u64 stack[14]; /* all words of a label set, with the name */
	char comm[16];
};

struct call_path {
	u64 stack[40];
	char comm[16];
};

BPF_HASH(paths, struct call_path, u64, 1024);

/* raw tracepoint task_rename(struct task_struct *task, const char *comm) */
PROGRAM(on_rename)
{
	struct event event = {};

	bpf_probe_read_kernel_str(event.comm, sizeof(event.comm), (void *)ctx->args[1]);
	READ_KERNEL_STACK(event.stack);
	count_event(&event);
	return 0;
}

/* the same */
PROGRAM(on_mapped_rename)
{
	struct call_path path = {};
	u64 zero = 0, *count;

	bpf_probe_read_kernel_str(path.comm, sizeof(path.comm), (void *)ctx->args[1]);
	READ_KERNEL_STACK(path.stack);
	count = paths.lookup_or_try_init(&path, &zero);
	if (count)
		lock_xadd(count, 1);
	else
		count_map_full();
	return 0;
}
