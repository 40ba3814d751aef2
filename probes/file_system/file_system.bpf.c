// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define S_IFMT	0170000 /* include/uapi/linux/stat.h */
#define S_IFREG 0100000

enum operation { OPERATION_READ, OPERATION_WRITE, OPERATION_OPEN };

struct event {
	WEIGHT;
	char type[16];
	u64 latency_ns;
	u64 operation;
};

/* A file system may call the same function for a file below, as overlayfs does: hence the file in the key. */
struct call {
	u64 file;
	u32 thread;
	u32 operation;
};

/* The boot-clock times of calls that have not returned, 1.3 MB. */
BPF_HASH(calls, struct call, u64, 8192);

static __always_inline struct call call_of(u64 file, u32 operation)
{
	struct call call = {};

	call.file = file;
	call.thread = bpf_get_current_pid_tgid();
	call.operation = operation;
	return call;
}

static __always_inline int begin(struct inode *inode, u64 file, u32 operation)
{
	struct call call = call_of(file, operation);
	u64 now = bpf_ktime_get_boot_ns();

	if ((READ(inode, i_mode) & S_IFMT) == S_IFREG && calls.update(&call, &now))
		count_note_lost();
	return 0;
}

static __always_inline int end(struct inode *inode, u64 file, u32 operation)
{
	struct call call = call_of(file, operation);
	u64 *found = calls.lookup(&call);
	struct event event = {};
	struct super_block *mounted;
	struct file_system_type *type;

	if (!found)
		return 0;
	event.latency_ns = bpf_ktime_get_boot_ns() - *found;
	calls.delete(&call);
	mounted = READ(inode, i_sb);
	type = READ(mounted, s_type);
	bpf_probe_read_kernel_str(event.type, sizeof(event.type), READ(type, name));
	event.operation = operation;
	observe_event(&event, latency_ns);
	return 0;
}

static __always_inline struct inode *inode_of(u64 address)
{
	struct file *file = (struct file *)address;

	return READ(file, f_inode);
}

/* The file of a call that opens has no inode yet. */
static __always_inline struct inode *inode_at(u64 address)
{
	struct path *path = (struct path *)address;
	struct dentry *dentry = READ(path, dentry);

	return READ(dentry, d_inode);
}

/* fentry vfs_read(struct file *file, char *buf, size_t count, loff_t *pos) */
PROGRAM(on_read)
{
	return begin(inode_of(ctx->args[0]), ctx->args[0], OPERATION_READ);
}

/* fexit vfs_read(struct file *file, char *buf, size_t count, loff_t *pos) */
PROGRAM(on_read_end)
{
	return end(inode_of(ctx->args[0]), ctx->args[0], OPERATION_READ);
}

/* fentry vfs_write(struct file *file, const char *buf, size_t count, loff_t *pos) */
PROGRAM(on_write)
{
	return begin(inode_of(ctx->args[0]), ctx->args[0], OPERATION_WRITE);
}

/* fexit vfs_write(struct file *file, const char *buf, size_t count, loff_t *pos) */
PROGRAM(on_write_end)
{
	return end(inode_of(ctx->args[0]), ctx->args[0], OPERATION_WRITE);
}

/* fentry vfs_open(const struct path *path, struct file *file) */
PROGRAM(on_open)
{
	return begin(inode_at(ctx->args[0]), ctx->args[1], OPERATION_OPEN);
}

/* fexit vfs_open(const struct path *path, struct file *file) */
PROGRAM(on_open_end)
{
	return end(inode_at(ctx->args[0]), ctx->args[1], OPERATION_OPEN);
}
