/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The common part of every probe: reads kernel memory, sends events, counts lost events.
 *
 * The loader puts this text in front of the probe's C, so both are one source for BCC. BCC rewrites map functions only
 * there, and not inside macros: hence the functions below. The loader also defines
 *   RING_PAGES	pages of the ring, if the declaration has a ring
 *   SLOTS	label sets that each CPU counts by itself, if the declaration's ring has slots
 *   TRACE	if the declaration has columns: see trace probes, at the end
 *   VALUE_name	for each CONSTANT(name) of a trace probe
 *   LOG2_FIRST_name, LINEAR_FIRST_name, LINEAR_WIDTH_name	for each map of a histogram: see LOG2_BUCKET
 *   WHEN_MEMBERS(apply, type)	`apply(type, member)` for each member of the event in a `when` of the declaration
 *   CPUS	the number of possible CPUs of this kernel
 *   PROCESSES	the size of maps with an entry for each living process: the kernel's limit of threads, within bounds
 *   ON_DEMAND	BPF_F_NO_PREALLOC if the kernel allocates entries safely in any program, else 0: see BPF_HASH_ON_DEMAND
 *   PROBED_HAS_IA32	if the kernel runs 32-bit x86 programs
 *   PROBED_USDT	if programs run at USDT probes
 *   PROBED_ROWS	if programs run at iterators
 *   PROBED_IN_KPROBES	if programs run in kprobes, because the kernel preempts those of raw tracepoints
 *   PROBED_PREEMPTED	if the kernel may preempt a program of the probe
 *   PROBED_HAS_name	for helpers that some kernels lack; listed in loader/bcc/sources.py
 * and one #define for each __NR_name and __NR_ia32_name that the source uses.
 */
#ifndef PROBED_BPF_H
#define PROBED_BPF_H

#ifdef PROBED_CORE
#include "core.bpf.h"
#else

/*
 * For BCC only, which rewrites map functions and plain accesses to kernel memory: hence functions, methods and
 * assembly. core.bpf.h has the same names for clang and libbpf.
 */
#include <linux/types.h>

/*
 * One program. The declaration names the raw tracepoint, and ctx->args are the tracepoint's arguments. The loader adds
 * the function `name` that the kernel calls: the program, then a jump to the next probe's program. `context` is what
 * the kernel passes, in a kprobe the registers.
 */
#define PROGRAM(name) static __always_inline int program_##name(struct bpf_raw_tracepoint_args *ctx, void *context)

/* The value of pointer->member in kernel memory, or 0 if the kernel cannot read the address. */
#define READ(pointer, member)                                                       \
	({                                                                          \
		__typeof__((pointer)->member) value_;                               \
		bpf_probe_read_kernel(&value_, sizeof(value_), &(pointer)->member); \
		value_;                                                             \
	})

/*
 * READ in one instruction, for pointers with a type that the verifier knows: arguments of the tracepoint, and pointers
 * that LOAD returned. Members of 4 or 8 bytes. BCC would turn a plain access into a call, but leaves assembly alone.
 */
#define LOAD_TYPED(pointer, member)                                                \
	({                                                                         \
		u64 value_;                                                        \
		if (sizeof((pointer)->member) == 8)                                \
			LOAD_AT(u64, value_, pointer, OFFSET_OF(pointer, member)); \
		else                                                               \
			LOAD_AT(u32, value_, pointer, OFFSET_OF(pointer, member)); \
		(__typeof__((pointer)->member))value_;                             \
	})
