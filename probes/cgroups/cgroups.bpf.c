// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

enum kind { KIND_MADE, KIND_REMOVED, KIND_RENAMED };

struct event {
	u64 id; /* as bpf_get_current_cgroup_id() returns: the inode of the directory in cgroup2 */
	u32 kind;
	u32 pad;
	char path[496]; /* from the hierarchy's root; a longer one is cut */
};

/* Hierarchies of cgroup v1 have ids of their own, which may be equal. */
static __always_inline bool is_cgroup2(struct cgroup *cgroup)
{
	struct cgroup_root *root = READ(cgroup, root);

	return READ(root, hierarchy_id) == 0; /* cgrp_dfl_root: kernel/cgroup/cgroup.c */
}

static __always_inline int announce(struct bpf_raw_tracepoint_args *ctx, u32 kind)
{
	struct cgroup *cgroup = (struct cgroup *)ctx->args[0];
	struct kernfs_node *node;
	struct event *event;

	if (!is_cgroup2(cgroup))
		return 0;
	event = reserve_event(sizeof(*event));
	if (!event)
		return 0;
	node = READ(cgroup, kn);
	event->id = READ(node, id);
	event->kind = kind;
	event->pad = 0;
	event->path[0] = 0;
	bpf_probe_read_kernel_str(event->path, sizeof(event->path), (void *)ctx->args[1]);
	submit_event(event);
	return 0;
}

/* raw tracepoint cgroup_mkdir(struct cgroup *cgrp, const char *path) */
PROGRAM(on_mkdir)
{
	return announce(ctx, KIND_MADE);
}

/* raw tracepoint cgroup_rmdir(struct cgroup *cgrp, const char *path) */
PROGRAM(on_rmdir)
{
	return announce(ctx, KIND_REMOVED);
}

/* raw tracepoint cgroup_rename(struct cgroup *cgrp, const char *path) */
PROGRAM(on_rename)
{
	return announce(ctx, KIND_RENAMED);
}
