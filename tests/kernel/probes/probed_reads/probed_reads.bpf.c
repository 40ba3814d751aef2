// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

enum point {
	POINT_ENTRY,
	POINT_RETURN,
};

struct event {
	char comm[16];
	u32 point;
	s32 result;
	u32 bytes;
	u32 mode;
};

/* Reads of the workload `reads`; few other programs make such, so that few label sets count. */
#define BYTES 7
#define EBADF 9

static __always_inline bool is_of_workload(s64 returned)
{
	return returned == BYTES || returned == -EBADF;
}

static __always_inline void count_at(u32 point, s32 result, u32 bytes, u32 mode)
{
	struct event *event = reserve_event(sizeof(*event));

	if (!event)
		return;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	event->point = point;
	event->result = result;
	event->bytes = bytes;
	event->mode = mode;
	submit_event(event);
}

/* ssize_t vfs_read(struct file *file, char *buf, size_t count, loff_t *pos) */
PROGRAM(on_entry)
{
	struct file *file = (struct file *)ctx->args[0];

	if (ctx->args[2] == BYTES)
		count_at(POINT_ENTRY, 0, ctx->args[2], READ(file, f_flags) & 3);
	return 0;
}

/* the same; the first argument is the returned value */
PROGRAM(on_return)
{
	if (is_of_workload(ctx->args[0]))
		count_at(POINT_RETURN, ctx->args[0], 0, 0);
	return 0;
}
