// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct event {
	CALLER;
	s32 result; /* 0, or the negative errno; of a fork the id of the child */
	u32 path;
	u32 args;
	u32 pad;
};

/* raw tracepoint sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
PROGRAM(on_exec)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct linux_binprm *binary = (struct linux_binprm *)ctx->args[2];
	struct mm_struct *memory;
	struct event *event;
	u64 start, size;

	if (!wants_errno(0) || !wants_caller())
		return 0;
	event = begin_record();
	if (!event)
		return 0;
	describe_caller(event);
	memory = READ(task, mm);
	start = READ(memory, arg_start);
	event->result = 0;
	event->path = append_kernel_string(event, sizeof(*event), READ(binary, filename));
	size = sizeof(*event) + APPENDED(event->path);
	event->args = append_memory(event, size, start, READ(memory, arg_end) - start);
	event->pad = 0;
	send_record(event, size + APPENDED(event->args));
	return 0;
}

/* raw tracepoint sched_process_fork(struct task_struct *parent, struct task_struct *child), without threads */
PROGRAM(on_fork)
{
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	struct event *event;
	u32 pid;

	if (!with_all || !wants_errno(0) || !wants_caller())
		return 0;
	pid = READ(child, tgid);
	if (READ(child, pid) != pid)
		return 0;
	event = begin_record();
	if (!event)
		return 0;
	describe_caller(event);
	event->result = pid;
	event->path = 0;
	event->args = 0;
	event->pad = 0;
	send_record(event, sizeof(*event));
	return 0;
}

/* Addresses of path and argument list of a call of execve or execveat; 0 for other calls. */
struct call {
	u64 path, args;
};

static __always_inline struct call call_of(struct pt_regs *regs)
{
	struct call call = {};

	switch (current_syscall()) {
	case __NR_execve:
		call.path = LOAD_OF_REGISTERS(regs, ARGUMENT_1);
		call.args = LOAD_OF_REGISTERS(regs, ARGUMENT_2);
		break;
	case __NR_execveat:
		call.path = LOAD_OF_REGISTERS(regs, ARGUMENT_2);
		call.args = LOAD_OF_REGISTERS(regs, ARGUMENT_3);
		break;
#ifdef PROBED_HAS_IA32
	case IA32 | __NR_ia32_execve:
		call.path = (u32)LOAD_OF_REGISTERS(regs, bx);
		call.args = (u32)LOAD_OF_REGISTERS(regs, cx);
		break;
	case IA32 | __NR_ia32_execveat:
		call.path = (u32)LOAD_OF_REGISTERS(regs, cx);
		call.args = (u32)LOAD_OF_REGISTERS(regs, dx);
		break;
#endif
	}
	return call;
}

static __always_inline bool is_exec_number(u32 number)
{
	switch (number) {
	case __NR_execve:
	case __NR_execveat:
#ifdef PROBED_HAS_IA32
	case __NR_ia32_execve:
	case __NR_ia32_execveat:
#endif
		return true;
	}
	return false;
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret): the arguments of a failed call are in the caller's memory */
PROGRAM(on_return)
{
	u32 errno = returned_errno(ctx);
	struct event *event;
	struct call call;
	u64 size;

	if (!errno || !is_exec_number(returning_number(ctx)) || is_restart(errno))
		return 0;
	if (!wants_errno(errno) || !wants_caller())
		return 0;
	call = call_of(current_registers());
	if (!call.args)
		return 0;
	event = begin_record();
	if (!event)
		return 0;
	describe_caller(event);
	event->result = -errno;
	event->path = append_string(event, sizeof(*event), call.path);
	size = sizeof(*event) + APPENDED(event->path);
	event->args = append_strings(event, size, call.args);
	event->pad = 0;
	send_record(event, size + APPENDED(event->args));
	return 0;
}
