// SPDX-License-Identifier: GPL-2.0-only
/* Control groups by their depth in the tree. The kernel iterates as many as have room in 32 KiB of rows. */
#include "probed.bpf.h"

struct row {
	u32 level;
	char padding[4];
};

/* iterator cgroup(struct bpf_iter_meta *meta, struct cgroup *cgroup) */
PROGRAM(each_group)
{
	struct cgroup *cgroup = (struct cgroup *)ctx->args[1];
	struct row row = {};

	if (!cgroup)
		return 0;
	row.level = READ(cgroup, level);
	emit_row(ctx, &row);
	return 0;
}
