// SPDX-License-Identifier: GPL-2.0-only
/* Gauges of what there is now: threads and processes, their oom_score_adj, open files and listening sockets. */
#include "probed.bpf.h"

enum kind { KIND_THREAD, KIND_PROCESS, KIND_FILE, KIND_SOCKET };

#define LISTENING 10 /* TCP_LISTEN of include/net/tcp_states.h */

struct row {
	u64 cgroup;
	char comm[16];
	s32 oom_excess;
	u16 port;
	u16 kind;
};

/* iterator task(struct bpf_iter_meta *meta, struct task_struct *task) */
PROGRAM(each_task)
{
	struct task_struct *task = (struct task_struct *)ctx->args[1];
	struct signal_struct *signal;
	struct row row = {};

	if (!task)
		return 0;
	signal = LOAD(task, signal);
	comm_of(READ(task, group_leader), row.comm);
	row.cgroup = cgroup_of(task);
	row.oom_excess = READ(signal, oom_score_adj) - 1000;
	row.kind = LOAD(task, pid) == LOAD(task, tgid) ? KIND_PROCESS : KIND_THREAD;
	emit_row(ctx, &row);
	return 0;
}

/* iterator task_file(struct bpf_iter_meta *meta, struct task_struct *task, u32 fd, struct file *file) */
PROGRAM(each_file)
{
	struct task_struct *task = (struct task_struct *)ctx->args[1];
	struct row row = {};

	if (!task)
		return 0;
	comm_of(task, row.comm);
	row.kind = KIND_FILE;
	emit_row(ctx, &row);
	return 0;
}

/* iterator tcp(struct bpf_iter_meta *meta, struct sock_common *sk_common, uid_t uid) */
PROGRAM(each_socket)
{
	struct sock_common *socket = (struct sock_common *)ctx->args[1];
	struct row row = {};

	if (!socket || READ(socket, skc_state) != LISTENING)
		return 0;
	row.port = READ(socket, skc_num);
	row.kind = KIND_SOCKET;
	emit_row(ctx, &row);
	return 0;
}
