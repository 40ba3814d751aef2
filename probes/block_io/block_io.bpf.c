// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

enum kind { KIND_QUEUE, KIND_DEVICE };
/* include/linux/blk_types.h: enum req_op */
enum operation {
	OPERATION_READ = 0,
	OPERATION_WRITE = 1,
	OPERATION_FLUSH = 2,
	OPERATION_DISCARD = 3,
	OPERATION_SECURE_ERASE = 5,
	OPERATION_WRITE_ZEROES = 9,
	OPERATION_DRV_IN = 34,
	OPERATION_DRV_OUT = 35,
	OPERATION_MASK = 0xff
};

struct event {
	WEIGHT;
	u64 latency_ns;
	u32 device;
	u8 kind;
	u8 operation;
	u16 pad;
};

/* A request between insertion and completion; `allocated_ns` tells it from a later one at the same address. */
struct progress {
	u64 allocated_ns, inserted_ns, issued_ns;
};

struct transfer {
	u32 device;
	u32 operation;
};

/* Address of the request to its progress, for 8,192 requests, 0.8 MB. Addresses repeat: a driver has a fixed number. */
BPF_HASH(requests, u64, struct progress, 8192);
BPF_HASH(bytes, struct transfer, u64, 2048);

/* The dev_t of the whole device; 0 for a queue without one. */
static __always_inline u32 device_of(struct request *request)
{
	struct request_queue *queue = READ(request, q);
	struct gendisk *disk = READ(queue, disk);

	return disk ? READ(disk, major) << 20 | READ(disk, first_minor) : 0;
}

static __always_inline u32 operation_of(struct request *request)
{
	return READ(request, cmd_flags) & OPERATION_MASK;
}

/* raw tracepoint block_rq_insert(struct request *rq): the request waits in an I/O scheduler */
PROGRAM(on_insert)
{
	struct request *request = (struct request *)ctx->args[0];
	struct progress progress = {};
	u64 address = ctx->args[0];

	progress.allocated_ns = READ(request, start_time_ns);
	progress.inserted_ns = bpf_ktime_get_boot_ns();
	if (requests.update(&address, &progress))
		count_note_lost();
	return 0;
}

/* raw tracepoint block_rq_issue(struct request *rq): the driver gets the request */
PROGRAM(on_issue)
{
	struct request *request = (struct request *)ctx->args[0];
	struct progress progress = {}, *former;
	u64 address = ctx->args[0];

	former = requests.lookup(&address);
	progress.allocated_ns = READ(request, start_time_ns);
	if (former && former->allocated_ns == progress.allocated_ns)
		progress.inserted_ns = former->inserted_ns;
	progress.issued_ns = bpf_ktime_get_boot_ns();
	if (requests.update(&address, &progress))
		count_note_lost();
	return 0;
}

static __always_inline void count_bytes(struct transfer transfer, u64 number)
{
	u64 zero = 0;

	add_to_count(bytes.lookup_or_try_init(&transfer, &zero), number);
}

static __always_inline void send_latency(u8 kind, u32 device, u32 operation, u64 latency_ns)
{
	struct event event = {};

	event.kind = kind;
	event.device = device;
	event.operation = operation;
	event.latency_ns = latency_ns;
	observe_event(&event, latency_ns);
}

/* raw tracepoint block_rq_complete(struct request *rq, blk_status_t error, unsigned int nr_bytes): also a part of it */
PROGRAM(on_complete)
{
	struct request *request = (struct request *)ctx->args[0];
	u64 address = ctx->args[0], now = bpf_ktime_get_boot_ns();
	u32 completed = ctx->args[2], device = device_of(request), operation = operation_of(request);
	struct transfer transfer = {.device = device, .operation = operation};
	struct progress *found, progress;

	count_bytes(transfer, completed);
	if (completed < READ(request, __data_len))
		return 0;
	found = requests.lookup(&address);
	if (!found)
		return 0;
	progress = *found;
	requests.delete(&address);
	if (!progress.issued_ns)
		return 0;
	if (progress.inserted_ns)
		send_latency(KIND_QUEUE, device, operation, progress.issued_ns - progress.inserted_ns);
	send_latency(KIND_DEVICE, device, operation, now - progress.issued_ns);
	return 0;
}
