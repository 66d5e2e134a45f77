//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * System calls the textbook way, as bcc's syscount does it: a hash by number,
 * and for latency a hash of timestamps by thread and a histogram with the
 * bucket in the key.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "textbook.bpf.h"

struct syscall_start {
	__u64 ns;
	__u64 number;
};

struct syscall_bucket {
	__u32 number;
	__u32 slot;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, __u32);
	__type(value, __u64);
} syscall_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, __u32);
	__type(value, struct syscall_start);
} syscall_starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, struct syscall_bucket);
	__type(value, __u64);
} syscall_latency SEC(".maps");

SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_count, struct pt_regs *regs, long id)
{
	__u32 number = id;

	textbook_increment(&syscall_calls, &number);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_start, struct pt_regs *regs, long id)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct syscall_start start = {.ns = bpf_ktime_get_ns(), .number = id};

	bpf_map_update_elem(&syscall_starts, &thread, &start, BPF_ANY);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_end, struct pt_regs *regs, long ret)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct syscall_start *start = bpf_map_lookup_elem(&syscall_starts, &thread);
	struct syscall_bucket key = {};

	if (!start)
		return 0;
	key.number = start->number;
	key.slot = textbook_log2((bpf_ktime_get_ns() - start->ns) / 1000);
	bpf_map_delete_elem(&syscall_starts, &thread);
	textbook_increment(&syscall_latency, &key);
	return 0;
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
