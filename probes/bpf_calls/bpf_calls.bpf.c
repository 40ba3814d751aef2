// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct event {
	WEIGHT;
	u64 cgroup;
	char comm[16];
	u32 command;
	u16 errno;
	u8 failed;
	u8 pad;
};

/* The first argument of the returning bpf(2), of either table; -1 for another call. */
static __always_inline u64 command_of(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];

	switch (returning_syscall(ctx)) {
	case __NR_bpf:
		return LOAD(regs, ARGUMENT_1);
#ifdef PROBED_HAS_IA32
	case IA32 | __NR_ia32_bpf:
		return LOAD(regs, bx);
#endif
	}
	return -1;
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret) */
PROGRAM(on_return)
{
	u64 command = command_of(ctx);
	struct event event = {};

	if (command == (u64)-1)
		return 0;
	event.cgroup = current_cgroup();
	current_comm(event.comm);
	event.command = command;
	event.errno = returned_errno(ctx);
	event.failed = event.errno != 0;
	count_event(&event);
	return 0;
}
