// SPDX-License-Identifier: GPL-2.0-only
/*
 * Verifies that BTF gives the right offsets: reads members of a child of the loader. The loader compares the values
 * with helpers, /proc and wait, and refuses a probe with a wrong layout.
 *
 * The child calls getppid and exits. The loader defines CHECK_<struct>_<member> for each member that a probe uses, and
 * PIDNS_DEV and PIDNS_INO for its own PID namespace.
 */
#include "probed.bpf.h"

#ifdef PROBED_CORE
/* The object checks every member that the kernel has. */
const volatile u64 canary_pidns_dev, canary_pidns_ino;
#define PIDNS_DEV canary_pidns_dev
#define PIDNS_INO canary_pidns_ino

#undef READ
#define READ(pointer, member)                                    \
	({                                                       \
		__typeof__((pointer)->member) value_ = 0;        \
		if (bpf_core_field_exists((pointer)->member))    \
			value_ = BPF_CORE_READ(pointer, member); \
		value_;                                          \
	})
#define CHECK_task_struct_tgid
#define CHECK_task_struct_pid
#define CHECK_task_struct_comm
#define CHECK_task_struct_start_boottime
#define CHECK_task_struct_real_parent
#define CHECK_task_struct_group_leader
#define CHECK_task_struct_exit_code
#define CHECK_task_struct_signal
#define CHECK_signal_struct_live
#define CHECK_signal_struct_nr_threads
#define CHECK_signal_struct_flags
#define CHECK_signal_struct_group_exit_code
#ifdef __TARGET_ARCH_x86
#define CHECK_task_struct_thread_info
#define CHECK_pt_regs_orig_ax
#else
#define CHECK_pt_regs_syscallno
#endif
#endif

struct saw {
	u64 start_boottime;
	u32 tgid;
	u32 pid;
	u32 parent_tgid;
	u32 leader_tgid;
	u32 syscall;
	u32 ia32;
	u32 live;
	u32 nr_threads;
	u32 flags;
	u32 group_exit_code;
	u32 exit_code;
	u32 helper_tgid;
	u32 helper_pid;
	u32 pad;
	char comm[16];
	char helper_comm[16];
};

enum { CHILD, PARENT, FAMILY };

/* Thread group ids in the loader's PID namespace. */
BPF_ARRAY(family, u32, FAMILY);
BPF_ARRAY(in_call, struct saw, 1);
BPF_ARRAY(at_exit, struct saw, 1);

static __always_inline bool is_child(void)
{
	struct bpf_pidns_info seen = {};
	u32 index = CHILD, *tgid = family.lookup(&index);

	if (!tgid || !*tgid || bpf_get_ns_current_pid_tgid(PIDNS_DEV, PIDNS_INO, &seen, sizeof(seen)))
		return false;
	return *tgid == seen.tgid;
}

static __always_inline void look(struct saw *saw, struct task_struct *task)
{
	u64 both = bpf_get_current_pid_tgid();

	saw->helper_tgid = both >> 32;
	saw->helper_pid = both;
	bpf_get_current_comm(&saw->helper_comm, sizeof(saw->helper_comm));
#ifdef CHECK_task_struct_tgid
	saw->tgid = READ(task, tgid);
#endif
#ifdef CHECK_task_struct_pid
	saw->pid = READ(task, pid);
#endif
#ifdef CHECK_task_struct_comm
	READ_ARRAY(saw->comm, task, comm);
#endif
#ifdef CHECK_task_struct_start_boottime
	saw->start_boottime = READ(task, start_boottime);
#endif
#ifdef CHECK_task_struct_real_parent
	struct task_struct *parent = READ(task, real_parent);

	saw->parent_tgid = READ(parent, tgid);
#endif
#ifdef CHECK_task_struct_group_leader
	/* Compares pointers: the leader's members may be at wrong offsets too. */
	saw->leader_tgid = READ(task, group_leader) == task ? (u32)(bpf_get_current_pid_tgid() >> 32) : 0;
#endif
#ifdef CHECK_task_struct_exit_code
	saw->exit_code = READ(task, exit_code);
#endif
#ifdef CHECK_task_struct_thread_info
	saw->ia32 = READ(task, thread_info.status) & TS_COMPAT;
#endif
#ifdef CHECK_task_struct_signal
	struct signal_struct *signal = READ(task, signal);

#ifdef CHECK_signal_struct_live
	saw->live = READ(signal, live.counter);
#endif
#ifdef CHECK_signal_struct_nr_threads
	saw->nr_threads = READ(signal, nr_threads);
#endif
#ifdef CHECK_signal_struct_flags
	saw->flags = READ(signal, flags);
#endif
#ifdef CHECK_signal_struct_group_exit_code
	saw->group_exit_code = READ(signal, group_exit_code);
#endif
#endif
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret): the child's getppid */
PROGRAM(on_return)
{
	u32 zero = 0, index = PARENT, *parent = family.lookup(&index);
	struct saw *saw = in_call.lookup(&zero);

	if (!parent || ctx->args[1] != *parent || !saw || !is_child())
		return 0;
	look(saw, (struct task_struct *)bpf_get_current_task());
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
#if defined(CHECK_pt_regs_syscallno)
	saw->syscall = READ(regs, syscallno);
#elif defined(CHECK_pt_regs_orig_ax)
	saw->syscall = READ(regs, orig_ax);
#endif
	return 0;
}

/* raw tracepoint sched_process_exit(struct task_struct *p): the child's end */
PROGRAM(on_exit)
{
	u32 zero = 0;
	struct saw *saw;

	if (!is_child())
		return 0;
	saw = at_exit.lookup(&zero);
	if (saw)
		look(saw, (struct task_struct *)ctx->args[0]);
	return 0;
}
