/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of probed.bpf.h for objects: `probed build` compiles them with clang, libbpf loads them. BCC never reads
 * this file. The field's headers serve maps, helpers and relocations (CO-RE); the macros here give them BCC's syntax,
 * so that one source serves both.
 *
 * The loader sets the constants below before the load, and sizes each map with PROCESSES. The verifier knows their
 * values and removes branches that they exclude.
 */
#ifndef PROBED_CORE_BPF_H
#define PROBED_CORE_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "syscall_numbers.h"

#define NULL		((void *)0)
#define lock_xadd(p, n) ((void)__sync_fetch_and_add(p, n))

char LICENSE[] SEC("license") = "GPL";
/* The digest of the sources, which the daemon compares with the sources that it finds. */
const volatile char probed_sources[] = "probed sources " PROBED_SOURCES;

const volatile u64 probed_cpus = 1;
#define CPUS probed_cpus

/* The loader scales maps of PROCESSES, or of a fraction down to a 64th, to the kernel's limit of threads. */
#define PROCESSES (1 << 30)
/* The loader gives maps of this size an entry for each possible CPU. */
#define CPU_ENTRIES (1U << 31)

/*
 * Maps. The name is a constant struct of functions, which the compiler takes apart: the byte code has calls of helpers
 * only. The map itself is NAME_map, and the loader knows it as NAME.
 */
