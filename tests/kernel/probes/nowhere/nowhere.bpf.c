// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

BPF_ARRAY(counts, u64, 1);

PROGRAM(on_event)
{
	return 0;
}
