//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Page faults and allocations the textbook way: an event for each, counted in
 * hashes by process, one for faults and one for the allocations' orders.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "textbook.bpf.h"

struct memory_fault {
	char process[16];
	__u32 pid;
};

struct memory_allocation {
	char process[16];
	__u32 pid;
	__u32 order;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, struct memory_fault);
	__type(value, __u64);
} memory_faults SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, struct memory_allocation);
	__type(value, __u64);
} memory_allocations SEC(".maps");

SEC("tp_btf/page_fault_user")
int memory_fault(void *ctx)
{
	struct memory_fault key = {.pid = bpf_get_current_pid_tgid() >> 32};

	bpf_get_current_comm(key.process, sizeof(key.process));
	textbook_increment(&memory_faults, &key);
	return 0;
}

SEC("tp_btf/mm_page_alloc")
int BPF_PROG(memory_allocate, struct page *page, unsigned int order)
{
	struct memory_allocation key = {.pid = bpf_get_current_pid_tgid() >> 32, .order = order};

	bpf_get_current_comm(key.process, sizeof(key.process));
	textbook_increment(&memory_allocations, &key);
	return 0;
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
