// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

enum point {
	POINT_ENTRY,
	POINT_RETURN,
	POINT_SYSCALL,
};

struct event {
	char comm[16];
	u32 point;
	s32 errno;
	u32 lookup_flags;
	u32 unused;
};

static __always_inline void count_at(u32 point, s32 errno, u32 lookup_flags)
{
	struct event *event = reserve_event(sizeof(*event));

	if (!event)
		return;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	event->point = point;
	event->errno = errno;
	event->lookup_flags = lookup_flags;
	event->unused = 0;
	submit_event(event);
}

/* struct file *do_filp_open(int dfd, struct filename *pathname, const struct open_flags *op) */
PROGRAM(on_entry)
{
	struct open_flags *op = (struct open_flags *)ctx->args[2];

	count_at(POINT_ENTRY, 0, LOAD(op, lookup_flags));
	return 0;
}

/* the same; the file or the negative errno is behind the arguments */
PROGRAM(on_return)
{
	s64 file = ctx->args[3];

	count_at(POINT_RETURN, file < 0 && file > -4096 ? -file : 0, 0);
	return 0;
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret) */
PROGRAM(on_syscall)
{
	s64 returned = ctx->args[1];

	if (returned == -20) /* ENOTDIR, which few other programs meet */
		count_at(POINT_SYSCALL, -returned, 0);
	return 0;
}
