// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

BPF_HASH(counts, u32, u64, 1);

/* Uses a pointer without asking whether it is NULL. */
PROGRAM(on_event)
{
	u32 zero = 0;
	u64 *count = counts.lookup(&zero);

	++*count;
	return 0;
}
