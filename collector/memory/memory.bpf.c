//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * What /proc/vmstat does not tell of page faults and allocations: how long a
 * major fault took, from the moment the kernel found the page missing to the
 * moment perf counts the fault as done; which processes fault; and how large
 * the allocations are. Minor faults are counted here only on kernels whose
 * /proc/vmstat counts some of them twice.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "hist.bpf.h"
#include "read.bpf.h"
#include "generation.bpf.h"

#define MEMORY_ORDERS 16 /* more than any architecture has */

enum memory_fault {
	MEMORY_MINOR,
	MEMORY_MAJOR,
};

struct memory_process {
	char comm[16];
	enum memory_fault fault;
	enum row_generation generation;
};

/* A fault under way. */
struct memory_start {
	__u64 ns;
	__u64 born; /* when its task was */
	__u64 faults; /* that its task had had before */
};

struct memory_orders {
	__u64 counts[MEMORY_ORDERS];
};

struct {
	__u64 major_without_start; /* not timed: neither of a file nor a swap-in that was seen */
	__u64 order_unknown; /* allocations larger than any bucket, +Inf too */
} losses;

/* The rows of processes that a generation may add. */
const volatile __u32 cfg_rows;

enum row_generation row_generation SEC(".data.generation")
= ROW_GENERATION;
struct row_gate memory_gate;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} memory_minors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hist);
} memory_latency SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct memory_orders);
} memory_orders SEC(".maps");

/* By thread. LRU: not every fault that starts here becomes a major one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct memory_start);
} memory_starts SEC(".maps");

/* All its memory at load: programs of perf events must not allocate. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct memory_process);
	__type(value, __u64);
} memory_processes SEC(".maps");

const __u64 memory_zero_count = 0;

static __always_inline void memory_describe_task(bool typed, struct task_struct *task,
						 struct memory_start *start)
{
	start->born = FIELD(typed, task, start_time);
	start->faults = FIELD(typed, task, min_flt) + FIELD(typed, task, maj_flt);
}

/*
 * Identifies the fault that the running task is in: its number of completed
 * faults stays the same while a fault is tried again.
 */
static __always_inline void memory_describe(struct memory_start *start)
{
	/* 3ca1032ab7ab "bpf: Implement get_current_task_btf and RET_PTR_TO_BTF_ID" */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
		memory_describe_task(true, bpf_get_current_task_btf(), start);
	else
		memory_describe_task(false, (void *)bpf_get_current_task(), start);
}

/* A fault waits for its page, for the first time or once more. */
static __always_inline int memory_begin(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct memory_start start = {}, *last;

	memory_describe(&start);
	last = bpf_map_lookup_elem(&memory_starts, &tid);
	if (last && last->born == start.born && last->faults == start.faults)
		return 0;
	start.ns = bpf_ktime_get_ns();
	bpf_map_update_elem(&memory_starts, &tid, &start, BPF_ANY);
	return 0;
}

SEC("raw_tp/mm_filemap_fault")
int memory_begin_file(void *ctx)
{
	return memory_begin();
}

/*
 * The function that the tracepoint is in, for kernels without "filemap: add
 * trace events for get_pages, map_pages, and fault".
 */
SEC("fentry/filemap_fault")
int memory_begin_file_fentry(void *ctx)
{
	return memory_begin();
}

SEC("kprobe/filemap_fault")
int memory_begin_file_kprobe(void *ctx)
{
	return memory_begin();
}

SEC("fentry/do_swap_page")
int memory_begin_swap_fentry(void *ctx)
{
	return memory_begin();
}

SEC("kprobe/do_swap_page")
int memory_begin_swap_kprobe(void *ctx)
{
	return memory_begin();
}

/* The event comes right after the fault was added to its task's count. */
SEC("perf_event/major-faults")
int memory_end_major(void *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid(), zero = 0;
	__u64 now = bpf_ktime_get_ns();
	struct memory_start *start, end = {};
	struct hist *latency;

	memory_describe(&end);
	start = bpf_map_lookup_elem(&memory_starts, &tid);
	if (!start || start->born != end.born || start->faults + 1 != end.faults) {
		__sync_fetch_and_add(&losses.major_without_start, 1);
		return 0;
	}
	latency = bpf_map_lookup_elem(&memory_latency, &zero);
	if (latency)
		hist_observe(latency, now > start->ns ? now - start->ns : 0);
	bpf_map_delete_elem(&memory_starts, &tid);
	return 0;
}

SEC("perf_event/minor-faults")
int memory_minor(void *ctx)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&memory_minors, &zero);

	if (count)
		(*count)++;
	return 0;
}

/* Perf's events come with preemption off, one at a time on a CPU. */
static __always_inline int memory_count_process(enum memory_fault fault)
{
	struct memory_process key = {.fault = fault, .generation = row_generation};
	enum row_generation why;
	__u64 *count;

	/* Some kernels leave alone what is behind the NUL: here it is zero. */
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	count = row_of_task(&memory_processes, &key, key.generation, &memory_zero_count,
			    &memory_gate, cfg_rows, &why);
	if (!count) {
		__builtin_memset(key.comm, 0, sizeof(key.comm));
		key.generation = why;
		count = bpf_map_lookup_elem(&memory_processes, &key);
	}
	if (count)
		(*count)++;
	return 0;
}

SEC("perf_event/minor-faults")
int memory_process_minor(void *ctx)
{
	return memory_count_process(MEMORY_MINOR);
}

SEC("perf_event/major-faults")
int memory_process_major(void *ctx)
{
	return memory_count_process(MEMORY_MAJOR);
}

/*
 * A raw tracepoint on purpose: an allocation that failed has no page, and the
 * verifier takes a typed argument of a tracepoint to be there, so it would
 * remove the question. Atomic, because an interrupt may allocate in between.
 */
SEC("raw_tp/mm_page_alloc")
int BPF_PROG(memory_allocate, struct page *page, unsigned int order)
{
	struct memory_orders *orders;
	__u32 zero = 0;

	if (!page)
		return 0;
	orders = bpf_map_lookup_elem(&memory_orders, &zero);
	if (!orders)
		return 0;
	if (order < MEMORY_ORDERS)
		__sync_fetch_and_add(&orders->counts[order], 1);
	else
		__sync_fetch_and_add(&losses.order_unknown, 1);
	return 0;
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
