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

#if PROBED_ARGUMENTS_mark_victim == 1
/*
 * Before Linux 6.9 (commit 72ba14deb40a) the tracepoint has only the victim's thread id. The killer has just sent
 * SIGKILL to the same thread: __oom_kill_process() in mm/oom_kill.c.
 */
struct killed {
	u64 task;
	u64 pid;
};

BPF_PERCPU_ARRAY(last_killed, struct killed, 1);

static __always_inline void note_killed(u64 address)
{
	struct task_struct *task = (struct task_struct *)address;
	u32 zero = 0;
	struct killed *killed = last_killed.lookup(&zero);

	if (!killed)
		return;
	killed->task = address;
	killed->pid = READ(task, pid);
}

/* Without a signal before, the victim is the process that asked for memory, and exits by itself. */
static __always_inline struct task_struct *find_victim(u32 pid)
{
	u32 zero = 0;
	struct killed *killed = last_killed.lookup(&zero);

	if (killed && killed->pid == pid)
		return (struct task_struct *)killed->task;
	return (struct task_struct *)bpf_get_current_task();
}
#define VICTIM find_victim(ctx->args[0])
#else
static __always_inline void note_killed(u64 address)
{
}
#define VICTIM ((struct task_struct *)ctx->args[0])
#endif

/*
 * raw tracepoint signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)
 */
PROGRAM(on_signal)
{
	if (ctx->args[0] == SIGKILL)
		note_killed(ctx->args[2]);
	return 0;
}

/* raw tracepoint mark_victim(struct task_struct *task, uid_t uid) */
PROGRAM(on_victim)
{
	count_victim(VICTIM);
	return 0;
}