/* In a kprobe the verifier does not know the types of the arguments. */
#ifdef PROBED_IN_KPROBES
#define IN_KPROBES	      true
#define LOAD(pointer, member) READ(pointer, member)
#else
#define IN_KPROBES	      false
#define LOAD(pointer, member) LOAD_TYPED(pointer, member)
#endif
#define LOAD_AT(type, value, pointer, offset) \
	asm volatile("%0 = *(" #type " *)(%1 + %2)" : "=r"(value) : "r"(pointer), "i"(offset))
/* Without `*(pointer)`: BCC takes that for an access to kernel memory even here, and rewrites the macro's name. */
#define OFFSET_OF(pointer, member) ((u64) & ((__typeof__(pointer))0)->member)

/*
 * The current task, and members of the task and of structs behind its pointers. The verifier knows the type since Linux
 * 5.11 (commit 3ca1032ab7ab); before, every access is a READ.
 */
#ifdef PROBED_HAS_GET_CURRENT_TASK_BTF
#define current_task()		      bpf_get_current_task_btf()
#define LOAD_OF_TASK(pointer, member) LOAD_TYPED(pointer, member)
#else
#define current_task()		      ((struct task_struct *)bpf_get_current_task())
#define LOAD_OF_TASK(pointer, member) READ(pointer, member)
#endif

/* READ for arrays: copies into `destination`, an array of the event. */
#define READ_ARRAY(destination, pointer, member) \
	bpf_probe_read_kernel(&(destination), sizeof(destination), &(pointer)->member)

/* comm_of() for the current task and tasks behind its pointers, as LOAD_OF_TASK is for their members. */
static __always_inline void load_comm(struct task_struct *task, void *destination)
{
#ifdef PROBED_HAS_GET_CURRENT_TASK_BTF
	u64 *halves = destination;

	LOAD_AT(u64, halves[0], task, OFFSET_OF(task, comm));
	LOAD_AT(u64, halves[1], task, OFFSET_OF(task, comm) + 8);
#else
	bpf_probe_read_kernel(destination, 16, &task->comm);
#endif
}

/* The current task's registers of user space. */
#ifdef PROBED_HAS_TASK_PT_REGS
#define current_registers()		((struct pt_regs *)bpf_task_pt_regs(current_task()))
#define LOAD_OF_REGISTERS(regs, member) LOAD_TYPED(regs, member)
#else
/* Before Linux 5.15: at the top of a stack of four pages. arch/x86/include/asm/processor.h: task_pt_regs() */
#define current_registers()		((struct pt_regs *)(READ(current_task(), stack) + 16384) - 1)
#define LOAD_OF_REGISTERS(regs, member) READ(regs, member)
#endif

#define REGISTER_NUMBERS                                                                           \
	".set number_of_r0, 0\n.set number_of_r1, 1\n.set number_of_r2, 2\n.set number_of_r3, 3\n" \
	".set number_of_r4, 4\n.set number_of_r5, 5\n.set number_of_r6, 6\n.set number_of_r7, 7\n" \
	".set number_of_r8, 8\n.set number_of_r9, 9\n"

#ifdef PROBED_PREEMPTED
#define PREEMPTED true
#else
#define PREEMPTED false
#endif

/*
 * take() in one step, by BPF_XCHG (Linux 5.12, commit 5ffa25502b5a), which the loader tries: before, no program that
 * may be preempted takes a slot, and each event is a record. LLVM 14 makes no BPF_XCHG for BCC, and its assembler knows
 * no name for the instruction: the text writes the number, with the registers that LLVM chose.
 */
static __always_inline bool take_at_once(u64 *taken)
{
#ifdef PROBED_HAS_EXCHANGE
	u64 value = 1;

	asm volatile(REGISTER_NUMBERS ".quad 0xe1000000db + (number_of_%1 << 8) + (number_of_%0 << 12)"
		     : "+r"(value)
		     : "r"(taken)
		     : "memory");
	return !value;
#else
	return false;
#endif
}

static __always_inline void give_back_at_once(u64 *taken)
{
	*(volatile u64 *)taken = 0;
}

/*
 * BPF_HASH with all four arguments, for a map that is seldom full: an entry takes memory as long as it is there. Linux
 * before 6.1 allocates all entries at the start (kernel/bpf/memalloc.c came with 6.1). An update may also fail because
 * the service has no memory left; so counts stay in a BPF_HASH.
 */
#define BPF_HASH_ON_DEMAND(name, key, value, size) BPF_F_TABLE("hash", key, value, name, size, ON_DEMAND)

#ifdef PROBED_ROWS
/* The file of an iteration: the first member of struct bpf_iter_meta, the first argument. */
static __always_inline void *rows_of(struct bpf_raw_tracepoint_args *ctx)
{
	u64 file;

	LOAD_AT(u64, file, ctx->args[0], 0);
	return (void *)file;
}
#endif

/* The size of a map with an entry for each possible CPU. */
#define CPU_ENTRIES	 CPUS

/* One u64 that the exporter maps. The flag is BPF_F_MMAPABLE. */
#define MAPPED_U64(name) BPF_F_TABLE("array", u32, u64, name, 1, 1U << 10)

#ifdef RING_PAGES
BPF_RINGBUF_OUTPUT(events, RING_PAGES);

/*
 * Returns the bytes in the ring, records before submission included. BCC 0.26 has no method for the helper
 * bpf_ringbuf_query(), 134. BCC turns the method ringbuf_output() into a call of bpf_ringbuf_output() with the ring as
 * first argument, and the macro redirects the call to the helper. Flag 0 is BPF_RB_AVAIL_DATA.
 */
static u64 (*ringbuf_query)(void *ring, u64 flags) = (void *)134;
#define bpf_ringbuf_output(ring, data, size, flags) ringbuf_query(ring, flags)

static __always_inline u64 waiting_bytes(void)
{
	return events.ringbuf_output(NULL, 0, 0);
}
#undef bpf_ringbuf_output
#endif
#endif

#ifdef PROBED_USDT
/*
 * Where an argument of a USDT probe is, which the loader reads from the note of the program or library: a number and
 * registers, added up, or the program's memory at that address. loader/common/usdt_arguments.py has the same members.
 * A probe has up to USDT_FORMS ways to place its arguments; bpf_get_attach_cookie() is the number of one.
 */
#define USDT_FORMS     16
#define USDT_ARGUMENTS 12

struct usdt_argument {
	s64 number;
	u8 base, bases;	 /* offset of a register in struct pt_regs, and 1, or 0 for no register */
	u8 index, scale; /* the same for a register that is scaled */
	u8 bytes;	 /* of memory, 0 for none */
	u8 shift;	 /* bits that are not of the argument */
	u8 is_signed, pad;
};

/* Reads each member of a constant by itself: of a whole volatile struct, clang 19 takes the zeros of the initializer.
 */
static __always_inline struct usdt_argument usdt_constant(const volatile struct usdt_argument *from)
{
	return (struct usdt_argument){
		.number = from->number,
		.base = from->base,
		.bases = from->bases,
		.index = from->index,
		.scale = from->scale,
		.bytes = from->bytes,
		.shift = from->shift,
		.is_signed = from->is_signed,
	};
}

static __always_inline u64 register_at(const void *regs, u64 offset)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), regs + offset);
	return value;
}

static __always_inline u64 usdt_argument(const void *regs, const struct usdt_argument from)
{
	u64 value = from.number, read[2] = {};

	if (from.bases)
		value += register_at(regs, from.base);
	if (from.scale)
		value += register_at(regs, from.index) * from.scale;
	if (from.bytes) {
		bpf_probe_read_user(read, from.bytes & 15, (void *)value);
		value = read[0];
	}
	value <<= from.shift & 63;
	return from.is_signed ? (s64)value >> (from.shift & 63) : value >> (from.shift & 63);
}
#endif

#ifdef PROBED_ROWS
/*
 * Emits one row of an iterator, a `struct row` with all members set. The kernel calls a program at an iterator for each
 * object, whenever the exporter reads; if a row finds its buffer full, again for the same object, without its rows.
 */
#define emit_row(ctx, pointer)                                                                   \
	({                                                                                       \
		_Static_assert(__builtin_types_compatible_p(__typeof__(*(pointer)), struct row), \
			       "takes a struct row");                                            \
		bpf_seq_write(rows_of(ctx), pointer, sizeof(struct row));                        \
	})
#endif

/*
 * Puts 1 into *taken of this CPU; false if another program on this CPU has put 1. Without preemption only an interrupt
 * comes between two accesses, and its programs give back what they take before the interrupted program goes on.
 */
static __always_inline bool take(u64 *taken)
{
	if (PREEMPTED)
		return take_at_once(taken);
	if (*(volatile u64 *)taken)
		return false;
	*(volatile u64 *)taken = 1;
	return true;
}

static __always_inline void give_back(u64 *taken)
{
	if (PREEMPTED)
		give_back_at_once(taken);
	else
		*(volatile u64 *)taken = 0;
}

/* Makes the compiler forget what it knows of a variable, so that a check which follows stays for the verifier. */
#define FORGET(value) asm volatile("" : "+r"(value))

/* The exporter reads the counters in this order; STAT_KEPT to STAT_BEGUN are two each: see overflow_label_set(). */
enum probed_stat {
	STAT_SENT,
	STAT_RING_FULL,
	STAT_MAP_FULL,
	STAT_NOTE_LOST,
	STAT_KEPT,
	STAT_LEFT = STAT_KEPT + 2,
	STAT_BEGUN = STAT_LEFT + 2,
	STATS = STAT_BEGUN + 2
};

