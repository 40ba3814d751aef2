/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every probe's C begins with: reading kernel memory, sending events, counting what could not be sent.
 *
 * The loader puts this text in front of the probe's own, so that it is part of the same source for BCC (which
 * rewrites map functions only there, and not inside macros: hence functions here). It also defines
 *   RING_PAGES	pages of the ring, when the declaration has one
 *   CPUS	how many CPUs this kernel may ever have
 *   PROBED_HAS_IA32	when the kernel runs 32-bit x86 programs
 *   PROBED_HAS_name	for helpers that not every kernel has: loader/pipeline.py lists them
 * and one #define for each __NR_name and __NR_ia32_name that the source uses.
 */
#ifndef PROBED_BPF_H
#define PROBED_BPF_H

#include <linux/types.h>

/*
 * One program: the declaration says which raw tracepoint it attaches to, ctx->args are the tracepoint's own. The loader
 * adds the function `name` that the kernel calls: this one, and a jump to the next probe's.
 */
#define PROGRAM(name) static __always_inline int program_##name(struct bpf_raw_tracepoint_args *ctx)

/* The value of pointer->member in kernel memory; 0 where it cannot be read. */
#define READ(pointer, member)                                                       \
	({                                                                          \
		__typeof__((pointer)->member) value_;                               \
		bpf_probe_read_kernel(&value_, sizeof(value_), &(pointer)->member); \
		value_;                                                             \
	})

/*
 * The same in one instruction, for what the verifier knows: pointers among the tracepoint's arguments, and what was
 * loaded from these. Members of 4 or 8 bytes. The assembly keeps BCC
 * from making a call of it.
 */
#define LOAD(pointer, member)                                                      \
	({                                                                         \
		u64 value_;                                                        \
		if (sizeof((pointer)->member) == 8)                                \
			LOAD_AT(u64, value_, pointer, OFFSET_OF(pointer, member)); \
		else                                                               \
			LOAD_AT(u32, value_, pointer, OFFSET_OF(pointer, member)); \
		(__typeof__((pointer)->member))value_;                             \
	})
