// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

/* include/linux/interrupt.h: HI_SOFTIRQ and following */
enum vector {
	VECTOR_HI,
	VECTOR_TIMER,
	VECTOR_NET_TX,
	VECTOR_NET_RX,
	VECTOR_BLOCK,
	VECTOR_IRQ_POLL,
	VECTOR_TASKLET,
	VECTOR_SCHED,
	VECTOR_HRTIMER,
	VECTOR_RCU,
	VECTORS
};

struct event {
	WEIGHT;
	u64 run_ns;
	u32 vector;
	u32 pad;
};

/* Boot-clock time at which the softirq that runs on this CPU began; 0 for none. */
BPF_PERCPU_ARRAY(began, u64, VECTORS);

/* raw tracepoint softirq_entry(unsigned int vec_nr) */
PROGRAM(on_entry)
{
	u32 vector = ctx->args[0];
	u64 *start = began.lookup(&vector);

	if (start)
		*start = bpf_ktime_get_boot_ns();
	return 0;
}

/* raw tracepoint softirq_exit(unsigned int vec_nr) */
PROGRAM(on_exit)
{
	u32 vector = ctx->args[0];
	u64 *start = began.lookup(&vector);
	struct event event = {};

	if (!start || !*start)
		return 0;
	event.run_ns = bpf_ktime_get_boot_ns() - *start;
	event.vector = vector;
	*start = 0;
	observe_event(&event, run_ns);
	return 0;
}
