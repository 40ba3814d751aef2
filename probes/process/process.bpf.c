// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define SIGNAL_GROUP_EXIT 0x00000004 /* include/linux/sched/signal.h: group exit in progress */

enum kind { KIND_FORK, KIND_FORK_FAILURE, KIND_THREAD, KIND_EXEC, KIND_EXEC_FAILURE, KIND_EXIT };
enum exit_kind { EXIT_OK, EXIT_ERROR, EXIT_SIGNAL, EXIT_CORE };

struct event {
	WEIGHT;
	u64 cgroup;
	u64 lifetime_ns; /* KIND_EXIT */
	char comm[16];
	char parent[16];      /* KIND_EXEC */
	char thread_comm[16]; /* KIND_EXEC_FAILURE, KIND_FORK_FAILURE */
	u32 errno;	      /* KIND_EXEC_FAILURE, KIND_FORK_FAILURE */
	u8 kind;
	u8 exit;    /* KIND_EXIT */
	u16 signal; /* KIND_EXIT: the signal that ended the process, or 0 */
};

/* Thread group id to the boot-clock time of the last exec: one for each 2 MiB of the machine's memory. */
BPF_HASH_ON_DEMAND(last_exec, u32, u64, PROCESSES / 16);
/*
 * Thread group id to start_boottime, for processes that ended with several threads and are not yet reaped. The first
 * thread that inserts an entry reports the end. There is seldom an entry, and without one no program looks for one.
 */
BPF_HASH_ON_DEMAND(ended, u32, u64, PROCESSES / 64);
BPF_ARRAY(ended_entries, u64, 1);

/*
 * In front of last_exec, which is too large for the caches of a processor: a slot for thread group ids that are equal
 * modulo EXEC_SLOTS. A process that finds the slot free keeps its time of exec there until its end. A process that
 * finds the slot in use has its time in last_exec.
 */
#define EXEC_SLOTS 4096

struct exec_slot {
	u64 owner; /* thread group id << 32, plus 1 for it and for each program that tries to take the slot */
	u64 time;
	u64 in_last_exec; /* entries of these ids there: without one no program looks for one */
};

BPF_ARRAY(exec_slots, struct exec_slot, EXEC_SLOTS);

static __always_inline struct exec_slot *exec_slot_of(u32 tgid)
{
	u32 place = tgid & (EXEC_SLOTS - 1);

	return exec_slots.lookup(&place);
}

static __always_inline bool owns(struct exec_slot *slot, u32 tgid)
{
	return *(volatile u64 *)&slot->owner >> 32 == tgid;
}

/* Takes a free slot. Of two programs that try at once, both may get false. */
static __always_inline bool take_exec_slot(struct exec_slot *slot, u32 tgid)
{
	lock_xadd(&slot->owner, 1);
	if (*(volatile u64 *)&slot->owner == 1) {
		lock_xadd(&slot->owner, (u64)tgid << 32);
		return true;
	}
	lock_xadd(&slot->owner, -1);
	return false;
}

static __always_inline void leave_exec_slot(struct exec_slot *slot, u32 tgid)
{
	lock_xadd(&slot->owner, -((u64)tgid << 32 | 1));
}

static __always_inline void note_exec(u32 tgid, u64 now)
{
	struct exec_slot *slot = exec_slot_of(tgid);
	u64 *noted;

	if (!slot)
		return;
	noted = slot->in_last_exec ? last_exec.lookup(&tgid) : NULL;
	if (noted) {
		*noted = now;
	} else if (owns(slot, tgid) || take_exec_slot(slot, tgid)) {
		WRITE(slot->time, now);
	} else {
		lock_xadd(&slot->in_last_exec, 1);
		if (!last_exec.update(&tgid, &now))
			return;
		lock_xadd(&slot->in_last_exec, -1);
		count_note_lost();
	}
}

/* raw tracepoint sched_process_fork(struct task_struct *parent, struct task_struct *child) */
PROGRAM(on_fork)
{
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	struct event event = {};

	event.kind = LOAD(child, pid) == LOAD(child, tgid) ? KIND_FORK : KIND_THREAD;
	event.cgroup = current_cgroup();
	count_event(&event);
	return 0;
}

/* raw tracepoint sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
PROGRAM(on_exec)
{
	struct task_struct *task = current_task(), *parent = LOAD_OF_TASK(task, real_parent);
	struct event event = {};
	u32 tgid = LOAD_OF_TASK(task, tgid);

	note_exec(tgid, bpf_ktime_get_boot_ns());
	event.kind = KIND_EXEC;
	event.cgroup = current_cgroup();
	load_comm(task, event.comm);
	load_comm(LOAD_OF_TASK(parent, group_leader), event.parent);
	count_event(&event);
	return 0;
}

static __always_inline bool is_exec(u32 syscall)
{
	switch (syscall) {
	case __NR_execve:
	case __NR_execveat:
#ifdef PROBED_HAS_IA32
	case IA32 | __NR_ia32_execve:
	case IA32 | __NR_ia32_execveat:
#endif
		return true;
	}
	return false;
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret) */
PROGRAM(on_return)
{
	u32 errno = returned_errno(ctx), syscall;
	struct event event = {};

	if (!errno || is_restart(errno))
		return 0;
	syscall = returning_syscall(ctx);
	if (!is_exec(syscall) && !makes_tasks(syscall))
		return 0;
	event.kind = is_exec(syscall) ? KIND_EXEC_FAILURE : KIND_FORK_FAILURE;
	event.cgroup = current_cgroup();
	current_comm(event.comm);
	current_thread_comm(event.thread_comm);
	event.errno = errno;
	count_event(&event);
	return 0;
}

