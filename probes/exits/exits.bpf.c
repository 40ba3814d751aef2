// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define SIGNAL_GROUP_EXIT 0x00000004 /* include/linux/sched/signal.h: group exit in progress */

struct event {
	CALLER;
	u64 lifetime_ns;
	u32 status; /* as of wait4(2) */
	u32 pad;
};

/* Thread group id to start_boottime, for processes that ended with several threads and are not yet reaped. */
BPF_HASH_ON_DEMAND(ended, u32, u64, PROCESSES / 64);

/* Returns the status for wait4(). Source: wait_task_zombie() in Linux kernel/exit.c. */
static __always_inline int wait_status(struct task_struct *leader, struct signal_struct *signal)
{
	if (READ(signal, flags) & SIGNAL_GROUP_EXIT)
		return READ(signal, group_exit_code);
	return READ(leader, exit_code);
}

/*
 * Several threads may find no living one, because the kernel decrements the counter before the tracepoint. The first
 * thread that notes the end reports the end.
 */
static __always_inline bool is_first(struct signal_struct *signal, u32 tgid, u64 start)
{
	u64 *noted = ended.lookup(&tgid);

	if (noted && *noted == start)
		return false;
	if (READ(signal, nr_threads) <= 1)
		return true;
	if (noted) {
		ended.update(&tgid, &start);
		return true;
	}
	if (!ended.insert(&tgid, &start))
		return true;
	if (ended.lookup(&tgid)) /* another thread came first */
		return false;
	count_note_lost();
	return true;
}

/* raw tracepoint sched_process_exit(struct task_struct *p): every thread of every process */
PROGRAM(on_exit)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct signal_struct *signal = READ(task, signal);
	struct task_struct *leader = READ(task, group_leader);
	u64 start, lifetime;
	struct event *event;
	u32 status;

	if (READ(signal, live.counter))
		return 0;
	start = READ(leader, start_boottime);
	if (!is_first(signal, READ(task, tgid), start))
		return 0;
	status = wait_status(leader, signal);
	lifetime = bpf_ktime_get_boot_ns() - start;
	if ((only_failed && !status) || lifetime < least_lifetime_ns)
		return 0;
	if (!wants_caller())
		return 0;
	event = begin_record();
	if (!event)
		return 0;
	describe_caller(event);
	event->lifetime_ns = lifetime;
	event->status = status;
	event->pad = 0;
	send_record(event, sizeof(*event));
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