#define PROBED_METHODS(name, key_type, value_type)                                                                 \
	static __always_inline value_type *name##_lookup(const key_type *key)                                      \
	{                                                                                                          \
		return bpf_map_lookup_elem(&name##_map, key);                                                      \
	}                                                                                                          \
	static __always_inline long name##_update(const key_type *key, const value_type *value)                    \
	{                                                                                                          \
		return bpf_map_update_elem(&name##_map, key, value, BPF_ANY);                                      \
	}                                                                                                          \
	static __always_inline long name##_insert(const key_type *key, const value_type *value)                    \
	{                                                                                                          \
		return bpf_map_update_elem(&name##_map, key, value, BPF_NOEXIST);                                  \
	}                                                                                                          \
	static __always_inline long name##_delete(const key_type *key)                                             \
	{                                                                                                          \
		return bpf_map_delete_elem(&name##_map, key);                                                      \
	}                                                                                                          \
	static __always_inline value_type *name##_lookup_or_try_init(const key_type *key, const value_type *value) \
	{                                                                                                          \
		value_type *found = bpf_map_lookup_elem(&name##_map, key);                                         \
                                                                                                                   \
		if (found)                                                                                         \
			return found;                                                                              \
		bpf_map_update_elem(&name##_map, key, value, BPF_NOEXIST);                                         \
		return bpf_map_lookup_elem(&name##_map, key);                                                      \
	}                                                                                                          \
	static const struct {                                                                                      \
		value_type *(*lookup)(const key_type *);                                                           \
		long (*update)(const key_type *, const value_type *);                                              \
		long (*insert)(const key_type *, const value_type *);                                              \
		long (*delete)(const key_type *);                                                                  \
		value_type *(*lookup_or_try_init)(const key_type *, const value_type *);                           \
	} name = {name##_lookup, name##_update, name##_insert, name##_delete, name##_lookup_or_try_init}

#define PROBED_MAP(kind, name, key_type, value_type, size) PROBED_FLAGGED_MAP(kind, name, key_type, value_type, size, 0)
#define PROBED_FLAGGED_MAP(kind, name, key_type, value_type, size, flags) \
	struct {                                                          \
		__uint(type, kind);                                       \
		__type(key, key_type);                                    \
		__type(value, value_type);                                \
		__uint(max_entries, size);                                \
		__uint(map_flags, flags);                                 \
	} name##_map SEC(".maps");                                        \
	PROBED_METHODS(name, key_type, value_type)

/* The defaults of BCC: keys and values are u64, a map has 10,240 entries. */
#define PROBED_SELECT(_1, _2, _3, _4, chosen, ...) chosen
#define PROBED_HASH4(kind, name, key, value, size) PROBED_MAP(kind, name, key, value, size)
#define PROBED_HASH3(kind, name, key, value)	   PROBED_MAP(kind, name, key, value, 10240)
#define PROBED_HASH2(kind, name, key)		   PROBED_MAP(kind, name, key, u64, 10240)
#define PROBED_HASH1(kind, name)		   PROBED_MAP(kind, name, u64, u64, 10240)
#define PROBED_HASH(kind, ...) \
	PROBED_SELECT(__VA_ARGS__, PROBED_HASH4, PROBED_HASH3, PROBED_HASH2, PROBED_HASH1)(kind, __VA_ARGS__)
#define PROBED_ARRAY3(kind, name, value, size) PROBED_MAP(kind, name, u32, value, size)
#define PROBED_ARRAY2(kind, name, value)       PROBED_MAP(kind, name, u32, value, 10240)
#define PROBED_ARRAY1(kind, name)	       PROBED_MAP(kind, name, u32, u64, 10240)
#define PROBED_ARRAY(kind, ...) \
	PROBED_SELECT(__VA_ARGS__, , PROBED_ARRAY3, PROBED_ARRAY2, PROBED_ARRAY1)(kind, __VA_ARGS__)

#define BPF_HASH(...)	      PROBED_HASH(BPF_MAP_TYPE_HASH, __VA_ARGS__)
#define BPF_PERCPU_HASH(...)  PROBED_HASH(BPF_MAP_TYPE_PERCPU_HASH, __VA_ARGS__)
#define BPF_ARRAY(...)	      PROBED_ARRAY(BPF_MAP_TYPE_ARRAY, __VA_ARGS__)
#define BPF_PERCPU_ARRAY(...) PROBED_ARRAY(BPF_MAP_TYPE_PERCPU_ARRAY, __VA_ARGS__)

/* See probed.bpf.h. The loader takes the flag away where the kernel needs it so. */
#define BPF_HASH_ON_DEMAND(name, key, value, size) \
	PROBED_FLAGGED_MAP(BPF_MAP_TYPE_HASH, name, key, value, size, BPF_F_NO_PREALLOC)

/* One u64 that the exporter maps. */
#define MAPPED_U64(name) PROBED_FLAGGED_MAP(BPF_MAP_TYPE_ARRAY, name, u32, u64, 1, BPF_F_MMAPABLE)

const volatile bool probed_preempted = true;
#define PREEMPTED probed_preempted

/*
 * take(), of two programs that preempt each other here perhaps for neither. Linux before 5.12 refuses objects with
 * BPF_XCHG, even in a branch that is never taken; hence additions.
 */
static __always_inline bool take_at_once(u64 *taken)
{
	lock_xadd(taken, 1);
	if (*(volatile u64 *)taken == 1)
		return true;
	lock_xadd(taken, -1);
	return false;
}

static __always_inline void give_back_at_once(u64 *taken)
{
	lock_xadd(taken, -1);
}

#ifdef PROBED_RING
const volatile u64 probed_ring_pages = 1;
#define RING_PAGES probed_ring_pages

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events_map SEC(".maps");

static __always_inline void *events_reserve(u64 size)
{
	return bpf_ringbuf_reserve(&events_map, size, 0);
}

static __always_inline void events_submit(void *event, u64 flags)
{
	bpf_ringbuf_submit(event, flags);
}

static __always_inline void events_discard(void *event, u64 flags)
{
	bpf_ringbuf_discard(event, flags);
}

static __always_inline long events_output(void *data, u64 size, u64 flags)
{
	return bpf_ringbuf_output(&events_map, data, size, flags);
}

static const struct {
	void *(*ringbuf_reserve)(u64);
	void (*ringbuf_submit)(void *, u64);
	void (*ringbuf_discard)(void *, u64);
	long (*ringbuf_output)(void *, u64, u64);
} events = {events_reserve, events_submit, events_discard, events_output};

static __always_inline u64 waiting_bytes(void)
{
	return bpf_ringbuf_query(&events_map, BPF_RB_AVAIL_DATA);
}
#endif

/*
 * Programs. Behind each program stands its tracepoint's array of programs, of which the program jumps to entry
 * NAME_next. hook_NAME is the hook of the tracepoint, which jumps to the first program; the loader loads it
 * where no other probe has hooked the tracepoint. See loader/common/hook_chain.py.
 *
 * kprobe_NAME and kprobe_hook_NAME are the same in a kprobe, for attach points that are kprobes, and for kernels that
 * preempt programs of raw tracepoints. They get the registers of a function with the arguments, from argument
 * NAME_first of the function on; RETURNED and INSTRUCTION stand for other registers. See loader/common/preemption.py,
 * for x86 only.
 */
#define PROBED_SLOTS 32

static __always_inline int probed_jump(void *ctx, void *chain, u32 next)
{
	if (next < PROBED_SLOTS)
		bpf_tail_call(ctx, chain, next);
	return 0;
}

#ifdef __TARGET_ARCH_x86
const volatile bool probed_in_kprobes = false;
#define IN_KPROBES probed_in_kprobes

#define RETURNED    6
#define INSTRUCTION 7
#define KPROBE(name)                                                                         \
	const volatile u32 name##_first = 0;                                                 \
	SEC("kprobe.multi") int kprobe_##name(struct pt_regs *regs)                          \
	{                                                                                    \
		u64 all[] = {regs->di, regs->si, regs->dx, regs->cx, regs->r8, regs->r9, 0}; \
		u64 arguments[6];                                                            \
                                                                                             \
		for (int i = 0; i < 6; i++)                                                  \
			arguments[i] = name##_first ? all[i + 1] : all[i];                   \
		if (name##_first == RETURNED)                                                \
			arguments[0] = regs->ax;                                             \
		if (name##_first == INSTRUCTION)                                             \
			arguments[0] = regs->ip;                                             \
		program_##name((struct bpf_raw_tracepoint_args *)arguments, regs);           \
		return probed_jump(regs, &name##_chain, name##_next);                        \
	}                                                                                    \
	SEC("kprobe.multi") int kprobe_hook_##name(struct pt_regs *regs)                     \
	{                                                                                    \
		return probed_jump(regs, &name##_chain, 0);                                  \
	}
#else
#define IN_KPROBES false
#define KPROBE(name)
#endif

#if defined(PROBED_USDT) && defined(__TARGET_ARCH_x86)
/* usdt_NAME is the program at a USDT probe; the loader writes the table of arguments. */
#define USDT(name)                                                                                               \
	const volatile u32 name##_count = 0;                                                                     \
	const volatile struct usdt_argument name##_arguments[USDT_FORMS * USDT_ARGUMENTS] = {};                  \
	SEC("kprobe.multi") int usdt_##name(struct pt_regs *regs)                                                \
	{                                                                                                        \
		u64 arguments[USDT_ARGUMENTS] = {}, first;                                                       \
                                                                                                                 \
		first = (bpf_get_attach_cookie(regs) & (USDT_FORMS - 1)) * USDT_ARGUMENTS;                       \
		for (u32 i = 0; i < USDT_ARGUMENTS; i++)                                                         \
			if (i < name##_count)                                                                    \
				arguments[i] = usdt_argument(regs, usdt_constant(&name##_arguments[first + i])); \
		program_##name((struct bpf_raw_tracepoint_args *)arguments, regs);                               \
		return probed_jump(regs, &name##_chain, name##_next);                                            \
	}
#else
#define USDT(name)
#endif

#ifdef PROBED_ROWS
/* iterator_NAME is the program at an iterator, which stands in no chain. After the last object there is none. */
#define ITERATOR(name)                                                       \
	SEC("iter") int iterator_##name(struct bpf_raw_tracepoint_args *ctx) \
	{                                                                    \
		if (ctx->args[1])                                            \
			program_##name(ctx, ctx);                            \
		return 0;                                                    \
	}

static __always_inline void *rows_of(struct bpf_raw_tracepoint_args *ctx)
{
	return ((struct bpf_iter_meta *)ctx->args[0])->seq;
}
#else
#define ITERATOR(name)
#endif

#define PROGRAM(name)                                                                                  \
	struct {                                                                                       \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                                 \
		__type(key, u32);                                                                      \
		__type(value, u32);                                                                    \
		__uint(max_entries, PROBED_SLOTS);                                                     \
	} name##_chain SEC(".maps");                                                                   \
	const volatile u32 name##_next = PROBED_SLOTS;                                                 \
	static __always_inline int program_##name(struct bpf_raw_tracepoint_args *ctx, void *context); \
	SEC("tp_btf") int name(struct bpf_raw_tracepoint_args *ctx)                                    \
	{                                                                                              \
		program_##name(ctx, ctx);                                                              \
		return probed_jump(ctx, &name##_chain, name##_next);                                   \
	}                                                                                              \
	SEC("tp_btf") int hook_##name(struct bpf_raw_tracepoint_args *ctx)                             \
	{                                                                                              \
		return probed_jump(ctx, &name##_chain, 0);                                             \
	}                                                                                              \
	KPROBE(name)                                                                                   \
	USDT(name)                                                                                     \
	ITERATOR(name)                                                                                 \
	static __always_inline int program_##name(struct bpf_raw_tracepoint_args *ctx, void *context)

/* Reads of kernel memory, at the running kernel's offsets: libbpf relocates them. */
#define READ(pointer, member)			 BPF_CORE_READ(pointer, member)
#define READ_ARRAY(destination, pointer, member) BPF_CORE_READ_INTO(&(destination), pointer, member)
/* In a kprobe the verifier does not know the types of the arguments. */
#define LOAD(pointer, member)	    (IN_KPROBES ? READ(pointer, member) : LOAD_TYPED(pointer, member))
#define LOAD_TYPED(pointer, member) ((pointer)->member)

/* The offset of a member in the running kernel's struct; takes a pointer to the struct, as READ does. */
#define OFFSET_OF(pointer, member) ((u64)__builtin_preserve_access_index(&((__typeof__(*(pointer)) *)0)->member))

/* Since Linux 5.11, commit 3ca1032ab7ab. */
#define HAS_TASK_BTF bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)

static __always_inline struct task_struct *current_task(void)
{
	return HAS_TASK_BTF ? bpf_get_current_task_btf() : (struct task_struct *)bpf_get_current_task();
}

#define LOAD_OF_TASK(pointer, member) (HAS_TASK_BTF ? LOAD_TYPED(pointer, member) : READ(pointer, member))

/*
 * comm_of() for the current task and tasks behind its pointers, as LOAD_OF_TASK is for their members. No helper gets
 * the address of the event, so the event stays in registers.
 */
static __always_inline void load_comm(struct task_struct *task, void *destination)
{
	u64 *halves = destination, *comm = (u64 *)__builtin_preserve_access_index(&task->comm), read[2];

	if (HAS_TASK_BTF) {
		halves[0] = comm[0];
		halves[1] = comm[1];
	} else {
		bpf_probe_read_kernel(read, sizeof(read), comm);
		halves[0] = read[0];
		halves[1] = read[1];
	}
}

#define HAS_TASK_PT_REGS bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)

/* Before Linux 5.15: at the top of a stack of four pages. arch/x86/include/asm/processor.h: task_pt_regs() */
static __always_inline struct pt_regs *current_registers(void)
{
	if (HAS_TASK_PT_REGS)
		return (struct pt_regs *)bpf_task_pt_regs(current_task());
	return (struct pt_regs *)(READ(current_task(), stack) + 16384 - bpf_core_type_size(struct pt_regs));
}

#define LOAD_OF_REGISTERS(regs, member) (HAS_TASK_PT_REGS ? LOAD_TYPED(regs, member) : READ(regs, member))

/* A kernel without 32-bit programs never sets their bit in a task. */
#ifdef __TARGET_ARCH_x86
#define PROBED_HAS_IA32 1
#endif

#endif
