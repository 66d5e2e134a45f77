//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * System calls by number, counted as they enter the kernel, in one program
 * for all of them. Calls of 32-bit programs have other numbers and are counted
 * apart. Two options, both at the exit: errors by errno, and latency.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "abi.bpf.h"
#include "generation.bpf.h"
#include "hist.bpf.h"
#include "read.bpf.h"
#include "row.bpf.h"

/* CLOCK_MONOTONIC at load: of younger tasks every call was seen to enter. */
const volatile __u64 cfg_load_ns;

/* The rows of errors that a generation may add. */
const volatile __u32 cfg_rows;

#define SYSCALL_MAX_ERRNO 4095

struct syscall_calls {
	__u64 native[SYSCALL_NUMBERS];
	__u64 compat[SYSCALL_NUMBERS];
	__u64 native_beyond; /* numbers that no table could name */
	__u64 compat_beyond;
};

struct syscall_error {
	__u32 number;
	__u32 error;
	enum row_generation generation;
};

struct syscall_stamp {
	__u64 ns;
	__u32 number;
	__u32 pad;
};

struct {
	__u64 no_memory; /* calls not timed */
	__u64 unstamped; /* exits without an entry: not timed */
} losses;

enum row_generation row_generation SEC(".data.generation")
= ROW_GENERATION;
struct row_gate syscall_gate;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct syscall_calls);
} syscall_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2048);
	__type(key, struct syscall_error);
	__type(value, __u64);
} syscall_errors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SYSCALL_NUMBERS);
	__type(key, __u32);
	__type(value, struct hist);
} syscall_latency SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct syscall_stamp);
} syscall_task SEC(".maps");

/*
 * The same by the task's address, for kernels without task storage: calls in
 * progress. LRU, as exit() never exits.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct syscall_stamp);
} syscall_table SEC(".maps");

const __u64 syscall_zero_count = 0;
const struct hist syscall_zero_hist = {};

struct pt_regs___x86 {
	unsigned long orig_ax;
} __attribute__((preserve_access_index));
struct pt_regs___arm64 {
	__s32 syscallno;
} __attribute__((preserve_access_index));

static __always_inline int syscall_count(__u64 number)
{
	struct syscall_calls *calls;
	__u32 zero = 0;

	calls = bpf_map_lookup_elem(&syscall_calls, &zero);
	if (!calls)
		return 0;
	if (syscall_is_compat()) {
		if (number < SYSCALL_NUMBERS)
			calls->compat[number]++;
		else
			calls->compat_beyond++;
	} else {
		if (number < SYSCALL_NUMBERS)
			calls->native[number]++;
		else
			calls->native_beyond++;
	}
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_enter_typed, struct pt_regs *regs, long number)
{
	return syscall_count(number);
}

SEC("raw_tp/sys_enter")
int BPF_PROG(syscall_enter_raw, struct pt_regs *regs, long number)
{
	return syscall_count(number);
}

static __always_inline __u64 syscall_number(bool typed, struct pt_regs *regs)
{
	struct pt_regs___x86 *x86 = (void *)regs;
	struct pt_regs___arm64 *arm64 = (void *)regs;

	if (bpf_core_field_exists(x86->orig_ax))
		return FIELD(typed, x86, orig_ax);
	return FIELD(typed, arm64, syscallno);
}

static __always_inline int syscall_error(bool typed, struct pt_regs *regs, long ret)
{
	struct syscall_error key = {.generation = row_generation};
	enum row_generation why;
	__u64 number, *count;

	if (ret >= 0 || ret < -SYSCALL_MAX_ERRNO)
		return 0;
	/* Out of range: the return of a signal handler, which restores another call's result. */
	number = syscall_number(typed, regs);
	if (number >= SYSCALL_NUMBERS || syscall_is_compat())
		return 0;
	key.number = number;
	key.error = -ret;
	count = row_of_task(&syscall_errors, &key, key.generation, &syscall_zero_count,
			    &syscall_gate, cfg_rows, &why);
	if (!count) {
		key.number = 0;
		key.error = 0;
		key.generation = why;
		count = bpf_map_lookup_elem(&syscall_errors, &key);
		if (!count)
			return 0;
	}
	(*count)++;
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_error_typed, struct pt_regs *regs, long ret)
{
	return syscall_error(true, regs, ret);
}

SEC("raw_tp/sys_exit")
int BPF_PROG(syscall_error_raw, struct pt_regs *regs, long ret)
{
	return syscall_error(false, regs, ret);
}

static __always_inline void syscall_observe(struct syscall_stamp *stamp)
{
	__u32 number = stamp->number;
	struct hist *h;

	h = row_of(&syscall_latency, &number, &syscall_zero_hist);
	if (h)
		hist_observe(h, bpf_ktime_get_ns() - stamp->ns);
	else
		__sync_fetch_and_add(&losses.no_memory, 1);
}

/*
 * A call that we would have timed has left without being seen to enter: seccomp
 * refused it, for one, which comes before the tracepoint.
 */
static __always_inline void syscall_unstamped(bool typed, struct pt_regs *regs)
{
	if (syscall_number(typed, regs) < SYSCALL_NUMBERS && !syscall_is_compat())
		__sync_fetch_and_add(&losses.unstamped, 1);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_stamp_storage, struct pt_regs *regs, long number)
{
	struct syscall_stamp *stamp;

	if ((__u64)number >= SYSCALL_NUMBERS || syscall_is_compat())
		return 0;
	stamp = bpf_task_storage_get(&syscall_task, bpf_get_current_task_btf(), 0,
				     BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!stamp) {
		__sync_fetch_and_add(&losses.no_memory, 1);
		return 0;
	}
	stamp->number = number;
	stamp->ns = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_latency_storage, struct pt_regs *regs, long ret)
{
	struct syscall_stamp *stamp;

	stamp = bpf_task_storage_get(&syscall_task, bpf_get_current_task_btf(), 0, 0);
	if (!stamp) /* this call began before us, or in the parent of a new task */
		return 0;
	if (stamp->ns)
		syscall_observe(stamp);
	else
		syscall_unstamped(true, regs);
	stamp->ns = 0;
	return 0;
}

SEC("raw_tp/sys_enter")
int BPF_PROG(syscall_stamp_raw, struct pt_regs *regs, long number)
{
	struct syscall_stamp stamp = {};
	__u64 task = bpf_get_current_task();

	if ((__u64)number >= SYSCALL_NUMBERS || syscall_is_compat())
		return 0;
	stamp.number = number;
	stamp.ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&syscall_table, &task, &stamp, BPF_ANY))
		__sync_fetch_and_add(&losses.no_memory, 1);
	return 0;
}

SEC("raw_tp/sys_exit")
int BPF_PROG(syscall_latency_raw, struct pt_regs *regs, long ret)
{
	struct task_struct *current = (void *)bpf_get_current_task();
	__u64 task = (unsigned long)current, born = FIELD(false, current, start_time);
	struct syscall_stamp *stamp;

	stamp = bpf_map_lookup_elem(&syscall_table, &task);
	/* An older stamp is of a dead task, whose memory this one has. */
	if (stamp && stamp->ns >= born)
		syscall_observe(stamp);
	else if (born >= cfg_load_ns && ret) /* new tasks return 0 from their parent's call */
		syscall_unstamped(false, regs);
	bpf_map_delete_elem(&syscall_table, &task);
	return 0;
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