/*
 * Counters per CPU for the probe's sum of events. Programs count STAT_SENT between reservation and submission, and the
 * exporter compares the count with the ring. The addition is atomic, because a preempted program may share the CPU's
 * counter with another program of the probe.
 */
BPF_PERCPU_ARRAY(probed_stats, u64, STATS);

static __always_inline u64 probed_count(u32 stat)
{
	u64 *count = probed_stats.lookup(&stat);

	if (!count)
		return 0;
	lock_xadd(count, 1);
	return *count;
}

/* Counts one loss. Call this function for every count that a full map refused. */
static __always_inline void count_map_full(void)
{
	probed_count(STAT_MAP_FULL);
}

/* Adds to a count: an entry of a map, or NULL where the map is full. */
static __always_inline void add_to_count(u64 *count, u64 number)
{
	if (count)
		lock_xadd(count, number);
	else
		count_map_full();
}

/* Counts a note that a full map refused: state for a later event, which is sent all the same with less detail. */
static __always_inline void count_note_lost(void)
{
	probed_count(STAT_NOTE_LOST);
}

/*
 * A histogram in the kernel: a hash of this struct, by a key with the label fields and `u32 bucket`, the number of the
 * bucket. No event passes a ring, and the sum of the values is exact. Example in probes/README.md.
 *
 * The exporter may read an entry between two words, the sum first. A program adds to the count first, so the count of a
 * value is there at the latest with the sum.
 */
struct histogram_bucket {
	u64 sum, count;
};

/* Counts a value in its bucket: an entry of the map, or NULL where the map is full. */
static __always_inline void count_in_bucket(struct histogram_bucket *bucket, u64 value)
{
	if (!bucket) {
		count_map_full();
		return;
	}
	lock_xadd(&bucket->count, 1);
	lock_xadd(&bucket->sum, value);
}

/* The number of bits up to the highest one that is set. Without branches, of which the verifier would follow each. */
static __always_inline u32 bit_length(u64 value)
{
	u64 bits = 0, above, shift;

#pragma clang loop unroll(full)
	for (u32 width = 32; width; width >>= 1) {
		above = -(value >> width);
		FORGET(above); /* the compiler would turn the shift into a branch */
		shift = (above >> 63) * width;
		value >>= shift;
		bits += shift;
	}
	return bits + value;
}

/*
 * The number of a value's bucket in a map, by the rule of the metric that reads the map: `buckets: {exponential: …}` or
 * `{linear: …}`. The bounds come from the YAML, in units of the map's name. With the other rule, or a list of bounds,
 * the macro does not compile.
 */
#define LOG2_BUCKET(map, value)	  log2_bucket(value, LOG2_FIRST_##map)
#define LINEAR_BUCKET(map, value) linear_bucket(value, LINEAR_FIRST_##map, LINEAR_WIDTH_##map)

/* The number of a value's bucket where the upper bounds are first, 2 * first, 4 * first and so on: 0 to 64. */
static __always_inline u32 log2_bucket(u64 value, u64 first)
{
	return bit_length(value ? (value - 1) / first : 0);
}

#define MOST_BOUNDS 200 /* of a rule in the YAML: MAX_BUCKETS of daemon/probed/config/declaration/histograms.py */

/* Likewise where the upper bounds are first, first + width, first + 2 * width and so on: 0 to MOST_BOUNDS. */
static __always_inline u32 linear_bucket(u64 value, u64 first, u64 width)
{
	u64 bucket = value > first ? (value - first - 1) / width + 1 : 0;

	return bucket < MOST_BOUNDS ? bucket : MOST_BOUNDS;
}

/*
 * A slot of NAME_recent, a BPF_PERCPU_ARRAY beside the hash NAME with a key of 8 bytes. A slot counts a key that occurs
 * many times in a row, at a tenth of the cost of a look-up in the hash. The exporter reads the hash, then the slots,
 * word by word, while programs run. So a program inserts each key into the hash before a slot, and stops a slot before
 * adding the count to the hash. Example: probes/open_failures.
 */
struct recent_count {
	u64 started, key, count, stopped; /* valid while started equals stopped, and `count` is not 0 */
};

#define WRITE(place, value) (*(volatile __typeof__(place) *)&(place) = (value))

static __always_inline bool is_recent(const struct recent_count *slot, u64 key)
{
	return slot->key == key && slot->count;
}

/* Stops the slot: the program may add the count to the hash now. */
static __always_inline void stop_recent(struct recent_count *slot)
{
	WRITE(slot->stopped, slot->stopped + 1);
}

/* Starts the slot for `key` with a count of 0. */
static __always_inline void start_recent(struct recent_count *slot, u64 key)
{
	WRITE(slot->count, 0);
	WRITE(slot->key, key);
	WRITE(slot->started, slot->stopped);
}

/* Returns the slot of a key; `slots` is a power of two. */
static __always_inline u32 recent_slot(u64 key, u32 slots)
{
	return (u32)(key * 0x9e3779b97f4a7c15UL >> 32) & (slots - 1);
}

#ifdef RING_PAGES
#ifndef SLOTS
/* Returns room for one event, or NULL and counts the loss if the ring is full. Submit every reserved event. */
static __always_inline void *reserve_event(u64 size)
{
	void *event = events.ringbuf_reserve(size);

	if (!event)
		probed_count(STAT_RING_FULL);
	return event;
}
#endif

/*
 * The fill mark. Each CPU asks the ring whenever its own events have filled another quarter of its share, and wakes the
 * exporter if a quarter of the ring waits. So all CPUs together fill at most another quarter between two questions.
 * Below the mark, events wait for the next scrape. The size of a ring is a power of two.
 */
#define RING_BYTES	   (RING_PAGES * 4096UL)
#define RECORD_BYTES(size) (((size) + 15UL) & ~7UL)
#define ASK_STEP(size)	   (RECORD_BYTES(size) * 4 * CPUS)

static __always_inline bool asks_ring(u64 sent, u64 step)
{
	return ((sent * step) & (RING_BYTES - 1)) < step;
}

static __always_inline void submit_event_of(void *event, u64 size, bool wakes)
{
	u64 sent = probed_count(STAT_SENT), wake = BPF_RB_NO_WAKEUP;

	if (wakes || (asks_ring(sent, ASK_STEP(size)) && waiting_bytes() >= RING_BYTES / 4))
		wake = BPF_RB_FORCE_WAKEUP;
	events.ringbuf_submit(event, wake);
}

