// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct event {
	WEIGHT;
	u64 cgroup;
};

PROGRAM(on_malloc)
{
	struct event event = {};

	event.cgroup = current_cgroup();
	count_event(&event);
	return 0;
}
