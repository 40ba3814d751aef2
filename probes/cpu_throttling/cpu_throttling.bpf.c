// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define NO_QUOTA -1UL /* RUNTIME_INF in kernel/sched/sched.h */

/* A hierarchy of cgroup v1 has ids of its own: its groups count together, and their unit is `unknown`. */
#define OF_CGROUP_V1 -1UL

struct group {
	u64 cgroup;
};

/* The kernel's own counters of a group. */
struct counters {
	u64 periods, throttled, throttled_ns;
};

/* Address of a cgroup to the counters that the maps below have; room for 4,096 groups with a quota, together 1.3 MB. */
BPF_HASH(counted, u64, struct counters, 4096);
BPF_HASH(periods, struct group, u64, 4096);
BPF_HASH(throttled_periods, struct group, u64, 4096);
BPF_HASH(throttled_ns, struct group, u64, 4096);

/*
 * The group whose period ends with this timer, or NULL for any other timer. Each group has such a timer, also the
 * current task's, and all have the same function: so no program has to know the function's address.
 */
static __always_inline struct task_group *group_of(struct hrtimer *timer)
{
	struct task_struct *task = current_task();
	struct task_group *group = LOAD_OF_TASK(task, sched_task_group);

	if (LOAD(timer, function) != READ(group, cfs_bandwidth.period_timer.function))
		return NULL;
	return (struct task_group *)((u64)timer - OFFSET_OF(group, cfs_bandwidth.period_timer));
}

static __always_inline struct counters counters_of(struct task_group *group)
{
	struct counters counters = {};

	counters.periods = READ(group, cfs_bandwidth.nr_periods);
	counters.throttled = READ(group, cfs_bandwidth.nr_throttled);
	counters.throttled_ns = READ(group, cfs_bandwidth.throttled_time);
	return counters;
}

static __always_inline u64 id_of(struct cgroup *cgroup)
{
	struct cgroup_root *root = READ(cgroup, root);
	struct kernfs_node *node = READ(cgroup, kn);

	return READ(root, hierarchy_id) ? OF_CGROUP_V1 : READ(node, id);
}

/* raw tracepoint hrtimer_expire_entry(struct hrtimer *hrtimer, ktime_t *now), and later ktime_t now */
PROGRAM(on_timer)
{
	struct task_group *group = group_of((struct hrtimer *)ctx->args[0]);
	struct counters counters;
	u64 address;

	if (!group)
		return 0;
	address = (u64)READ(group, css.cgroup);
	if (counted.lookup(&address))
		return 0;
	counters = counters_of(group);
	if (READ(group, cfs_bandwidth.quota) != NO_QUOTA && counted.update(&address, &counters))
		count_map_full();
	return 0;
}

/* Adds to the maps, so that a group with a quota has a series from its first period on. */
static __always_inline void add(struct group group, struct counters rise)
{
	u64 zero = 0;

	add_to_count(periods.lookup_or_try_init(&group, &zero), rise.periods);
	add_to_count(throttled_periods.lookup_or_try_init(&group, &zero), rise.throttled);
	add_to_count(throttled_ns.lookup_or_try_init(&group, &zero), rise.throttled_ns);
}

/* raw tracepoint hrtimer_expire_exit(struct hrtimer *hrtimer): the kernel has counted the period */
PROGRAM(on_timer_end)
{
	struct task_group *group = group_of((struct hrtimer *)ctx->args[0]);
	struct counters *before, now, rise = {};
	struct group label = {};
	struct cgroup *cgroup;
	u64 address;

	if (!group)
		return 0;
	cgroup = READ(group, css.cgroup);
	address = (u64)cgroup;
	before = counted.lookup(&address);
	if (!before)
		return 0;
	now = counters_of(group);
	rise.periods = now.periods - before->periods;
	rise.throttled = now.throttled - before->throttled;
	rise.throttled_ns = now.throttled_ns - before->throttled_ns;
	*before = now;
	label.cgroup = id_of(cgroup);
	add(label, rise);
	return 0;
}

/* raw tracepoint cgroup_release(struct cgroup *cgrp, const char *path): no timer of the group runs any more */
PROGRAM(on_release)
{
	u64 address = ctx->args[0];

	counted.delete(&address);
	return 0;
}
