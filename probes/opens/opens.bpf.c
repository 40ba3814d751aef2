// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct event {
	CALLER;
	u64 flags;
	s32 result; /* the file descriptor, or the negative errno */
	u32 path;
};

/* Arguments of a call of the open family; `path` is 0 for another call. */
struct call {
	u64 path, flags;
};

#define OF_CREAT 01101 /* O_CREAT | O_WRONLY | O_TRUNC. Source: creat(2) */

/* The first member of struct open_how of openat2(2): the flags. */
static __always_inline u64 flags_at(u64 address)
{
	u64 flags = 0;

	bpf_probe_read_user(&flags, sizeof(flags), (void *)address);
	return flags;
}

static __always_inline struct call call_of(struct pt_regs *regs, u32 syscall)
{
	u64 first = LOAD_OF_REGISTERS(regs, ARGUMENT_1), second = LOAD_OF_REGISTERS(regs, ARGUMENT_2),
	    third = LOAD_OF_REGISTERS(regs, ARGUMENT_3);
	struct call call = {};

	switch (syscall) {
	case __NR_open:
		call.path = first;
		call.flags = second;
		break;
	case __NR_creat:
		call.path = first;
		call.flags = OF_CREAT;
		break;
	case __NR_openat:
		call.path = second;
		call.flags = third;
		break;
	case __NR_openat2:
		call.path = second;
		call.flags = flags_at(third);
		break;
	}
	return call;
}

#ifdef PROBED_HAS_IA32
static __always_inline struct call ia32_call_of(struct pt_regs *regs, u32 syscall)
{
	u32 bx = LOAD_OF_REGISTERS(regs, bx), cx = LOAD_OF_REGISTERS(regs, cx), dx = LOAD_OF_REGISTERS(regs, dx);
	struct call call = {};

	switch (syscall) {
	case IA32 | __NR_ia32_open:
		call.path = bx;
		call.flags = cx;
		break;
	case IA32 | __NR_ia32_creat:
		call.path = bx;
		call.flags = OF_CREAT;
		break;
	case IA32 | __NR_ia32_openat:
		call.path = cx;
		call.flags = dx;
		break;
	case IA32 | __NR_ia32_openat2:
		call.path = cx;
		call.flags = flags_at(dx);
		break;
	}
	return call;
}
#endif

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

/* Sends a row for a call of the open family, if the filters let it through. */
static __always_inline int report(struct pt_regs *regs, u32 number, s32 result)
{
	u32 syscall = number | ia32_bit(), errno = result < 0 ? -result : 0;
	struct event *event;
	struct call call;

	if (!is_open(syscall) || !wants_errno(errno) || !wants_caller())
		return 0;
#ifdef PROBED_HAS_IA32
	call = syscall & IA32 ? ia32_call_of(regs, syscall) : call_of(regs, syscall);
#else
	call = call_of(regs, syscall);
#endif
	event = begin_record();
	if (!event)
		return 0;
	describe_caller(event);
	event->flags = call.flags;
	event->result = result;
	event->path = append_string(event, sizeof(*event), call.path);
	send_record(event, sizeof(*event) + APPENDED(event->path));
	return 0;
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret): an interrupted call may restart */
PROGRAM(on_return)
{
	u32 number = returning_number(ctx), errno = returned_errno(ctx);

	if (!errno && !with_all)
		return 0;
	if (!is_open(number) && !is_open(number | IA32))
		return 0;
	if (is_restart(errno))
		return 0;
	return report(current_registers(), number, ctx->args[1]);
}

/* raw tracepoint signal_deliver(int sig, struct kernel_siginfo *info, struct k_sigaction *ka) */
PROGRAM(on_signal)
{
	u32 number = current_number();

	if ((!is_open(number) && !is_open(number | IA32)) || !ends_call(ctx))
		return 0;
	return report(current_registers(), number, -EINTR);
}
