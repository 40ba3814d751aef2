// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct lock {
	u16 level;
	u8 contended, yield;
	u32 bucket;
};

BPF_HASH(locked, struct lock, u64, 128);
BPF_HASH(lock_start, u32, u64, 10240);
BPF_HASH(held_ns, struct lock, struct histogram_bucket, 4096);

/* raw tracepoint cgroup_rstat_locked(struct cgroup *cgrp, int cpu, bool contended) */
PROGRAM(on_locked)
{
	struct cgroup *cgroup = (struct cgroup *)ctx->args[0];
	struct lock lock = {.level = LOAD(cgroup, level), .contended = ctx->args[2], .yield = (s32)ctx->args[1] >= 0};
	u64 zero = 0, now = bpf_ktime_get_ns();
	u32 tid = bpf_get_current_pid_tgid();

	add_to_count(locked.lookup_or_try_init(&lock, &zero), 1);
	if (lock_start.update(&tid, &now))
		count_note_lost();
	return 0;
}

/* raw tracepoint cgroup_rstat_unlock, with the same arguments */
PROGRAM(on_unlock)
{
	struct cgroup *cgroup = (struct cgroup *)ctx->args[0];
	struct lock lock = {.level = LOAD(cgroup, level)};
	struct histogram_bucket empty = {};
	u32 tid = bpf_get_current_pid_tgid();
	u64 *start = lock_start.lookup(&tid), held;

	if (!start)
		return 0;
	held = bpf_ktime_get_ns() - *start;
	lock_start.delete(&tid);
	lock.bucket = LOG2_BUCKET(held_ns, held);
	count_in_bucket(held_ns.lookup_or_try_init(&lock, &empty), held);
	return 0;
}
