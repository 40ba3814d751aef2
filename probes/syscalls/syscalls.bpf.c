// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

/* The native table has some 470 calls; calls_elsewhere counts numbers from NATIVE on. */
#define NATIVE 512

#define ENOSYS 38 /* include/uapi/asm-generic/errno.h */

struct failure {
	u32 syscall;
	u32 errno;
};

/* Calls at their return. Only on_return writes here, so a plain ++ of a preempted program loses nothing. */
BPF_PERCPU_ARRAY(calls, u64, NATIVE);
/*
 * Calls through the 32-bit table (some 470 more), numbers without a system call, and the calls of on_signal and
 * on_exit. All CPUs share the entries of this map and of `failures`: the size does not grow with the number of CPUs.
 */
BPF_HASH(calls_elsewhere, u32, u64, 1000);
/* A busy machine has some hundreds of pairs; 470 calls with six errnos each would fit. */
BPF_HASH(failures, struct failure, u64, 3072);

/* The last few pairs of each CPU; only on_return writes here. */
#define RECENT 16
BPF_PERCPU_ARRAY(failures_recent, struct recent_count, RECENT);

static __always_inline void count_call_elsewhere(u32 syscall)
{
	u64 zero = 0;

	add_to_count(calls_elsewhere.lookup_or_try_init(&syscall, &zero), 1);
}

static __always_inline void count_call(u32 syscall)
{
	u64 *count = calls.lookup(&syscall);

	if (count)
		++*count;
	else
		count_call_elsewhere(syscall);
}

/* Counts a failure in the map itself: a preempted on_return may be changing a slot of this CPU. */
static __always_inline void count_failure_elsewhere(struct failure failure)
{
	u64 zero = 0;

	add_to_count(failures.lookup_or_try_init(&failure, &zero), 1);
}

static __always_inline void count_failure(struct failure failure)
{
	u64 zero = 0, key = (u64)failure.errno << 32 | failure.syscall, *count;
	u32 place = recent_slot(key, RECENT);
	struct recent_count *slot = failures_recent.lookup(&place);
	struct failure former;

	if (!slot)
		return;
	if (!is_recent(slot, key)) {
		if (!failures.lookup_or_try_init(&failure, &zero)) {
			count_map_full();
			return;
		}
		former.syscall = slot->key;
		former.errno = slot->key >> 32;
		stop_recent(slot);
		count = failures.lookup(&former);
		if (count)
			lock_xadd(count, slot->count);
		start_recent(slot, key);
	}
	++slot->count;
}

static __always_inline bool ends_tasks(u32 syscall)
{
	switch (syscall) {
	case __NR_exit:
	case __NR_exit_group:
#ifdef PROBED_HAS_IA32
	case IA32 | __NR_ia32_exit:
	case IA32 | __NR_ia32_exit_group:
#endif
#ifdef __TARGET_ARCH_arm64
	case IA32 | 1: /* exit and exit_group in the table of 32-bit arm: arch/arm/tools/syscall.tbl */
	case IA32 | 248:
#endif
		return true;
	}
	return false;
}

/*
 * A call without a number is rt_sigreturn, with the result of the interrupted call; or a call that a tracer skips; or a
 * call with the number -1.
 */
static __always_inline void count_numberless(u32 errno)
{
	struct task_struct *task = current_task();

	if (errno != ENOSYS && !LOAD_OF_TASK(task, ptrace))
		count_call(__NR_rt_sigreturn);
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret) */
PROGRAM(on_return)
{
	u32 syscall = returning_syscall(ctx), errno = returned_errno(ctx);
	struct failure failure;

	if (syscall == (u32)-1) {
		count_numberless(errno);
		return 0;
	}
	if (ctx->args[1] == 0 && makes_tasks(syscall))
		return 0;
	/* An interrupted call counts at its end. With a restart block the kernel repeats the call as restart_syscall.
	 */
	if (is_restart(errno) && errno != ERESTART_RESTARTBLOCK)
		return 0;
	count_call(syscall);
	if (errno && errno != ERESTART_RESTARTBLOCK) {
		failure.syscall = syscall;
		failure.errno = errno;
		count_failure(failure);
	}
	return 0;
}

/* raw tracepoint signal_deliver(int sig, struct kernel_siginfo *info, struct k_sigaction *ka) */
PROGRAM(on_signal)
{
	u32 syscall = current_syscall();
	struct failure failure = {.syscall = syscall, .errno = EINTR};

	if (syscall == (u32)-1 || !ends_call(ctx))
		return 0;
	if ((u32)-LOAD_OF_REGISTERS(current_registers(), SYSCALL_RESULT) != ERESTART_RESTARTBLOCK)
		count_call_elsewhere(syscall);
	count_failure_elsewhere(failure);
	return 0;
}

/* raw tracepoint sched_process_exit(struct task_struct *p): a thread's last call does not return */
PROGRAM(on_exit)
{
	u32 syscall = current_syscall();

	if (ends_tasks(syscall))
		count_call_elsewhere(syscall);
	return 0;
}
