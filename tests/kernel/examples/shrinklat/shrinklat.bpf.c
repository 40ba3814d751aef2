// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct shrink {
	u64 shrinker;
	u32 tid;
	u32 padding;
};

struct latency {
	u32 bucket;
};

BPF_HASH(shrink_start, struct shrink, u64, 10240);
BPF_HASH(shrink_ns, struct latency, struct histogram_bucket, 64);

static __always_inline struct shrink this_shrink(u64 shrinker)
{
	return (struct shrink){.shrinker = shrinker, .tid = bpf_get_current_pid_tgid()};
}

/* raw tracepoint mm_shrink_slab_start(struct shrinker *shr, struct shrink_control *sc, ...) */
PROGRAM(on_start)
{
	struct shrink shrink = this_shrink(ctx->args[0]);
	u64 now = bpf_ktime_get_ns();

	if (shrink_start.update(&shrink, &now))
		count_note_lost();
	return 0;
}

/* raw tracepoint mm_shrink_slab_end(struct shrinker *shr, ...) */
PROGRAM(on_end)
{
	struct histogram_bucket empty = {};
	struct shrink shrink = this_shrink(ctx->args[0]);
	u64 *start = shrink_start.lookup(&shrink), latency;
	struct latency key;

	if (!start)
		return 0;
	latency = bpf_ktime_get_ns() - *start;
	shrink_start.delete(&shrink);
	key.bucket = LOG2_BUCKET(shrink_ns, latency);
	count_in_bucket(shrink_ns.lookup_or_try_init(&key, &empty), latency);
	return 0;
}