#ifndef SLOTS
/* Submits a complete event; takes a pointer to the struct. */
#define submit_event(event) submit_event_of(event, sizeof(*(event)), false)
#else
/*
 * Events with a weight: one record of the ring stands for many events of one label set. WEIGHT begins such a struct
 * event, and the other members are the label set; a program makes the event in its own memory, zeroed, and calls
 *   count_event(&event)		for an event that only counts
 *   observe_event(&event, member)	for an event with a value, in a u64 member
 * Example: probes/process.
 *
 * count_event() adds to a slot of this CPU, which holds one label set. When another label set takes the slot, a record
 * with the sum goes into the ring. A scrape reads the slots, so a storm of one label set sends no record at all. Where
 * the ring is full, the slot keeps its label set, and the newcomer counts in a hash by label set. Where the hash is
 * full too, the event counts as `other`.
 *
 * The exporter counts every event once, although it reads slots and records: `slot_total` numbers the events of a slot,
 * and a record covers the last `weight` numbers up to its own. A record without a slot has the number -1.
 */
#define WEIGHT                  \
	u64 weight, slot_total; \
	s64 slot
#define WEIGHT_WORDS 3
#define LABEL_WORDS  16 /* longer events do not compile */
#define NO_SLOT	     -1

struct label_set {
	u64 words[LABEL_WORDS];
};

/* The exporter reads a slot word by word; the label set is valid while `started` equals `stopped`. */
struct event_slot {
	u64 started;
	u64 slot;
	u64 before; /* events of the label sets before this one */
	u64 total;  /* all events of the slot */
	struct label_set labels;
	u64 stopped;
	u64 taken;     /* 1 while a program uses the slot */
	u64 marked_ns; /* time of the slot's last storm mark */
};

BPF_PERCPU_ARRAY(event_slots, struct event_slot, SLOTS);

/*
 * The storm mark. At every few events of a slot the program reads the clock, and wakes the exporter if these events
 * took less than a second, once a second at most. With one CPU 64 events make a mark, with 16 CPUs and more 4 events,
 * because a storm spreads over the CPUs.
 */
#define STORM_EVENTS 64UL
#define STORM_CPUS   (CPUS < 16 ? CPUS : 16UL)
#define STORM_NS     1000000000UL

BPF_ARRAY(storm_woken_ns, u64, 1);

/* Tells if the exporter shall be woken for a storm. */
static __always_inline bool begins_storm(struct event_slot *slot)
{
	u64 now, before, *woken;
	u32 zero = 0;

	if ((((slot->total + 1) * STORM_CPUS) & (STORM_EVENTS - 1)) >= STORM_CPUS)
		return false;
	now = bpf_ktime_get_ns();
	before = slot->marked_ns;
	WRITE(slot->marked_ns, now);
	if (now - before >= STORM_NS)
		return false;
	woken = storm_woken_ns.lookup(&zero);
	if (!woken || now - *woken < STORM_NS)
		return false;
	WRITE(*woken, now);
	return true;
}

/* Takes a slot for this program; false if another program on this CPU has the slot, interrupted or preempted. */
static __always_inline bool take_slot(struct event_slot *slot)
{
	return take(&slot->taken);
}

static __always_inline void leave_slot(struct event_slot *slot)
{
	give_back(&slot->taken);
}

/* The slot of a label set: every bit of every word counts. */
static __always_inline u32 slot_of(const u64 *labels, u64 words)
{
	u64 hash = 0;

#pragma unroll
	for (u64 i = 0; i < words; i++)
		hash += (labels[i] ^ labels[i] >> 32) * (0x9e3779b97f4a7c15UL * (2 * i + 1));
	return hash >> 48 & (SLOTS - 1);
}

static __always_inline void copy_words(u64 *to, const u64 *from, u64 words)
{
#pragma unroll
	for (u64 i = 0; i < words; i++)
		WRITE(to[i], from[i]);
}

static __always_inline bool holds(const struct event_slot *slot, const u64 *labels, u64 words)
{
	u64 difference = slot->total == slot->before;

#pragma unroll
	for (u64 i = 0; i < words; i++)
		difference |= slot->labels.words[i] ^ labels[i];
	return !difference;
}

/* Sends a record for `weight` events of a label set, and wakes the exporter if asked; false if the ring is full. */
static __always_inline bool send_label_set(const u64 *labels, u64 words, u64 weight, u64 slot_total, s64 slot,
					   bool wakes)
{
	u64 size = (WEIGHT_WORDS + words) * 8, *record = events.ringbuf_reserve(size);

	if (!record)
		return false;
	record[0] = weight;
	record[1] = slot_total;
	record[2] = slot;
	copy_words(record + WEIGHT_WORDS, labels, words);
	submit_event_of(record, size, wakes);
	return true;
}

/* Gives the slot to a label set, perhaps again to the same; false if the ring has no room for the former one. */
static __always_inline bool replace_label_set(struct event_slot *slot, u32 place, const u64 *labels, u64 words,
					      bool wakes)
{
	u64 weight = slot->total - slot->before;

	if (weight && !send_label_set(slot->labels.words, words, weight, slot->total, slot->slot, wakes))
		return false;
	WRITE(slot->stopped, slot->stopped + 1);
	WRITE(slot->slot, bpf_get_smp_processor_id() * SLOTS + place);
	WRITE(slot->before, slot->total);
	copy_words(slot->labels.words, labels, words);
	WRITE(slot->started, slot->stopped);
	return true;
}

/* Counts an event in a slot; false if other programs have the slots, or if the ring is full. */
static __always_inline bool count_in_slot(const u64 *labels, u64 words)
{
	u32 place = slot_of(labels, words);
	struct event_slot *slot = event_slots.lookup(&place);
	bool counted, wakes;

	if (!slot)
		return false;
	if (!take_slot(slot)) {
		place ^= 1;
		slot = event_slots.lookup(&place);
		if (!slot || !take_slot(slot))
			return false;
	}
	wakes = begins_storm(slot);
	counted = (holds(slot, labels, words) && !wakes) || replace_label_set(slot, place, labels, words, wakes);
	if (counted)
		WRITE(slot->total, slot->total + 1);
	leave_slot(slot);
	return counted;
}

/* Counts and sums by label set, for events without room in the ring. */
#define OVERFLOW_LABEL_SETS 8192
#define OVERFLOW_OTHERS	    1024

struct overflow {
	u64 count;
	u64 remainder; /* of observed values: their sum, less `count` times the rounded value in the label set */
	u64 observed;  /* offset of the observed member in the event; 0 for none */
};

