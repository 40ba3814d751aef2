// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct softirq {
	u32 cpu, vector;
};

BPF_PERCPU_HASH(softirqs, struct softirq, u64, 4096);

/* raw tracepoint softirq_entry(unsigned int vec_nr) */
PROGRAM(on_entry)
{
	struct softirq softirq = {.cpu = bpf_get_smp_processor_id(), .vector = ctx->args[0]};
	u64 zero = 0;

	add_to_count(softirqs.lookup_or_try_init(&softirq, &zero), 1);
	return 0;
}
