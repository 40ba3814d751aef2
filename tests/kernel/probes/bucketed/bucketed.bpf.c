// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define OBSERVE 100021

struct program {
	char comm[16];
	u32 bucket;
	u32 padding;
};

struct size {
	u32 bucket;
};

BPF_HASH(argument_ns, struct program, struct histogram_bucket, 1024);
BPF_PERCPU_HASH(argument_bytes, struct size, struct histogram_bucket, 256);

/* raw tracepoint sys_enter(struct pt_regs *regs, long id) */
PROGRAM(on_enter)
{
	struct histogram_bucket empty = {};
	struct program program = {};
	struct size size = {};
	u64 value;

	if (ctx->args[1] != OBSERVE)
		return 0;
	value = LOAD((struct pt_regs *)ctx->args[0], ARGUMENT_1);
	current_thread_comm(program.comm);
	program.bucket = LOG2_BUCKET(argument_ns, value);
	count_in_bucket(argument_ns.lookup_or_try_init(&program, &empty), value);
	size.bucket = LINEAR_BUCKET(argument_bytes, value);
	count_in_bucket(argument_bytes.lookup_or_try_init(&size, &empty), value);
	return 0;
}