/*
 * Two hashes take turns: programs add to one, and the exporter empties the other. The exporter sets `overflow_turn`,
 * which it maps, and waits until no program adds to the former hash. Programs tell so by STAT_BEGUN, and then STAT_KEPT
 * or STAT_LEFT, of each hash; a program that finds another turn after STAT_BEGUN begins anew.
 *
 * A label set that finds the hash full counts in a second hash of the same turn, in which label sets have only the
 * members by which metrics choose their events, and the rounded value. The exporter counts these as `other`.
 */
BPF_HASH_ON_DEMAND(overflow_0, struct label_set, struct overflow, OVERFLOW_LABEL_SETS);
BPF_HASH_ON_DEMAND(overflow_1, struct label_set, struct overflow, OVERFLOW_LABEL_SETS);
BPF_HASH_ON_DEMAND(others_0, struct label_set, struct overflow, OVERFLOW_OTHERS);
BPF_HASH_ON_DEMAND(others_1, struct label_set, struct overflow, OVERFLOW_OTHERS);
MAPPED_U64(overflow_turn);

static __always_inline struct overflow *overflow_of(u64 turn, bool is_other, struct label_set *labels, u64 observed)
{
	struct overflow none = {.observed = observed};

	if (turn && is_other)
		return others_1.lookup_or_try_init(labels, &none);
	if (turn)
		return overflow_1.lookup_or_try_init(labels, &none);
	if (is_other)
		return others_0.lookup_or_try_init(labels, &none);
	return overflow_0.lookup_or_try_init(labels, &none);
}

/* Some bytes of a label set, the first as the lowest bit: bytes 0 to 63, and 64 to 127. */
struct label_bytes {
	u64 low, high;
};

/* The bits for `size` bytes at `offset`, as of the 64 bytes from `first` on. */
static __always_inline u64 bits_of(u64 offset, u64 size, u64 first)
{
	u64 bits = (1UL << size) - 1;

	if (offset >= first)
		return offset - first < 64 ? bits << (offset - first) : 0;
	return first - offset < size ? bits >> (first - offset) : 0;
}

/* Sets every byte of a label set to 0 but some. */
static __always_inline void keep_bytes(struct label_set *labels, struct label_bytes kept)
{
#pragma unroll
	for (u64 word = 0; word < LABEL_WORDS; word++) {
		u64 bits = (word < 8 ? kept.low >> 8 * word : kept.high >> 8 * (word - 8)) & 0xff, mask = 0;

#pragma unroll
		for (u64 byte = 0; byte < 8; byte++)
			if (bits >> byte & 1)
				mask |= 0xffUL << 8 * byte;
		labels->words[word] &= mask;
	}
}

/* Counts an event in the hash whose turn it is, or else among the others there. May change the label set. */
static __always_inline void count_overflow(struct label_set *labels, struct label_bytes chosen, u64 observed,
					   u64 remainder)
{
	u32 zero = 0;
	volatile u64 *turn = overflow_turn.lookup(&zero);
	struct overflow *sums;
	bool is_other = false;

	if (!turn)
		return;
#pragma clang loop unroll(disable)
	for (u32 tries = 0; tries < 4; tries++) {
		u64 now = *turn & 1;

		probed_count(STAT_BEGUN + now);
		if (now != (*turn & 1)) {
			probed_count(STAT_LEFT + now);
			continue;
		}
		sums = overflow_of(now, is_other, labels, observed);
		if (sums) {
			lock_xadd(&sums->count, 1);
			/* LLVM makes an atomic OR of an addition of 0, which Linux before 5.12 refuses. */
			if (remainder)
				lock_xadd(&sums->remainder, remainder);
			probed_count(STAT_KEPT + now);
			return;
		}
		probed_count(STAT_LEFT + now);
		if (is_other)
			break;
		is_other = true;
		keep_bytes(labels, chosen);
	}
	probed_count(STAT_RING_FULL);
}

static __always_inline void count_in_overflow(const u64 *labels, u64 words, struct label_bytes chosen)
{
	struct label_set key = {};

	copy_words(key.words, labels, words);
	count_overflow(&key, chosen, 0, 0);
}

static __always_inline void count_event_of(void *event, u64 size, struct label_bytes chosen)
{
	u64 *labels = (u64 *)event + WEIGHT_WORDS, words = size / 8 - WEIGHT_WORDS;

	/* The expectation leaves registers to the frequent way. */
	if (__builtin_expect(count_in_slot(labels, words), 1))
		return;
	if (send_label_set(labels, words, 1, 1, NO_SLOT, false))
		return;
	if (words == LABEL_WORDS) /* a copy would be too much for the 512 bytes of a program's stack */
		count_overflow((struct label_set *)labels, chosen, 0, 0);
	else
		count_in_overflow(labels, words, chosen);
}

/* The least value with the same highest six binary digits: within 3 % of the value. */
static __always_inline u64 rounded_value(u64 value)
{
	u32 low = 0;

#pragma unroll
	for (u32 digits = 32; digits; digits /= 2)
		if (value >> low >> 6 >> (digits - 1))
			low += digits;
	return value >> low << low;
}

/*
 * Without room in the ring, events of a label set with values within 3 % count as one entry with their exact sum. So
 * the exporter may put such an event into a neighbour of its bucket, and only if a bound of a bucket lies between the
 * values.
 */
static __always_inline void observe_in_overflow(const u64 *labels, u64 words, struct label_bytes chosen, u64 observed)
{
	u64 word = observed / 8 - WEIGHT_WORDS, rounded = rounded_value(labels[word]);
	struct label_set key = {};

	copy_words(key.words, labels, words);
	key.words[word] = rounded;
	chosen.low |= bits_of(word * 8, 8, 0);
	chosen.high |= bits_of(word * 8, 8, 64);
	count_overflow(&key, chosen, observed, labels[word] - rounded);
}

static __always_inline void observe_event_of(const void *event, u64 size, struct label_bytes chosen, u64 observed)
{
	const u64 *labels = (const u64 *)event + WEIGHT_WORDS, words = size / 8 - WEIGHT_WORDS;

	if (!send_label_set(labels, words, 1, 1, NO_SLOT, false))
		observe_in_overflow(labels, words, chosen, observed);
}

#define CHECK_EVENT(event)                                                                                  \
	_Static_assert(sizeof(*(event)) % 8 == 0 && sizeof(*(event)) <= (WEIGHT_WORDS + LABEL_WORDS) * 8 && \
			       __builtin_offsetof(__typeof__(*(event)), slot) == 16,                        \
		       "struct event begins with WEIGHT and has 16 words of 8 bytes more at most")

