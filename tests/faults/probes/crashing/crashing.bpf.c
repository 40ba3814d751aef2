// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

BPF_ARRAY(counts, u64, 1);

/* Ends the process at this line, as BCC 0.31 does after it reported an incomplete struct given to ringbuf_output(). */
#pragma clang __debug llvm_fatal_error

PROGRAM(on_event)
{
	return 0;
}
