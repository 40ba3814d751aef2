// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct event {
	char comm[16];
	u32 errno;
	u32 pad;
};

BPF_PERCPU_ARRAY(opens, u64, 1);

static __always_inline bool is_open(u32 syscall)
{
	switch (syscall) {
	case __NR_open:
	case __NR_openat:
	case __NR_openat2:
	case __NR_creat:
#ifdef PROBED_HAS_IA32
	case IA32 | __NR_ia32_open:
	case IA32 | __NR_ia32_openat:
	case IA32 | __NR_ia32_openat2:
	case IA32 | __NR_ia32_creat:
#endif
		return true;
	}
	return false;
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret) */
PROGRAM(on_return)
{
	u32 number = returning_number(ctx), errno, only = 0;
	struct event *event;
	u64 *count;

	if (!is_open(number) && !is_open(number | IA32))
		return 0;
	if (!is_open(number | ia32_bit()))
		return 0;
	count = opens.lookup(&only);
	if (count)
		++*count;
	errno = returned_errno(ctx);
	if (!errno)
		return 0;
	event = reserve_event(sizeof(*event));
	if (!event)
		return 0;
	current_comm(event->comm);
	event->errno = errno;
	event->pad = 0;
	submit_event(event);
	return 0;
}
