// SPDX-License-Identifier: GPL-2.0
#include "probed.bpf.h"

struct event {
	u64 cgroup;
	char comm[16];
	u32 errno;
	u32 pad;
};

struct opener {
	u64 cgroup;
};

/*
 * All calls of the open family, by control group: of 8,192 at once, 1 MB. When it is half full, the exporter deletes
 * those that are gone.
 */
BPF_PERCPU_HASH(opens, struct opener, u64, 8192);

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

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret): every call that began returns, if only to die */
PROGRAM(on_return)
{
	u32 number = returning_number(ctx), errno;
	struct opener opener;
	struct event *event;
	u64 zero = 0, *count;

	if (!is_open(number) && !is_open(number | IA32)) /* most calls are done with here */
		return 0;
	if (!is_open(number | ia32_bit()))
		return 0;
	opener.cgroup = current_cgroup();
	count = opens.lookup_or_try_init(&opener, &zero);
	if (count)
		++*count;
	else
		count_map_full();
	errno = returned_errno(ctx);
	if (!errno)
		return 0;
	event = reserve_event(sizeof(*event));
	if (!event)
		return 0;
	event->cgroup = opener.cgroup;
	current_comm(event->comm);
	event->errno = errno;
	event->pad = 0;
	submit_event(event);
	return 0;
}