#define LOAD_AT(type, value, pointer, offset) \
	asm volatile("%0 = *(" #type " *)(%1 + %2)" : "=r"(value) : "r"(pointer), "i"(offset))
#define OFFSET_OF(pointer, member) __builtin_offsetof(__typeof__(*(pointer)), member)

/*
 * The current task, and members of it and of what it leads to. The verifier knows what it is since Linux 5.11 (commit
 * 3ca1032ab7ab); before, every member is a read.
 */
#ifdef PROBED_HAS_GET_CURRENT_TASK_BTF
#define current_task()		      bpf_get_current_task_btf()
#define LOAD_OF_TASK(pointer, member) LOAD(pointer, member)
#else
#define current_task()		      ((struct task_struct *)bpf_get_current_task())
#define LOAD_OF_TASK(pointer, member) READ(pointer, member)
#endif

/* The same for arrays: into `destination`, an array of the event. */
#define READ_ARRAY(destination, pointer, member) \
	bpf_probe_read_kernel(&(destination), sizeof(destination), &(pointer)->member)

enum probed_stat { STAT_SENT, STAT_RING_FULL, STAT_MAP_FULL, STATS };

/*
 * Three counters a CPU, read by the exporter as the probe's sum of events. It holds STAT_SENT, counted after the record
 * is reserved and before it is submitted, against the ring. The addition is atomic: where a program can be preempted,
 * another one of the probe may count on the same CPU meanwhile.
 */
BPF_PERCPU_ARRAY(probed_stats, u64, STATS);

static __always_inline u64 probed_count(u32 stat)
{
	u64 *count = probed_stats.lookup(&stat);

	if (!count)
		return 0;
	lock_xadd(count, 1);
	return *count;
}

/* Call it for every count or note that a full map refused. */
static __always_inline void count_map_full(void)
{
	probed_count(STAT_MAP_FULL);
}

/*
 * A count that the hash NAME, whose key is one u64, is still to get: a slot of NAME_recent, a BPF_PERCPU_ARRAY, for
 * keys that come many times in a row, at a tenth of what a look-up in the hash costs. The reader reads the hash, then
 * the slots, word by word, while programs run. So every key is in the hash before it is in a slot, and whoever puts
 * another one there stops the slot before adding its count to the hash. probes/open_failures does it.
 */
struct recent_count {
	u64 started, key, count, stopped; /* how often it was; valid while they are equal, and `count` is not 0 */
};

#define WRITE(place, value) (*(volatile __typeof__(place) *)&(place) = (value))

static __always_inline bool is_recent(const struct recent_count *slot, u64 key)
{
	return slot->key == key && slot->count;
}

/* Begin: what the slot has may be added to the hash now. */
static __always_inline void stop_recent(struct recent_count *slot)
{
	WRITE(slot->stopped, slot->stopped + 1);
}

/* End: it has nothing of `key` as yet. */
static __always_inline void start_recent(struct recent_count *slot, u64 key)
{
	WRITE(slot->count, 0);
	WRITE(slot->key, key);
	WRITE(slot->started, slot->stopped);
}

/* Which of `slots` slots, a power of two, a key takes. */
static __always_inline u32 recent_slot(u64 key, u32 slots)
{
	return (u32)(key * 0x9e3779b97f4a7c15UL >> 32) & (slots - 1);
}

#ifdef RING_PAGES
BPF_RINGBUF_OUTPUT(events, RING_PAGES);

/* Room for one event, or NULL when the ring is full, which is counted. Every event that is reserved is submitted. */
static __always_inline void *reserve_event(u64 size)
{
	void *event = events.ringbuf_reserve(size);

	if (!event)
		probed_count(STAT_RING_FULL);
	return event;
}

/*
 * Bytes that wait in the ring, records that are not submitted yet included. BCC 0.26 has no method for the helper
 * bpf_ringbuf_query(), 134. Its method ringbuf_output() becomes a call of bpf_ringbuf_output() with the ring in front of
 * the method's arguments, and the macro makes that a call of the helper wanted. Flag 0 is BPF_RB_AVAIL_DATA.
 */
static u64 (*ringbuf_query)(void *ring, u64 flags) = (void *)134;
#define bpf_ringbuf_output(ring, data, size, flags) ringbuf_query(ring, flags)

static __always_inline u64 waiting_bytes(void)
{
	return events.ringbuf_output(NULL, 0, 0);
}

/*
 * The fill mark: a program wakes the reader when a quarter of the ring waits, and asks the ring only at every n-th event
 * of its CPU. n is a power of two, such that all CPUs together fill another quarter at most between two of their
 * questions. Below the mark the events wait for the next scrape.
 */
#define RING_BYTES	   (RING_PAGES * 4096UL)
#define RECORD_BYTES(size) (((size) + 15UL) & ~7UL)
#define ASK_EVENTS(size)   (RING_BYTES / RECORD_BYTES(size) / 4 / CPUS)
#define ASK_MASK(size)	   (ASK_EVENTS(size) ? (1UL << (63 - __builtin_clzl(ASK_EVENTS(size)))) - 1 : 0)

static __always_inline void submit_event_of(void *event, u64 size)
{
	u64 sent = probed_count(STAT_SENT), wake = BPF_RB_NO_WAKEUP;

	if (!(sent & ASK_MASK(size)) && waiting_bytes() >= RING_BYTES / 4)
		wake = BPF_RB_FORCE_WAKEUP;
	events.ringbuf_submit(event, wake);
}

/* Hand over a complete event: a pointer to its struct. */
#define submit_event(event) submit_event_of(event, sizeof(*(event)))
#endif

/*
 * Whose doing it is: the id of the current task's cgroup, for the decoders `cgroup_unit` and `pod_uid`; 0 for a kernel
 * thread. It is what bpf_get_current_cgroup_id() returns, without the call.
 */
#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */

static __always_inline u64 current_cgroup(void)
{
	struct task_struct *task = current_task();
	struct css_set *groups = LOAD_OF_TASK(task, cgroups);
	struct cgroup *cgroup = LOAD_OF_TASK(groups, dfl_cgrp);
	struct kernfs_node *node = LOAD_OF_TASK(cgroup, kn);

	return LOAD_OF_TASK(task, flags) & PF_KTHREAD ? 0 : LOAD_OF_TASK(node, id);
}

/* A task's comm, into 16 bytes of the event that begin at a multiple of 8. */
static __always_inline void comm_of(struct task_struct *task, void *destination)
{
#ifdef PROBED_HAS_GET_CURRENT_TASK_BTF
	u64 *halves = destination;

	LOAD_AT(u64, halves[0], task, OFFSET_OF(task, comm));
	LOAD_AT(u64, halves[1], task, OFFSET_OF(task, comm) + 8);
#else
	bpf_probe_read_kernel(destination, 16, &task->comm);
#endif
}

/* The name of the current process, which is its leader's: as execs and lifetimes have it, and so all can be joined. */
static __always_inline void current_comm(void *destination)
{
	struct task_struct *task = current_task();

	comm_of(LOAD_OF_TASK(task, group_leader), destination);
}

/* The name of the current thread, which it can give itself: prctl(PR_SET_NAME). */
static __always_inline void current_thread_comm(void *destination)
{
	comm_of(current_task(), destination);
}

/*
 * A system call as one number: the kernel's, with this bit for calls through the 32-bit table of x86, which numbers
 * them differently. The decoder `syscall` knows both.
 */
#define IA32 0x80000000U

#ifdef PROBED_HAS_IA32
#define TS_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h: 32-bit syscall active */

static __always_inline u32 ia32_bit(void)
{
	struct task_struct *task = current_task();

	return LOAD_OF_TASK(task, thread_info.status) & TS_COMPAT ? IA32 : 0;
}
#else
static __always_inline u32 ia32_bit(void)
{
	return 0;
}
#endif

/* The number of the system call that a task is in, in whichever table; 0xffffffff when it is in none. */
static __always_inline u32 number_of(struct pt_regs *regs)
{
#ifdef __TARGET_ARCH_arm64
	return LOAD(regs, syscallno);
#else
	return LOAD(regs, orig_ax);
#endif
}

/* Which system call the current task is in; 0xffffffff when in none (rt_sigreturn, a call that a tracer skipped). */
static __always_inline u32 syscall_of(struct pt_regs *regs)
{
	u32 number = number_of(regs);

	return number == (u32)-1 ? number : number | ia32_bit();
}

/* The registers that the current task had in user space, wherever it is in the kernel. */
#ifdef PROBED_HAS_TASK_PT_REGS
#define current_registers()		((struct pt_regs *)bpf_task_pt_regs(current_task()))
#define LOAD_OF_REGISTERS(regs, member) LOAD(regs, member)
#else
/* Before Linux 5.15: at the top of a stack of four pages. arch/x86/include/asm/processor.h: task_pt_regs() */
#define current_registers()		((struct pt_regs *)(READ(current_task(), stack) + 16384) - 1)
#define LOAD_OF_REGISTERS(regs, member) READ(regs, member)
#endif

/* The number of the system call that the current task is in, wherever it is in the kernel. */
static __always_inline u32 current_number(void)
{
	return LOAD_OF_REGISTERS(current_registers(), orig_ax);
}

/* The whole of it: for a call that does not return. */
static __always_inline u32 current_syscall(void)
{
	u32 number = current_number();

	return number == (u32)-1 ? number : number | ia32_bit();
}

/* At raw tracepoint sys_exit: which system call is returning, its number and the whole. */
static __always_inline u32 returning_number(struct bpf_raw_tracepoint_args *ctx)
{
	return number_of((struct pt_regs *)ctx->args[0]);
}

static __always_inline u32 returning_syscall(struct bpf_raw_tracepoint_args *ctx)
{
	return syscall_of((struct pt_regs *)ctx->args[0]);
}

/* fork and its kin: they return twice, in the child with 0, without a call of the child's. */
static __always_inline bool makes_tasks(u32 syscall)
{
	switch (syscall) {
#ifdef __NR_fork
	case __NR_fork:
	case __NR_vfork:
#endif
	case __NR_clone:
	case __NR_clone3:
#ifdef PROBED_HAS_IA32
	case IA32 | __NR_ia32_fork:
	case IA32 | __NR_ia32_vfork:
	case IA32 | __NR_ia32_clone:
	case IA32 | __NR_ia32_clone3:
#endif
		return true;
	}
	return false;
}

/* Linux include/linux/errno.h */
#define ERESTARTSYS	      512
#define ERESTARTNOINTR	      513
#define ERESTARTNOHAND	      514
#define ERESTART_RESTARTBLOCK 516

#define EINTR	   4	      /* include/uapi/asm-generic/errno-base.h */
#define SA_RESTART 0x10000000 /* arch/x86/include/uapi/asm/signal.h */

/* A call that returns this has not ended: a signal interrupted it, and the kernel starts it again or makes it EINTR. */
static __always_inline bool is_restart(u32 errno)
{
	return errno == ERESTARTSYS || errno == ERESTARTNOINTR || errno == ERESTARTNOHAND ||
	       errno == ERESTART_RESTARTBLOCK;
}

/*
 * At raw tracepoint signal_deliver(int sig, struct kernel_siginfo *info, struct k_sigaction *ka): does the handler make
 * the interrupted call return EINTR? Only the first one does: it changes the result.
 * Source: handle_signal() in Linux arch/x86/kernel/signal.c.
 */
static __always_inline bool ends_call(struct bpf_raw_tracepoint_args *ctx)
{
	struct k_sigaction *action = (struct k_sigaction *)ctx->args[2];
	u64 result = LOAD_OF_REGISTERS(current_registers(), ax), errno = -result;

	if ((u64)READ(action, sa.sa_handler) <= 1) /* SIG_DFL, SIG_IGN: no handler */
		return false;
	if (errno == ERESTARTSYS)
		return !(READ(action, sa.sa_flags) & SA_RESTART);
	return errno == ERESTARTNOHAND || errno == ERESTART_RESTARTBLOCK;
}

/* The errno of a returning system call, 0 for success. Linux include/linux/err.h: MAX_ERRNO is 4095. */
static __always_inline u32 returned_errno(struct bpf_raw_tracepoint_args *ctx)
{
	u64 result = ctx->args[1];

	return result >= (u64)-4095 ? (u32)-result : 0;
}

#endif
