// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

enum origin { ORIGIN_USER, ORIGIN_KERNEL };
/* include/trace/events/signal.h: TRACE_SIGNAL_DELIVERED and following */
enum result { RESULT_DELIVERED, RESULT_IGNORED, RESULT_ALREADY_PENDING, RESULT_OVERFLOW_FAIL, RESULT_LOSE_INFO };

struct event {
	WEIGHT;
	u64 cgroup;
	char comm[16];
	char target[16];
	u32 signal;
	u8 result;
	u8 origin;
	u16 pad;
};

/*
 * A signal is from user space if si_code is not positive; instead of a pointer, 0 stands for a call of a process, and 1
 * for the kernel. Source: SI_FROMUSER and SEND_SIG_PRIV in Linux include/uapi/asm-generic/siginfo.h, linux/signal.h.
 */
static __always_inline u8 origin_of(struct kernel_siginfo *info, u64 address)
{
	u32 origin = ORIGIN_USER;

	if (address > 1)
		return READ(info, si_code) > 0 ? ORIGIN_KERNEL : ORIGIN_USER;
	/* Otherwise clang 19 stores the address, 0 or 1, itself: the verifier refuses to store a part of a pointer. */
	FORGET(origin);
	if (address)
		origin = ORIGIN_KERNEL;
	return origin;
}

/*
 * raw tracepoint signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)
 */
PROGRAM(on_signal)
{
	struct task_struct *task = (struct task_struct *)ctx->args[2];
	struct event event = {};

	event.cgroup = current_cgroup();
	current_comm(event.comm);
	task = READ(task, group_leader);
	READ_ARRAY(event.target, task, comm);
	event.signal = ctx->args[0];
	event.result = ctx->args[4];
	event.origin = origin_of((struct kernel_siginfo *)ctx->args[1], ctx->args[1]);
	count_event(&event);
	return 0;
}