/* The bytes by which metrics choose their events: the members of the event in `when`. */
#ifndef WHEN_MEMBERS
#define WHEN_MEMBERS(apply, type)
#endif
#define BYTES_OF_MEMBER(type, member, first) \
	bits_of(__builtin_offsetof(type, member) - WEIGHT_WORDS * 8, sizeof(((type *)0)->member), first)
#define OR_LOW_BYTES(type, member)  | BYTES_OF_MEMBER(type, member, 0)
#define OR_HIGH_BYTES(type, member) | BYTES_OF_MEMBER(type, member, 64)
#define CHOSEN_BYTES(type) \
	((struct label_bytes){0 WHEN_MEMBERS(OR_LOW_BYTES, type), 0 WHEN_MEMBERS(OR_HIGH_BYTES, type)})

/* Counts an event; takes a pointer to the struct, whose content the program shall not use afterwards. */
#define count_event(event)                                                                   \
	({                                                                                   \
		CHECK_EVENT(event);                                                          \
		count_event_of(event, sizeof(*(event)), CHOSEN_BYTES(__typeof__(*(event)))); \
	})

/* Sends an event with a value in a u64 member of the struct. */
#define observe_event(event, member)                                                          \
	({                                                                                    \
		CHECK_EVENT(event);                                                           \
		_Static_assert(sizeof((event)->member) == 8, "the observed member is a u64"); \
		observe_event_of(event, sizeof(*(event)), CHOSEN_BYTES(__typeof__(*(event))), \
				 __builtin_offsetof(__typeof__(*(event)), member));           \
	})
#endif
#endif

/*
 * Fills `stack`, an array u64[N] of the event or key, with the addresses of the kernel's stack, the innermost first,
 * for the decoder `kernel_stack`. Places without a frame stay 0; call the macro in the PROGRAM itself. At tracepoints
 * and functions the stack begins with the program and the function that runs the program, bpf_trace_run1() and so on or
 * a trampoline: these two are left out. In a kprobe the stack begins with the probed function.
 */
#define READ_KERNEL_STACK(stack) bpf_get_stack(context, &(stack), sizeof(stack), IN_KPROBES ? 0 : 2)

/*
 * The id of the current task's cgroup, for the decoders `cgroup_unit` and `pod_uid`; 0 for a kernel thread. Equal to
 * bpf_get_current_cgroup_id(), without the call.
 */
#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */

static __always_inline u64 current_cgroup(void)
{
	struct task_struct *task = current_task();
	struct css_set *groups = LOAD_OF_TASK(task, cgroups);
	struct cgroup *cgroup = LOAD_OF_TASK(groups, dfl_cgrp);
	struct kernfs_node *node = LOAD_OF_TASK(cgroup, kn);

	return LOAD_OF_TASK(task, flags) & PF_KTHREAD ? 0 : LOAD_OF_TASK(node, id);
}

/* The cgroup of another task, likewise. */
static __always_inline u64 cgroup_of(struct task_struct *task)
{
	struct css_set *groups = READ(task, cgroups);
	struct cgroup *cgroup = READ(groups, dfl_cgrp);
	struct kernfs_node *node = READ(cgroup, kn);

	return READ(task, flags) & PF_KTHREAD ? 0 : READ(node, id);
}

/* The name of the current process, taken from the thread group leader, as in execs and lifetimes. */
static __always_inline void current_comm(void *destination)
{
	struct task_struct *task = current_task();

	load_comm(LOAD_OF_TASK(task, group_leader), destination);
}

/* The name of the current thread, set by prctl(PR_SET_NAME). */
static __always_inline void current_thread_comm(void *destination)
{
	load_comm(current_task(), destination);
}

/* Copies the name of any task into 16 bytes of the event, aligned to 8. */
static __always_inline void comm_of(struct task_struct *task, void *destination)
{
	u64 *halves = destination, comm[2] = {};

	/* No helper gets the address of the event, so the event stays in registers. */
	READ_ARRAY(comm, task, comm);
	halves[0] = comm[0];
	halves[1] = comm[1];
}

/*
 * A system call as one number: the kernel's, with this bit for calls through the 32-bit table of x86 or of arm, which
 * has other numbers. The decoder `syscall` reads both. Programs know opens, execs and forks in the table of x86 alone.
 */
#define IA32 0x80000000U

#ifdef PROBED_HAS_IA32
#define TS_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h: 32-bit syscall active */

static __always_inline u32 ia32_bit(void)
{
	struct task_struct *task = current_task();

	return LOAD_OF_TASK(task, thread_info.status) & TS_COMPAT ? IA32 : 0;
}
#elif defined(__TARGET_ARCH_arm64)
#define TIF_32BIT 22 /* arch/arm64/include/asm/thread_info.h: AArch32 process */

static __always_inline u32 ia32_bit(void)
{
	struct task_struct *task = current_task();

	return LOAD_OF_TASK(task, thread_info.flags) & 1UL << TIF_32BIT ? IA32 : 0;
}
#else
static __always_inline u32 ia32_bit(void)
{
	return 0;
}
#endif

/*
 * Registers: the number of a task's system call, of either table; 0xffffffff outside of system calls. Its result. Its
 * arguments, which stay until the return.
 */
#ifdef __TARGET_ARCH_arm64
#define SYSCALL_NUMBER syscallno
#define SYSCALL_RESULT regs[0]
#define ARGUMENT_1     orig_x0
#define ARGUMENT_2     regs[1]
#define ARGUMENT_3     regs[2]
#else
#define SYSCALL_NUMBER orig_ax
#define SYSCALL_RESULT ax
#define ARGUMENT_1     di
#define ARGUMENT_2     si
#define ARGUMENT_3     dx
#endif

static __always_inline u32 number_of(struct pt_regs *regs)
{
	return LOAD(regs, SYSCALL_NUMBER);
}

/* The current task's system call; 0xffffffff for none (rt_sigreturn, a call that a tracer skipped). */
static __always_inline u32 syscall_of(struct pt_regs *regs)
{
	u32 number = number_of(regs);

	if (number == (u32)-1)
		return number;
#ifdef __TARGET_ARCH_arm64
	/*
	 * After an exec the task may run the other kind of program. The registers are 0 then; else r7 has the number in
	 * a 32-bit program, x8 in a 64-bit program. 11 is execve of 32-bit programs, 387 their execveat and no other
	 * call.
	 */
	if (number == 387)
		return number | IA32;
	if (ia32_bit())
		return number == 11 || (u32)LOAD(regs, regs[7]) == number ? number | IA32 : number;
	return number == 11 && (u32)LOAD(regs, regs[8]) != number ? number | IA32 : number;
#else
	return number | ia32_bit();
#endif
}

