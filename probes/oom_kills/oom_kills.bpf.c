// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define SIGKILL 9

struct event {
	WEIGHT;
	u64 cgroup; /* the victim's */
	u64 cause;  /* of the process that asked for memory */
	char comm[16];
};

static __always_inline void count_victim(struct task_struct *victim)
{
	struct event event = {};

	event.cgroup = cgroup_of(victim);
	event.cause = current_cgroup();
	victim = READ(victim, group_leader);
	READ_ARRAY(event.comm, victim, comm);
	count_event(&event);
}

struct killed {
	u64 task;
	u64 pid;
};

/* The thread to which this CPU sent the last SIGKILL. */
BPF_PERCPU_ARRAY(last_killed, struct killed, 1);

/*
 * Before Linux 6.9 (commit 72ba14deb40a) the tracepoint passes the victim's thread id instead of the task. The killer
 * has just sent SIGKILL to the same thread: __oom_kill_process() in mm/oom_kill.c. Without such a signal the victim is
 * the process that asked for memory, and exits by itself.
 */
static __always_inline struct task_struct *find_victim(u64 pid)
{
	u32 zero = 0;
	struct killed *killed = last_killed.lookup(&zero);

	if (killed && killed->pid == pid)
		return (struct task_struct *)killed->task;
	return (struct task_struct *)bpf_get_current_task();
}

/*
 * raw tracepoint signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)
 */
PROGRAM(on_signal)
{
	struct task_struct *task = (struct task_struct *)ctx->args[2];
	u32 zero = 0;
	struct killed *killed = last_killed.lookup(&zero);

	if (!killed || ctx->args[0] != SIGKILL)
		return 0;
	killed->task = ctx->args[2];
	killed->pid = READ(task, pid);
	return 0;
}

/* raw tracepoint mark_victim(struct task_struct *task, uid_t uid), or mark_victim(int pid) */
PROGRAM(on_victim)
{
	u64 victim = 0;

	/* Not a plain access: the verifier lets no program compute with a pointer to a task. */
	bpf_probe_read_kernel(&victim, sizeof(victim), &ctx->args[0]);
	count_victim(victim >> 32 ? (struct task_struct *)victim : find_victim(victim));
	return 0;
}
