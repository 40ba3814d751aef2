// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

struct import {
	char module[128];
};

BPF_HASH(imports, struct import, u64, 1024);

PROGRAM(on_import)
{
	struct import import = {};
	u64 zero = 0;

	bpf_probe_read_user_str(import.module, sizeof(import.module), (void *)ctx->args[0]);
	add_to_count(imports.lookup_or_try_init(&import, &zero), 1);
	return 0;
}