/* The number of the current task's system call, outside of sys_exit too. */
static __always_inline u32 current_number(void)
{
	return LOAD_OF_REGISTERS(current_registers(), SYSCALL_NUMBER);
}

/* Number and table of the current task's system call, for calls that do not return. */
static __always_inline u32 current_syscall(void)
{
	u32 number = current_number();

	return number == (u32)-1 ? number : number | ia32_bit();
}

/* At raw tracepoint sys_exit: number of the returning system call, then number and table. */
static __always_inline u32 returning_number(struct bpf_raw_tracepoint_args *ctx)
{
	return number_of((struct pt_regs *)ctx->args[0]);
}

static __always_inline u32 returning_syscall(struct bpf_raw_tracepoint_args *ctx)
{
	return syscall_of((struct pt_regs *)ctx->args[0]);
}

/* fork and its variants return twice: in the child with 0, without a call by the child. */
static __always_inline bool makes_tasks(u32 syscall)
{
	switch (syscall) {
#ifdef __NR_fork
	case __NR_fork:
	case __NR_vfork:
#endif
	case __NR_clone:
	case __NR_clone3:
#ifdef PROBED_HAS_IA32
	case IA32 | __NR_ia32_fork:
	case IA32 | __NR_ia32_vfork:
	case IA32 | __NR_ia32_clone:
	case IA32 | __NR_ia32_clone3:
#endif
		return true;
	}
	return false;
}

/* Linux include/linux/errno.h */
#define ERESTARTSYS	      512
#define ERESTARTNOINTR	      513
#define ERESTARTNOHAND	      514
#define ERESTART_RESTARTBLOCK 516

#define EINTR	   4	      /* include/uapi/asm-generic/errno-base.h */
#define SA_RESTART 0x10000000 /* arch/x86/include/uapi/asm/signal.h */

/* With these errors a call has not ended: after a signal, the kernel restarts the call or returns EINTR. */
static __always_inline bool is_restart(u32 errno)
{
	return errno == ERESTARTSYS || errno == ERESTARTNOINTR || errno == ERESTARTNOHAND ||
	       errno == ERESTART_RESTARTBLOCK;
}

/*
 * At raw tracepoint signal_deliver(int sig, struct kernel_siginfo *info, struct k_sigaction *ka): tells if the handler
 * makes the interrupted call return EINTR. Only the first handler does, because the kernel then changes the result.
 * Source: handle_signal() in Linux arch/x86/kernel/signal.c. On arm64 the kernel forgets number and result before, so
 * an interrupted call that returns EINTR is not counted there: do_signal() in Linux arch/arm64/kernel/signal.c.
 */
static __always_inline bool ends_call(struct bpf_raw_tracepoint_args *ctx)
{
	struct k_sigaction *action = (struct k_sigaction *)ctx->args[2];
	u64 result = LOAD_OF_REGISTERS(current_registers(), SYSCALL_RESULT), errno = -result;

	if ((u64)READ(action, sa.sa_handler) <= 1) /* SIG_DFL, SIG_IGN: no handler */
		return false;
	if (errno == ERESTARTSYS)
		return !(READ(action, sa.sa_flags) & SA_RESTART);
	return errno == ERESTARTNOHAND || errno == ERESTART_RESTARTBLOCK;
}

/* The errno of a returning system call, 0 for success. Linux include/linux/err.h: MAX_ERRNO is 4095. */
static __always_inline u32 returned_errno(struct bpf_raw_tracepoint_args *ctx)
{
	u64 result = ctx->args[1];

	return result >= (u64)-4095 ? (u32)-result : 0;
}

#ifdef TRACE
/*
 * Trace probes send one record for each event: `struct event`, which begins with CALLER, and behind the struct any
 * bytes that the program appends. A u32 of the struct has the length of such bytes, with CUT if some are missing.
 * Example: probes/execs.
 *
 * A program builds the record in memory of its CPU, because room in the ring has a constant size:
 *   begin_record()		returns the memory, or NULL
 *   describe_caller(event)	sets the members of CALLER
 *   append_memory(), append_string(), append_strings()	append user memory; return the value of the u32
 *   append_kernel_string()	appends a string of the kernel
 *   send_record(event, size)	sends the struct with the bytes behind
 */
#define CALLER                     \
	u64 time_ns, cgroup;       \
	char comm[16], parent[16]; \
	u32 pid, ppid, uid, tid

struct caller {
	CALLER;
};

/*
 * Constants that `probed tail` and evidence choose, mostly filters. The loader sets them in an object before the load,
 * and defines them for BCC. So the verifier, or the compiler, removes the code of a filter that lets all events
 * through. TraceConstants of daemon/probed/ipc/loader_messages.py has the same names.
 */
#define ANY ((u64)-1)
#ifdef PROBED_CORE
#define CONSTANT(name, value) const volatile u64 name = value
#else
#define CONSTANT(name, value) static const u64 name = VALUE_##name
#endif

CONSTANT(only_cgroup, ANY);
CONSTANT(only_pid, ANY);
CONSTANT(only_ppid, ANY);
CONSTANT(only_uid, ANY);
CONSTANT(only_errno, ANY);
CONSTANT(only_failed, 0);
CONSTANT(least_lifetime_ns, 0);
CONSTANT(with_all, 0); /* events that are left out unless asked for, such as successful opens */
CONSTANT(comm_mask_0, 0);
CONSTANT(comm_word_0, 0);
CONSTANT(comm_mask_1, 0);
CONSTANT(comm_word_1, 0);
CONSTANT(parent_mask_0, 0);
CONSTANT(parent_word_0, 0);
CONSTANT(parent_mask_1, 0);
CONSTANT(parent_word_1, 0);
CONSTANT(most_strings, 512); /* of append_strings(); the verifier follows each turn of the loop */

#define CUT	     0x80000000U
#define LENGTH	     0x7fffffffU
#define STRING_BYTES 4096		      /* PATH_MAX */
#define HEAD_BYTES   (512 + 2 * STRING_BYTES) /* most bytes in front of appended memory */
#define TEXT_BYTES   0x10000		      /* most bytes of appended memory; a power of two */

struct record {
	char bytes[HEAD_BYTES + 2 * TEXT_BYTES];
	u32 is_short; /* of append_strings(): the verifier knows no value that comes from memory */
	u32 pad;
};

BPF_ARRAY(records, struct record, CPU_ENTRIES);

