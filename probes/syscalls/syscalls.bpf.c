// SPDX-License-Identifier: GPL-2.0
#include "probed.bpf.h"

/* The native table has some 470 calls today; a number past this goes to calls_elsewhere. */
#define NATIVE 1024

struct failure {
	u32 syscall;
	u32 errno;
};

BPF_PERCPU_ARRAY(calls, u64, NATIVE);
/* Calls through the 32-bit table (some 470 more) and numbers that no kernel has. */
BPF_PERCPU_HASH(calls_elsewhere, u32, u64, 2048);
/* Pairs seen on a busy machine are some hundreds; 470 calls with a dozen errnos each would still fit. */
BPF_PERCPU_HASH(failures, struct failure, u64, 8192);
/*
 * Set for good when a 32-bit call is seen. Asking whether a call is one costs 22 ns; only machines where 32-bit
 * programs run pay it on every call.
 */
BPF_ARRAY(ia32_seen, u32, 1);

static __always_inline void watch_for_ia32(u32 bit)
{
	u32 zero = 0, *seen;

	if (!bit)
		return;
	seen = ia32_seen.lookup(&zero);
	if (seen)
		*seen = 1;
}

static __always_inline u32 ia32_bit_if_seen(void)
{
	u32 zero = 0, *seen = ia32_seen.lookup(&zero);

	return seen && *seen ? ia32_bit() : 0;
}

/* raw tracepoint sys_enter(struct pt_regs *regs, long id) */
PROGRAM(on_enter)
{
	u32 syscall = (u32)ctx->args[1] | ia32_bit_if_seen();
	u64 zero = 0, *count;

	count = calls.lookup(&syscall);
	if (!count) {
		if (syscall == (u32)-1) /* a tracer skips this call */
			return 0;
		count = calls_elsewhere.lookup_or_try_init(&syscall, &zero);
	}
	if (count)
		++*count;
	else
		count_map_full();
	return 0;
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret) */
PROGRAM(on_return)
{
	struct failure failure = {.errno = returned_errno(ctx)};
	u64 zero = 0, *count;

	if (!failure.errno)
		return 0;
	failure.syscall = returning_syscall(ctx);
	if (failure.syscall == (u32)-1)
		return 0;
	watch_for_ia32(failure.syscall & IA32);
	count = failures.lookup_or_try_init(&failure, &zero);
	if (count)
		++*count;
	else
		count_map_full();
	return 0;
}

/* raw tracepoint sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
PROGRAM(on_exec)
{
	watch_for_ia32(ia32_bit());
	return 0;
}
