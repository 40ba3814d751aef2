// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define OBSERVE 100021

enum kind { KIND_EVEN = 1, KIND_ODD, KIND_OBSERVED };

struct event {
	WEIGHT;
	u64 number;
	u64 value_ns;
	char more[56];
	char odd_place;
	u8 kind;
	u8 pad[6];
};

/* raw tracepoint sys_enter(struct pt_regs *regs, long id) */
PROGRAM(on_enter)
{
	struct event event = {}, observed = {};

	if (ctx->args[1] != OBSERVE)
		return 0;
	event.number = READ((struct pt_regs *)ctx->args[0], di);
	observed.number = event.number;
	event.kind = event.number & 1 ? KIND_ODD : KIND_EVEN;
	count_event(&event);
	observed.value_ns = (observed.number % 3 ? 3000000 : 700000) + observed.number % 101;
	observed.kind = KIND_OBSERVED;
	observe_event(&observed, value_ns);
	return 0;
}