/* Returns the status for wait4(). Source: wait_task_zombie() in Linux kernel/exit.c. */
static __always_inline int wait_status(struct task_struct *leader, struct signal_struct *signal)
{
	if (LOAD_OF_TASK(signal, flags) & SIGNAL_GROUP_EXIT)
		return LOAD_OF_TASK(signal, group_exit_code);
	return LOAD_OF_TASK(leader, exit_code);
}

/* Bits 0 to 6 are the signal, bit 7 marks a core dump, the bits above are the exit status. */
static __always_inline u8 exit_kind(int status)
{
	if (status & 0x80)
		return EXIT_CORE;
	if (status & 0x7f)
		return EXIT_SIGNAL;
	return status ? EXIT_ERROR : EXIT_OK;
}

/*
 * Several threads may read signal->live as 0, because the kernel decrements the counter before the tracepoint. The
 * first thread that notes the end reports the end.
 */
static __always_inline bool first_to_note_end(u32 tgid, u64 start, u64 *entries)
{
	u64 *noted;

	lock_xadd(entries, 1);
	if (!ended.insert(&tgid, &start))
		return true;
	lock_xadd(entries, -1);
	noted = ended.lookup(&tgid);
	if (!noted) {
		count_note_lost();
		return true;
	}
	if (*noted == start)
		return false;
	ended.update(&tgid, &start);
	return true;
}

static __always_inline bool end_was_noted(u32 tgid, u64 start)
{
	u64 *noted = ended.lookup(&tgid);

	return noted && *noted == start;
}

static __always_inline u64 *count_of_ended(void)
{
	u32 zero = 0;

	return ended_entries.lookup(&zero);
}

/* The last thread is alone, but another thread may have reported the end before. */
static __always_inline bool reports_end(struct signal_struct *signal, u32 tgid, u64 start)
{
	u64 *entries = count_of_ended();

	if (!entries)
		return true;
	if (LOAD_OF_TASK(signal, nr_threads) > 1)
		return first_to_note_end(tgid, start, entries);
	return !*entries || !end_was_noted(tgid, start);
}

/* Returns the time of the last exec, and removes the note; 0 without a note. */
static __always_inline u64 take_exec(u32 tgid)
{
	struct exec_slot *slot = exec_slot_of(tgid);
	u64 exec = 0, *noted;

	if (!slot)
		return 0;
	if (owns(slot, tgid)) {
		exec = *(volatile u64 *)&slot->time;
		if (exec) /* the branch keeps the order of both accesses: Linux Documentation/memory-barriers.txt */
			leave_exec_slot(slot, tgid);
	} else if (slot->in_last_exec) {
		noted = last_exec.lookup(&tgid);
		if (!noted)
			return 0;
		exec = *noted;
		if (!last_exec.delete(&tgid))
			lock_xadd(&slot->in_last_exec, -1);
	}
	return exec;
}

/* raw tracepoint sched_process_exit(struct task_struct *p): every thread of every process */
PROGRAM(on_exit)
{
	struct task_struct *task = current_task(), *leader = LOAD_OF_TASK(task, group_leader);
	struct signal_struct *signal = LOAD_OF_TASK(task, signal);
	struct event event = {};
	u64 start, exec;
	u32 tgid;
	int status;

	if (LOAD_OF_TASK(signal, live.counter))
		return 0;
	tgid = LOAD_OF_TASK(task, tgid);
	start = LOAD_OF_TASK(leader, start_boottime);
	if (!reports_end(signal, tgid, start))
		return 0;
	exec = take_exec(tgid);
	status = wait_status(leader, signal);
	event.kind = KIND_EXIT;
	event.cgroup = current_cgroup();
	/* An exec before creation belongs to an earlier process. */
	event.lifetime_ns = bpf_ktime_get_boot_ns() - (exec > start ? exec : start);
	event.exit = exit_kind(status);
	event.signal = status & 0x7f;
	load_comm(leader, event.comm);
	observe_event(&event, lifetime_ns);
	return 0;
}

/* raw tracepoint sched_process_free(struct task_struct *p): after wait, when the kernel frees the task */
PROGRAM(on_free)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	u64 *entries = count_of_ended();
	u32 tgid;

	if (!entries || !*entries)
		return 0;
	tgid = LOAD(task, tgid);
	if (LOAD(task, pid) != tgid || !end_was_noted(tgid, LOAD(task, start_boottime)))
		return 0;
	if (!ended.delete(&tgid))
		lock_xadd(entries, -1);
	return 0;
}
