// SPDX-License-Identifier: GPL-2.0-only
#include "probed.bpf.h"

#define S_IFMT	0170000 /* include/uapi/linux/stat.h */
#define S_IFREG 0100000

enum access { ACCESS_READ, ACCESS_FAULT };
enum outcome { OUTCOME_LOOKUP, OUTCOME_MISS };

struct event {
	WEIGHT;
	u64 cgroup;
	u32 access;
	u32 outcome;
};

/* The first page that a thread added to a mapping since the last lookup; no mapping: none. */
struct addition {
	u64 mapping, index;
};

/*
 * A thread between the lookup of a page and the end of the read. A thread may read the blocks of a file system's own
 * data, which are pages of the block device, while it reads a file: hence two additions.
 */
struct progress {
	u64 tid;
	u64 fault_mapping, fault_index; /* the last fault's page */
	u64 fault_missed;		/* 1 if the thread has added the page since */
	struct addition file, other;
};

/* A slot for each thread id modulo 8,192, 0.5 MB: threads that are in the middle of a miss are few. */
#define THREADS 8192
BPF_ARRAY(threads, struct progress, THREADS);

/* The slot of the current thread, or NULL if another thread has used the slot since. */
static __always_inline struct progress *find_progress(void)
{
	u32 tid = bpf_get_current_pid_tgid(), place = tid & (THREADS - 1);
	struct progress *progress = threads.lookup(&place);

	return progress && progress->tid == tid ? progress : NULL;
}

/* The slot of the current thread, emptied if another thread has used the slot. */
static __always_inline struct progress *take_progress(void)
{
	u32 tid = bpf_get_current_pid_tgid(), place = tid & (THREADS - 1);
	struct progress *progress = threads.lookup(&place);

	if (progress && progress->tid != tid) {
		progress->fault_mapping = 0;
		progress->file.mapping = 0;
		progress->other.mapping = 0;
		progress->tid = tid;
	}
	return progress;
}

static __always_inline void count(u32 access, u32 outcome)
{
	struct event event = {};

	event.cgroup = current_cgroup();
	event.access = access;
	event.outcome = outcome;
	count_event(&event);
}

static __always_inline void note(struct addition *addition, u64 mapping, u64 index)
{
	if (addition->mapping == mapping && addition->index <= index)
		return;
	addition->mapping = mapping;
	addition->index = index;
}

/* Takes the note of an addition to this mapping; tells if the addition began at `last` or before. */
static __always_inline bool take_note(struct addition *addition, u64 mapping, u64 last)
{
	if (addition->mapping != mapping)
		return false;
	addition->mapping = 0;
	return addition->index <= last;
}

/* Read-ahead for a fault begins at the fault's page or before, and goes on behind. */
static __always_inline bool is_of_fault(const struct progress *progress, u64 mapping, u64 index)
{
	return progress->fault_mapping == mapping && (progress->fault_missed || index <= progress->fault_index);
}

/* The kernel lets go of the memory map while it waits for the device, and then looks the same page up again. */
static __always_inline bool is_repeated(const struct progress *progress, u64 mapping, u64 index)
{
	return progress->fault_mapping == mapping && progress->fault_index == index && progress->fault_missed;
}

/* raw tracepoint mm_filemap_add_to_page_cache(struct folio *folio): for a read, a fault, read-ahead or a write */
PROGRAM(on_add)
{
	struct folio *folio = (struct folio *)ctx->args[0];
	struct address_space *mapping = LOAD(folio, mapping);
	u64 address = (u64)mapping, index = LOAD(folio, index);
	struct inode *host = READ(mapping, host);
	struct progress *progress = take_progress();

	if (!progress)
		return 0;
	if (is_of_fault(progress, address, index)) {
		if (!progress->fault_missed)
			count(ACCESS_FAULT, OUTCOME_MISS);
		progress->fault_missed = 1;
	} else if ((READ(host, i_mode) & S_IFMT) == S_IFREG) {
		note(&progress->file, address, index);
	} else {
		note(&progress->other, address, index);
	}
	return 0;
}

/* raw tracepoint mm_filemap_get_pages(struct address_space *mapping, pgoff_t index, pgoff_t last_index): has found */
PROGRAM(on_read)
{
	u64 address = ctx->args[0], last = ctx->args[2];
	struct progress *progress = find_progress();

	count(ACCESS_READ, OUTCOME_LOOKUP);
	if (!progress)
		return 0;
	if (progress->fault_mapping == address)
		progress->fault_mapping = 0;
	if (take_note(&progress->file, address, last) || take_note(&progress->other, address, last))
		count(ACCESS_READ, OUTCOME_MISS);
	return 0;
}

/* raw tracepoint mm_filemap_fault(struct address_space *mapping, pgoff_t index): is about to look */
PROGRAM(on_fault)
{
	u64 address = ctx->args[0], index = ctx->args[1];
	struct progress *progress = take_progress();

	if (!progress)
		return 0;
	if (is_repeated(progress, address, index)) {
		progress->fault_mapping = 0;
		return 0;
	}
	count(ACCESS_FAULT, OUTCOME_LOOKUP);
	progress->fault_mapping = address;
	progress->fault_index = index;
	progress->fault_missed = 0;
	return 0;
}

/* A thread that adds a page in order to write the page marks it as dirty next: no later read has missed that page. */
/* raw tracepoint writeback_dirty_folio(struct folio *folio, struct address_space *mapping) */
PROGRAM(on_dirty)
{
	struct progress *progress = find_progress();

	if (!progress)
		return 0;
	take_note(&progress->file, ctx->args[1], 0);
	take_note(&progress->other, ctx->args[1], 0);
	return 0;
}
