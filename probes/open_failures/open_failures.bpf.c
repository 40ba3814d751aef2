// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct event {
	WEIGHT;
	u64 cgroup;
	char comm[16];
	char thread_comm[16];
	u32 errno;
	u32 pad;
};

struct opener {
	u64 cgroup;
};

/*
 * All calls of the open family, for 8,192 control groups at once, 1 MB. When the map is a quarter full, the exporter
 * deletes entries of removed control groups. All CPUs share an entry: most counts go to opens_recent, so the size does
 * not grow with the number of CPUs.
 */
BPF_HASH(opens, struct opener, u64, 8192);

/* The last few control groups of each CPU. */
#define RECENT 8
BPF_PERCPU_ARRAY(opens_recent, struct recent_count, RECENT);

static __always_inline void count_open(struct opener opener)
{
	u32 place = recent_slot(opener.cgroup, RECENT);
	struct recent_count *slot = opens_recent.lookup(&place);
	struct opener former;
	u64 zero = 0, *count;

	if (!slot)
		return;
	if (!is_recent(slot, opener.cgroup)) {
		if (!opens.lookup_or_try_init(&opener, &zero)) {
			count_map_full();
			return;
		}
		former.cgroup = slot->key;
		stop_recent(slot);
		count = opens.lookup(&former);
		if (count)
			lock_xadd(count, slot->count);
		start_recent(slot, opener.cgroup);
	}
	++slot->count;
}

static __always_inline bool is_open(u32 syscall)
{
	switch (syscall) {
	case __NR_open:
	case __NR_openat:
	case __NR_openat2:
	case __NR_creat:
#ifdef PROBED_HAS_IA32
	case IA32 | __NR_ia32_open:
	case IA32 | __NR_ia32_openat:
	case IA32 | __NR_ia32_openat2:
	case IA32 | __NR_ia32_creat:
#endif
		return true;
	}
	return false;
}

static __always_inline bool is_open_call(u32 number)
{
	if (!is_open(number) && !is_open(number | IA32)) /* most calls return here */
		return false;
	return is_open(number | ia32_bit());
}

/* Into the map itself: a preempted on_return may be changing a slot of this CPU. */
static __always_inline void count_interrupted_open(struct opener opener)
{
	u64 zero = 0;

	add_to_count(opens.lookup_or_try_init(&opener, &zero), 1);
}

static __always_inline void count_failure(struct opener opener, u32 errno)
{
	struct event event = {};

	event.cgroup = opener.cgroup;
	current_comm(event.comm);
	current_thread_comm(event.thread_comm);
	event.errno = errno;
	count_event(&event);
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret): an interrupted call may restart */
PROGRAM(on_return)
{
	struct opener opener;
	u32 errno;

	if (!is_open_call(returning_number(ctx)))
		return 0;
	errno = returned_errno(ctx);
	if (is_restart(errno))
		return 0;
	opener.cgroup = current_cgroup();
	count_open(opener);
	if (errno)
		count_failure(opener, errno);
	return 0;
}

/* raw tracepoint signal_deliver(int sig, struct kernel_siginfo *info, struct k_sigaction *ka) */
PROGRAM(on_signal)
{
	struct opener opener;

	if (!is_open_call(current_number()) || !ends_call(ctx))
		return 0;
	opener.cgroup = current_cgroup();
	count_interrupted_open(opener);
	count_failure(opener, EINTR);
	return 0;
}
