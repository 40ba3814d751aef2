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

/* Thread group id to the boot-clock time of the last exec. */
BPF_HASH_ON_DEMAND(last_exec, u32, u64, PROCESSES);
/*
 * Thread group id to start_boottime, for processes that ended with several threads and are not yet reaped. The first
 * thread that inserts an entry reports the end.
 */
BPF_HASH_ON_DEMAND(ended, u32, u64, PROCESSES / 4);

/* raw tracepoint sched_process_fork(struct task_struct *parent, struct task_struct *child) */
PROGRAM(on_fork)
{
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	struct event event = {};

	event.kind = READ(child, pid) == READ(child, tgid) ? KIND_FORK : KIND_THREAD;
	event.cgroup = current_cgroup();
	count_event(&event);
	return 0;
}

/* raw tracepoint sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
PROGRAM(on_exec)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct task_struct *parent = READ(task, real_parent);
	struct event event = {};
	u32 tgid = READ(task, tgid);
	u64 now = bpf_ktime_get_boot_ns();

	if (last_exec.update(&tgid, &now))
		count_note_lost();
	event.kind = KIND_EXEC;
	event.cgroup = current_cgroup();
	READ_ARRAY(event.comm, task, comm);
	parent = READ(parent, group_leader);
	READ_ARRAY(event.parent, parent, comm);
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
	if (READ(signal, flags) & SIGNAL_GROUP_EXIT)
		return READ(signal, group_exit_code);
	return READ(leader, exit_code);
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
static __always_inline bool first_to_note_end(u32 tgid, u64 start)
{
	u64 *noted;

	if (!ended.insert(&tgid, &start))
		return true;
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

/* The last thread is alone, but another thread may have reported the end before. */
static __always_inline bool end_was_noted(u32 tgid, u64 start)
{
	u64 *noted = ended.lookup(&tgid);

	return noted && *noted == start;
}

/* Returns the time of the last exec, or of creation. An exec before creation belongs to an earlier process. */
static __always_inline u64 take_beginning(u32 tgid, u64 start)
{
	u64 *exec = last_exec.lookup(&tgid);
	u64 beginning = start;

	if (!exec)
		return beginning;
	if (*exec > start)
		beginning = *exec;
	last_exec.delete(&tgid);
	return beginning;
}

/* raw tracepoint sched_process_exit(struct task_struct *p): every thread of every process */
PROGRAM(on_exit)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct signal_struct *signal = READ(task, signal);
	struct task_struct *leader = READ(task, group_leader);
	struct event event = {};
	u64 start, beginning;
	u32 tgid;
	int status;

	if (READ(signal, live.counter))
		return 0;
	tgid = READ(task, tgid);
	start = READ(leader, start_boottime);
	if (READ(signal, nr_threads) > 1 ? !first_to_note_end(tgid, start) : end_was_noted(tgid, start))
		return 0;
	beginning = take_beginning(tgid, start);
	status = wait_status(leader, signal);
	event.kind = KIND_EXIT;
	event.cgroup = current_cgroup();
	event.lifetime_ns = bpf_ktime_get_boot_ns() - beginning;
	event.exit = exit_kind(status);
	event.signal = status & 0x7f;
	READ_ARRAY(event.comm, leader, comm);
	observe_event(&event, lifetime_ns);
	return 0;
}

/* raw tracepoint sched_process_free(struct task_struct *p): after wait, when the kernel frees the task */
PROGRAM(on_free)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	u32 tgid = READ(task, tgid);
	u64 *noted;

	if (READ(task, pid) != tgid)
		return 0;
	noted = ended.lookup(&tgid);
	if (noted && *noted == READ(task, start_boottime))
		ended.delete(&tgid);
	return 0;
}