/* The number of bytes of an appended text; read from memory, so that the verifier follows all values at once. */
#define APPENDED(length) (*(volatile u32 *)&(length)&LENGTH)

/* Returns memory of this CPU for a record; the former record's bytes are in it. */
static __always_inline void *begin_record(void)
{
	u32 cpu = bpf_get_smp_processor_id();

	return records.lookup(&cpu);
}

/* The process that is the parent of a task's process. */
static __always_inline struct task_struct *parent_of(struct task_struct *task)
{
	struct task_struct *leader = READ(task, group_leader), *parent = READ(leader, real_parent);

	return READ(parent, group_leader);
}

static __always_inline void describe_caller(void *event)
{
	struct task_struct *task = current_task(), *parent = parent_of(task);
	struct caller *caller = event;

	caller->time_ns = bpf_ktime_get_boot_ns();
	caller->cgroup = current_cgroup();
	current_comm(caller->comm);
	READ_ARRAY(caller->parent, parent, comm);
	caller->pid = bpf_get_current_pid_tgid() >> 32;
	caller->tid = bpf_get_current_pid_tgid();
	caller->ppid = READ(parent, tgid);
	caller->uid = bpf_get_current_uid_gid();
}

/* Appends `bytes` of user memory to a record of `size` bytes; nothing if a part of the memory is not resident. */
static __always_inline u32 append_memory(void *event, u64 size, u64 address, u64 bytes)
{
	char *record = event;
	u32 cut = 0;

	if (bytes > TEXT_BYTES) {
		bytes = TEXT_BYTES;
		cut = CUT;
	}
	FORGET(size);
	if (size > HEAD_BYTES || bpf_probe_read_user(record + size, bytes, (void *)address))
		return CUT;
	return bytes | cut;
}

/* The value for a string of `length` bytes with its NUL, as a helper returned it. */
static __always_inline u32 string_length(s64 length)
{
	if (length <= 0 || length > STRING_BYTES)
		return CUT;
	return length == STRING_BYTES ? (u32)(length - 1) | CUT : length - 1;
}

/* Appends a string of user memory, without the NUL, to a record of `size` bytes. */
static __always_inline u32 append_string(void *event, u64 size, u64 address)
{
	char *record = event;

	FORGET(size);
	if (size > HEAD_BYTES)
		return CUT;
	return string_length(bpf_probe_read_user_str(record + size, STRING_BYTES, (void *)address));
}

/* Appends a string of kernel memory, without the NUL, to a record of `size` bytes. */
static __always_inline u32 append_kernel_string(void *event, u64 size, const void *address)
{
	char *record = event;

	FORGET(size);
	if (size > HEAD_BYTES)
		return CUT;
	return string_length(bpf_probe_read_kernel_str(record + size, STRING_BYTES, address));
}

/*
 * Reads a pointer of the current program at `address`; -1 for none. In 32-bit programs `is_short` is 1, and a pointer
 * has 4 bytes. No branch depends on `is_short`, because the verifier would follow each turn of the loop twice.
 */
static __always_inline u64 pointer_at(u64 address, u64 is_short)
{
	u32 low = 0, high = 0;

	if (bpf_probe_read_user(&low, 4, (void *)address) ||
	    bpf_probe_read_user(&high, 4, (void *)(address + 4 - 4 * is_short)))
		return -1;
	return low | (high & (is_short - 1)) << 32;
}

/* Makes the bounds of a number of appended bytes equal, whichever turn of a loop the value is from. */
static __always_inline u64 bounded(u64 used)
{
	FORGET(used);
	return used & (2 * TEXT_BYTES - 1);
}

/*
 * Appends the strings of an array of pointers that ends with NULL, each with its NUL, to a record of `size` bytes. The
 * code behind the loop is verified once only, because the value has the same bounds after each turn.
 */
static __always_inline u32 append_strings(void *event, u64 size, u64 array)
{
	u64 used = 0, pointer = -1, most = most_strings, is_short;
	char *record = event;
	s64 length;

	FORGET(size);
	if (size > HEAD_BYTES)
		return CUT;
	WRITE(((struct record *)event)->is_short, ia32_bit() >> 31);
	is_short = *(volatile u32 *)&((struct record *)event)->is_short;
	record += size;
#pragma clang loop unroll(disable)
	for (u32 index = 0; index < most; index++) {
		pointer = pointer_at(array, is_short);
		array += 8 - 4 * is_short;
		used = bounded(used);
		if (!pointer || used >= TEXT_BYTES)
			break;
		length = bpf_probe_read_user_str(record + used, TEXT_BYTES, (void *)pointer);
		if (length <= 0 || length > TEXT_BYTES)
			break;
		used += length;
	}
	used = bounded(used);
	if (!pointer)
		return used;
	return (used > TEXT_BYTES ? TEXT_BYTES : used) | CUT;
}

/* Sends a record; `size` is that of the struct with the bytes behind. */
static __always_inline void send_record(void *event, u64 size)
{
	FORGET(size);
	if (size > HEAD_BYTES + TEXT_BYTES)
		return;
	if (events.ringbuf_output(event, size, 0))
		probed_count(STAT_RING_FULL);
	else
		probed_count(STAT_SENT);
}

/* Tells if a process has a name with the bits of both words under their masks. */
static __always_inline bool has_name(struct task_struct *process, u64 mask_0, u64 word_0, u64 mask_1, u64 word_1)
{
	u64 name[2] = {};

	READ_ARRAY(name, process, comm);
	return !((name[0] ^ word_0) & mask_0) && !((name[1] ^ word_1) & mask_1);
}

/* Tells if the current process passes the filters. */
static __always_inline bool wants_caller(void)
{
	if (only_cgroup != ANY && current_cgroup() != only_cgroup)
		return false;
	if (comm_mask_0 &&
	    !has_name(READ(current_task(), group_leader), comm_mask_0, comm_word_0, comm_mask_1, comm_word_1))
		return false;
	if (parent_mask_0 &&
	    !has_name(parent_of(current_task()), parent_mask_0, parent_word_0, parent_mask_1, parent_word_1))
		return false;
	if (only_pid != ANY && bpf_get_current_pid_tgid() >> 32 != only_pid)
		return false;
	if (only_ppid != ANY && READ(parent_of(current_task()), tgid) != only_ppid)
		return false;
	return only_uid == ANY || (u32)bpf_get_current_uid_gid() == only_uid;
}

/* Tells if an event with this errno, 0 for success, passes the filters. */
static __always_inline bool wants_errno(u32 errno)
{
	return only_errno == ANY ? errno || !only_failed : errno == only_errno;
}
#endif

#endif
