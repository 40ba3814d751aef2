// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define TCP_ESTABLISHED 1 /* include/net/tcp_states.h */
#define TCP_SYN_RECV	3

struct latency {
	u32 port;
	u32 bucket;
};

BPF_HASH(established, u64, u64, 10240);
BPF_HASH(accept_ns, struct latency, struct histogram_bucket, 8192);

/* raw tracepoint inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate) */
PROGRAM(on_state)
{
	u64 sk = ctx->args[0], now = bpf_ktime_get_ns();

	if (ctx->args[1] == TCP_SYN_RECV && ctx->args[2] == TCP_ESTABLISHED) {
		if (established.update(&sk, &now))
			count_note_lost();
	} else if (ctx->args[1] == TCP_ESTABLISHED) {
		established.delete(&sk);
	}
	return 0;
}

/* The socket behind a file descriptor of the current process. */
static __always_inline struct sock *socket_of(u64 fd)
{
	struct task_struct *task = current_task();
	struct files_struct *files = READ(task, files);
	struct fdtable *table = READ(files, fdt);
	struct file **files_of_fds = READ(table, fd), *file = NULL;
	struct socket *socket;

	bpf_probe_read_kernel(&file, sizeof(file), files_of_fds + fd);
	socket = READ(file, private_data);
	return READ(socket, sk);
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret) */
PROGRAM(on_accepted)
{
	u32 number = returning_number(ctx);
	struct histogram_bucket empty = {};
	struct latency key = {};
	u64 *start, latency, sk;

	if ((number != __NR_accept && number != __NR_accept4) || returned_errno(ctx))
		return 0;
	sk = (u64)socket_of(ctx->args[1]);
	start = established.lookup(&sk);
	if (!start)
		return 0;
	latency = bpf_ktime_get_ns() - *start;
	established.delete(&sk);
	key.port = READ((struct sock *)sk, __sk_common.skc_num);
	key.bucket = LOG2_BUCKET(accept_ns, latency);
	count_in_bucket(accept_ns.lookup_or_try_init(&key, &empty), latency);
	return 0;
}
